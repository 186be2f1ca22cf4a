"""Every way through the release machine, and what must come of it.

The names of errors stand here once more on purpose: deleting one from the definition must fail.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.statemachines.machine import Program, Ran, Throw, Visits, run
from tests.statemachines.scenarios import (
    FUNCTION_ERRORS,
    JOB_ERRORS,
    OBJECT_ERRORS,
    ONE_OF_EACH,
    SECURITY,
    Scenario,
)

JOBS = ("EvaluateChampion", "Compare", "SmokeTest")
FUNCTIONS = ("PlanRelease", "JudgeRelease", "ShareModel", "GuardEndpoint", "CheckRelease",
             "ShiftTraffic", "WatchTraffic", "ConfirmRelease")  # fmt: skip
ASKING = "AwaitApproval"
CALLS = ("CreateModel", "CreateModelInVpc", "CreateStagingConfig", "CreateStaging",
         "DescribeStaging", "RemoveStaging", "CreateEndpointConfig", "CreateUncapturedConfig",
         "CreateEndpoint", "UpdateEndpoint", "DescribeEndpoint")  # fmt: skip
TASKS = (*FUNCTIONS, ASKING, *JOBS, *CALLS, "ReadSmokeTest")
#: Two states that do the same fail by one name.
FAILS_AS = {"CreateModelInVpc": "CreateModel", "CreateUncapturedConfig": "CreateEndpointConfig"}
#: Who ends in which of the named ends, besides its own failure.
CLAIMING = (*FUNCTIONS, ASKING)
WITHDRAWING = ("PlanRelease", "ShareModel", ASKING, "CheckRelease")
STALE = ("PlanRelease", "JudgeRelease")
CALL_ERRORS = {
    "SageMaker.SageMakerException": 5,
    "SageMaker.SdkClientException": 5,
    "SageMaker.ResourceLimitExceededException": 5,
    "SageMaker.ResourceLimitExceeded": 5,
}
CHANGING = ("Creating", "Updating", "RollingBack", "SystemUpdating")
NAMES = {
    "endpoint": "perennial-live-census",
    "config": "perennial-census-r3",
    "staging": "perennial-staging-census",
    "staging_config": "perennial-census-r3-staging",
}
BASE = "s3://artifacts/releases/census/3"
RUN = "s3://artifacts/runs/census/12"
NETWORK: dict[str, Any] = {"EnableNetworkIsolation": False}
MACHINE = {"type": "ml.m5.large", "count": 1, "volume_gb": 30, "max_seconds": 3600}
VARIANTS = [{"VariantName": "main", "ModelName": NAMES["config"], "InstanceType": "ml.m5.large",
             "InitialInstanceCount": 2, "InitialVariantWeight": 1.0}]  # fmt: skip


def planned(*, vpc: bool = False, **changes: Any) -> dict[str, Any]:
    """A plan as `plan_release` answers it."""
    network = {**NETWORK, "VpcConfig": SECURITY} if vpc else NETWORK
    plan = {
        "version": 7,
        "is_deployed_before": False,
        "judge_again": False,
        "waits_for_person": False,
        "names": NAMES,
        "container": {
            "Image": "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.4-2",
            "ModelDataUrl": "s3://artifacts/models/census/12/x/output/model.tar.gz",
            "Environment": {"SAGEMAKER_PROGRAM": "serve.py"},
        },
        "staging_variants": VARIANTS,
        "variants": VARIANTS,
        "moves": False,
        "shared": False,
        "traffic": {"step": 0, "looks": 0},
        "captures": True,
        "capture": {
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": "s3://artifacts/capture/census",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        },
        "deployment": {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
            },
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "perennial-guard-census-r3"}]},
        },
        "tags": [{"Key": "perennial:model", "Value": "census"}],
        "network": {
            "isolated": False,
            "check_data": network,
            "other_jobs": network,
            **({"vpc": SECURITY} if vpc else {}),
        },
        "instances": dict.fromkeys(("evaluate_champion", "compare", "smoke_test"), MACHINE),
        "code": f"s3://artifacts/code/census/{'c' * 64}.tar.gz",
        "candidate": {"settings_uri": f"{RUN}/settings.json"},
        "champion": {},
        "places": {
            **dict.fromkeys(("evaluate_champion", "compare", "smoke_test"), BASE),
            **dict.fromkeys(("check_data", "evaluate"), RUN),
        },
        "done": {},
        "smoke_test": {
            "code": f"s3://artifacts/code/census/{'e' * 64}.tar.gz",
            "settings": f"{RUN}/settings.json",
            "target": f"{BASE}/target",
            "result_key": "releases/census/3/smoke-test/smoke_test.json",
        },
    }
    return {**plan, **changes}


def tested(words: str, *, passed: bool) -> dict[str, Any]:
    """What the smoke test wrote."""
    return {"Body": json.dumps({"passed": passed, "words": words, "figures": {"rows": 200}})}


CHAMPION = {
    "code": f"s3://artifacts/code/census/{'b' * 64}.tar.gz",
    "settings_uri": "s3://artifacts/runs/census/9/settings.json",
    "artifact": "s3://artifacts/models/census/9/x/output/model.tar.gz",
}
JUDGED = planned(judge_again=True, champion=CHAMPION)
POOR = tested("census 7 did not pass 1 of 7 checks", passed=False)
ASKED = planned(waits_for_person=True)
ROLLBACK = planned(is_deployed_before=True)
SERVERLESS = [{"VariantName": "main", "ModelName": NAMES["config"],
               "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}]  # fmt: skip
MOVED = planned(moves=True, captures=False, deployment={}, variants=SERVERLESS,
                staging_variants=SERVERLESS)  # fmt: skip
SHARED_NAMES = {**NAMES, "endpoint": "perennial-shared", "staging": "perennial-shared"}
SHARED = planned(moves=True, shared=True, captures=False, deployment={}, variants=[],
                 staging_variants=[], names=SHARED_NAMES)  # fmt: skip
SHARED_BACK = {**SHARED, "is_deployed_before": True}


def described(status: str) -> dict[str, Any]:
    """What DescribeEndpoint answers of it."""
    return {"EndpointName": "e", "EndpointStatus": status, "EndpointConfigName": "c"}


def watched(following: str) -> dict[str, Any]:
    """What WatchTraffic answers."""
    words = "an alarm went off" if following == "back" else ""
    return {"next": following, "step": 1, "looks": 1, "words": words}


ANSWERS: dict[str, Sequence[Any]] = {
    "PlanRelease": [planned()],
    "EvaluateChampion": [{"ProcessingJobName": "perennial-census-r3-evaluate-champion-0"}],
    "Compare": [{"ProcessingJobName": "perennial-census-r3-compare-0"}],
    "JudgeRelease": [{"words": "auc 0.93 against the champion's 0.92"}],
    "CreateModel": [{"ModelArn": "arn"}],
    "CreateModelInVpc": [{"ModelArn": "arn"}],
    "CreateStagingConfig": [{"EndpointConfigArn": "arn"}],
    "CreateStaging": [{"EndpointArn": "arn"}],
    "DescribeStaging": Visits([described("Creating"), described("InService")]),
    "SmokeTest": [{"ProcessingJobName": "perennial-census-r3-smoke-test-0"}],
    "ReadSmokeTest": [tested("census 7 passed all 7 checks", passed=True)],
    "RemoveStaging": [{}],
    "AwaitApproval": [{"by": "ann", "because": "fine"}],
    "CreateEndpointConfig": [{"EndpointConfigArn": "arn"}],
    "GuardEndpoint": [{"alarms": []}],
    "CheckRelease": [{"exists": True, "keeps_counts": True}],
    "CreateUncapturedConfig": [{"EndpointConfigArn": "arn"}],
    "ShareModel": [{"endpoint": "perennial-shared", "target": "census/perennial-census-r3.tar.gz"}],
    "CreateEndpoint": [{"EndpointArn": "arn"}],
    "ShiftTraffic": [{"permille": 100, "step": 1, "looks": 0}],
    "WatchTraffic": Visits([watched("wait"), watched("shift"), watched("wait"), watched("done")]),
    "UpdateEndpoint": [{"EndpointArn": "arn"}],
    "DescribeEndpoint": Visits([described("Updating"), described("InService")]),
    "ConfirmRelease": [{"outcome": "released", "words": "released: it serves version 7"}],
}
PLANS = {
    **dict.fromkeys(("EvaluateChampion", "Compare", "JudgeRelease"), JUDGED),
    "CreateModelInVpc": planned(vpc=True),
    ASKING: ASKED,
    **dict.fromkeys(("CreateUncapturedConfig", "ShiftTraffic", "WatchTraffic"), MOVED),
    "ShareModel": SHARED,
}
SHARED_READY = {"exists": False, "keeps_counts": False}
FIRST = {"CheckRelease": [{"exists": False, "keeps_counts": False}]}


def document() -> dict[str, Any]:
    """A release's input, as whoever opens it writes it."""
    return {"model": "census", "release": 3, "prefix": "perennial-census-r3"}


@dataclass(frozen=True)
class ReleaseScenario(Scenario):
    """One execution of the release machine; `looks` are the visits of `about` in a loop."""

    looks: int = 1
    slept: int | None = None

    def run(self, program: Program) -> Ran:
        """Run it on a definition."""
        return run(program, document(), {**ANSWERS, **self.answers})

    def differences(self, ran: Ran) -> list[str]:
        """What the execution did otherwise; empty when it behaved."""
        found = [words for words in super().differences(ran) if not words.startswith("waits")]
        if len(ran.waits) != self.attempts - self.looks:
            found.append(f"it waited {len(ran.waits)} times to try again")
        if self.slept is not None and ran.slept != [20] * self.slept:
            found.append(f"it slept {ran.slept}")
        return found


def _whole_releases() -> list[ReleaseScenario]:
    staged = ("CreateModel", "CreateStagingConfig", "CreateStaging", "SmokeTest", "RemoveStaging")
    judging = ("EvaluateChampion", "Compare", "JudgeRelease")
    rolled_back = {"outcome": "rolled_back", "words": "rolled back: p99 passed 500 ms"}
    failed = {"outcome": "failed", "words": "failed: changed by someone else to x"}
    return [
        ReleaseScenario("released", "UpdateEndpoint", "SUCCEEDED", "Released", slept=4,
                        visits=staged, avoids=(*judging, ASKING, "CreateEndpoint")),
        ReleaseScenario("first release", "CreateEndpoint", "SUCCEEDED", "Released", answers=FIRST,
                        visits=staged, avoids=("UpdateEndpoint",)),
        ReleaseScenario("released, in the VPC", "CreateModelInVpc", "SUCCEEDED", "Released",
                        answers={"PlanRelease": [planned(vpc=True)], "CreateModel": []}),
        ReleaseScenario("judged again", "JudgeRelease", "SUCCEEDED", "Released",
                        answers={"PlanRelease": [JUDGED]}, visits=(*judging, *staged)),
        ReleaseScenario("let in by a person", ASKING, "SUCCEEDED", "Released",
                        answers={"PlanRelease": [ASKED]}),
        ReleaseScenario("nobody lets it in", ASKING, "FAILED", "NotApproved", "NotApproved",
                        "nobody approved this release for production within 14 days",
                        answers={"PlanRelease": [ASKED], ASKING: [Throw("States.Timeout")]},
                        avoids=("CreateEndpointConfig", "UpdateEndpoint")),
        ReleaseScenario("back to the last good one", "UpdateEndpoint", "SUCCEEDED", "Released",
                        answers={"PlanRelease": [ROLLBACK], **{state: [] for state in staged}},
                        visits=("GuardEndpoint",), avoids=(*staged, "CreateEndpointConfig")),
        ReleaseScenario("staging never comes up", "DescribeStaging", "FAILED", "StagingFailed",
                        "StagingFailed", "did not pass the ping",
                        answers={"DescribeStaging": [{**described("Failed"),
                                 "FailureReason": "it did not pass the ping health check"}]},
                        avoids=("SmokeTest", "UpdateEndpoint")),
        ReleaseScenario("the smoke test finds something", "ReadSmokeTest", "FAILED",
                        "SmokeTestNotPassed", "SmokeTestNotPassed", "did not pass 1 of 7 checks",
                        answers={"ReadSmokeTest": [POOR]},
                        avoids=("CreateEndpointConfig", "UpdateEndpoint")),
        ReleaseScenario("rolled back", "ConfirmRelease", "FAILED", "RolledBack", "RolledBack",
                        "p99 passed 500 ms", answers={"ConfirmRelease": [rolled_back]}),
        ReleaseScenario("changed by someone else", "ConfirmRelease", "FAILED", "NotReleased",
                        "NotReleased", "by someone else", answers={"ConfirmRelease": [failed]}),
        ReleaseScenario("moved", "ShiftTraffic", "SUCCEEDED", "Released", attempts=2, looks=2,
                        answers=plan_of("WatchTraffic"), slept=8,
                        visits=(*staged, "CreateUncapturedConfig", "GuardEndpoint",
                                "CreateEndpoint", "WatchTraffic"),
                        avoids=("UpdateEndpoint", "CreateEndpointConfig")),
        ReleaseScenario("moved back", "WatchTraffic", "FAILED", "RolledBack", "RolledBack",
                        "p99 passed 500 ms", visits=("ConfirmRelease",),
                        answers={**plan_of("WatchTraffic"), "WatchTraffic": [watched("back")],
                                 "ConfirmRelease": [rolled_back]}),
        ReleaseScenario("moved back to instances", "ShiftTraffic", "SUCCEEDED", "Released",
                        answers={"PlanRelease": [planned(moves=True)], **FIRST,
                                 "WatchTraffic": [watched("done")]},
                        visits=("CreateEndpointConfig",), avoids=("CreateUncapturedConfig",)),
        ReleaseScenario("moved on a shared endpoint", "ShareModel", "SUCCEEDED", "Released",
                        answers={"PlanRelease": [SHARED], "CheckRelease": [SHARED_READY]}, slept=6,
                        visits=("DescribeStaging", "SmokeTest", "GuardEndpoint", "ShiftTraffic",
                                "WatchTraffic"),
                        avoids=("CreateModel", "CreateStaging", "RemoveStaging",
                                "CreateUncapturedConfig", "CreateEndpointConfig",
                                "CreateEndpoint", "UpdateEndpoint")),
        ReleaseScenario("back on a shared endpoint", "ShareModel", "SUCCEEDED", "Released",
                        answers={"PlanRelease": [SHARED_BACK], "CheckRelease": [SHARED_READY]},
                        visits=("DescribeStaging", "GuardEndpoint", "ShiftTraffic"),
                        avoids=("SmokeTest", "NeedsAPerson", "CreateEndpoint", "UpdateEndpoint")),
        ReleaseScenario("not fit to be shared", "ReadSmokeTest", "FAILED", "SmokeTestNotPassed",
                        "SmokeTestNotPassed", "did not pass 1 of 7 checks",
                        answers={"PlanRelease": [SHARED], "ReadSmokeTest": [POOR]},
                        avoids=("ShiftTraffic", "RemoveStaging")),
        ReleaseScenario("its own endpoint never comes up", "ConfirmRelease", "FAILED",
                        "NotReleased", "NotReleased", avoids=("ShiftTraffic",),
                        answers={**plan_of("ShiftTraffic"), "ConfirmRelease": [failed],
                                 "DescribeEndpoint": [described("Failed")]}),
        *(
            ReleaseScenario(f"{state}: still {status}", state, "SUCCEEDED", "Released", slept=6,
                            answers={state: Visits([*[described(status)] * 3,
                                                    described("InService")])}, attempts=4, looks=4)
            for state in ("DescribeStaging", "DescribeEndpoint") for status in CHANGING
        ),
        *(
            ReleaseScenario(f"at rest as {status}", "ConfirmRelease", "FAILED", "NotReleased",
                            "NotReleased", answers={"DescribeEndpoint": [described(status)],
                                                    "ConfirmRelease": [failed]})
            for status in ("Failed", "UpdateRollbackFailed", "OutOfService")
        ),
        *(
            ReleaseScenario(f"{state}: {name}", state, "FAILED", name, name, "the cause",
                            answers={**plan_of(state), state: [Throw(name, "the cause")]})
            for name, states in (("NotClaimed", CLAIMING), ("Withdrawn", WITHDRAWING),
                                 ("Stale", STALE))
            for state in states
        ),
    ]  # fmt: skip


def plan_of(task: str) -> dict[str, Sequence[Any]]:
    """The answers that lead to a Task."""
    is_made = task == "CreateEndpoint" or PLANS.get(task) is MOVED
    found: dict[str, Sequence[Any]] = dict(FIRST) if is_made else {}
    if task == "ShiftTraffic":
        found["WatchTraffic"] = [watched("done")]
    return {**found, "PlanRelease": [PLANS[task]]} if task in PLANS else found


def _failed(task: str, error: str, attempts: int, words: str) -> ReleaseScenario:
    """A Task that fails for good ends the release by its name."""
    ends = f"{FAILS_AS.get(task, task)}Failed"
    answers = {**plan_of(task), task: [Throw(error, "the cause")]}
    return ReleaseScenario(
        f"{task}: {words}", task, "FAILED", ends, ends, f"{error}: the cause", attempts, answers
    )


def errors_of(task: str) -> Mapping[str, int]:
    """The errors that a Task is retried after, with the number of retries.

    Every kind of integration has one Retry (`test_tasks_of_a_kind_are_retried_alike`): every error
    is tried on its first Task, one of each list on the others.
    """
    kinds: tuple[tuple[Sequence[str], Mapping[str, int], Sequence[str]], ...] = (
        (JOBS, JOB_ERRORS, ONE_OF_EACH),
        (CALLS, CALL_ERRORS, ("SageMaker.SageMakerException", "SageMaker.ResourceLimitExceeded")),
        (CLAIMING, FUNCTION_ERRORS, ("Lambda.Unknown", "Unavailable")),
    )
    for tasks, errors, some in kinds:
        if task in tasks:
            return errors if task == tasks[0] else {name: errors[name] for name in some}
    return OBJECT_ERRORS


def _of_task(task: str) -> list[ReleaseScenario]:
    found = [_failed(task, "Terminal", 1, "an error that time does not heal is never retried")]
    found.append(_failed(task, "States.TaskFailed", 1, "a data error is never retried"))
    if task != ASKING:  # for a person, that is the answer
        found.append(_failed(task, "States.Timeout", 1, "a timeout is never retried"))
    last = ANSWERS[task][-1]
    loops = isinstance(ANSWERS[task], Visits)
    for error, retries in errors_of(task).items():
        answers = {**plan_of(task), task: [Throw(error), Throw(error), last]}
        if loops:  # the answers of a visit begin anew, so it must be the last one
            answers[task] = [Throw(error), Throw(error), last]
        found.append(
            ReleaseScenario(
                f"{task}: {error} passes",
                task,
                "SUCCEEDED",
                "Released",
                attempts=3,
                answers=answers,
            )
        )
        found.append(_failed(task, error, retries + 1, f"{error} for ever"))
    return found


SCENARIOS = _whole_releases() + [scenario for task in TASKS for scenario in _of_task(task)]
