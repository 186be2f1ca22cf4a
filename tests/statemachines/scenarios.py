"""Every way through the retrain machine, and what must come of it.

The names of errors stand here once more on purpose: deleting one from the definition must fail.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perennial.domain.settings import TrainSettings
from perennial.domain.training_job import (
    algorithm_specification,
    channels,
    reads_tables,
    trainer_image,
)

from tests.statemachines.machine import SUBSTITUTIONS, Program, Ran, Throw, run

JOBS = ("CheckData", "Train", "TrainInVpc", "Tune", "TuneInVpc", "TuneFromParents",
        "TuneFromParentsInVpc", "Evaluate", "EvaluateChampion", "Compare", "MeasureBias",
        "MeasureBiasWithClarify", "Explain", "Baseline")  # fmt: skip
FUNCTIONS = ("CheckClaim", "PlanRun", "JudgeCandidate", "RegisterVersion", "ApproveCandidate")
TASKS = (*FUNCTIONS[:2], "CheckData", "ReadCheck", "ReadBest", *JOBS[1:], *FUNCTIONS[2:])
WARM = ("TuneFromParents", "TuneFromParentsInVpc")
TUNING = ("Tune", "TuneInVpc", *WARM, "ReadBest")
#: What the candidate is judged without, should it fail, and who then says so to the verdict.
NOT_NEEDED = {"EvaluateChampion": "ChampionNotScored", "Compare": "NotCompared",
              "MeasureBias": "BiasNotMeasured", "MeasureBiasWithClarify": "BiasNotMeasured",
              "Explain": "NotExplained"}  # fmt: skip
STEPS = {"CheckData": "check_data", "Train": "train", "Evaluate": "evaluate",
         "EvaluateChampion": "evaluate_champion", "Compare": "compare",
         "MeasureBias": "measure_bias", "Explain": "explain"}  # fmt: skip
JOB_ERRORS = {
    "SageMaker.ThrottlingException": 6,
    "ThrottlingException": 6,
    "SageMaker.AmazonSageMakerException": 6,
    "SageMaker.SdkClientException": 6,
    "SageMaker.ResourceLimitExceededException": 5,
    "SageMaker.ResourceLimitExceeded": 5,
}
ONE_OF_EACH = ("SageMaker.ThrottlingException", "SageMaker.ResourceLimitExceeded")
FUNCTION_ERRORS = {
    "Lambda.ServiceException": 6,
    "Lambda.AWSLambdaException": 6,
    "Lambda.SdkClientException": 6,
    "Lambda.TooManyRequestsException": 6,
    "Lambda.Unknown": 6,
    "Runtime.ExitError": 6,
    "Sandbox.Timedout": 6,
    "Conflict": 6,
    "Throttled": 6,
    "Unavailable": 6,
}
SDK_ERRORS = {"SageMaker.SageMakerException": 4, "SageMaker.SdkClientException": 4}
OBJECT_ERRORS = {"S3.S3Exception": 4, "S3.SdkClientException": 4}

SECURITY = {"SecurityGroupIds": ["sg-0123456789abcdef0"], "Subnets": ["subnet-0123456789abcdef0"]}
VERDICT: dict[str, Any] = {
    "passed": True,
    "uri": "s3://artifacts/runs/census/12/verdict/verdict.json",
    "digest": "d" * 64,
    "words": "census 12 passes 2 of 2 gates",
    "artifact": "s3://artifacts/models/census/12/perennial-census-12-train-0/output/model.tar.gz",
}
ARN = "arn:aws:sagemaker:eu-west-1:111122223333:model-package/perennial-census/7"
ARTIFACT = VERDICT["artifact"]
BASE = "s3://artifacts/runs/census/12"
PLACES = dict.fromkeys([*STEPS.values(), "baseline"], BASE)
CHAMPION = {
    "version": 4,
    "run": 9,
    "arn": f"{ARN.rpartition('/')[0]}/4",
    "comparable": True,
    "words": "",
    "code": f"s3://artifacts/code/census/{'b' * 64}.tar.gz",
    "settings_uri": "s3://artifacts/runs/census/9/settings.json",
    "artifact": ARTIFACT.replace("12", "9"),
    "schema": "s3://artifacts/runs/census/9/check/schema.json",
}
REUSED: dict[str, Any] = {
    step: {"job": f"perennial-census-11-{step.replace('_', '-')}-0", "reused_from": 11}
    for step in STEPS.values()
}
REUSED["train"]["artifact"] = ARTIFACT.replace("12", "11")


PARENTS = {
    "WarmStartType": "TransferLearning",
    "ParentHyperParameterTuningJobs": [
        {"HyperParameterTuningJobName": "perennial-fedcba9876543210-0"}
    ],
}


def trained_by(train: TrainSettings) -> dict[str, Any]:
    """What the plan says of the training, as `plan_run` makes it."""
    images = {
        "xgboost": SUBSTITUTIONS["XGBoostImage"],
        "linear-learner": SUBSTITUTIONS["LinearLearnerImage"],
    }
    image = trainer_image(train, SUBSTITUTIONS["JobImage"], images)
    metrics = [{"Name": "auc", "Regex": "auc=(.+)"}]
    return {
        "algorithm": algorithm_specification(train, image, metrics),
        "channels": channels(train, BASE, f"{BASE}/settings.json"),
        "environment": {},
        "packaged": reads_tables(train),
        "packs_code": "no",
    }


def planned(*not_done: str, champion: bool = True, **more: Any) -> dict[str, Any]:
    """A plan that does every step but those named, which an earlier run has done."""
    opponent = {"evaluate_champion", "compare"}
    do = {step: step not in not_done for step in STEPS.values()}
    done = {step: REUSED[step] if step in not_done else {} for step in STEPS.values()}
    if not champion:
        do |= dict.fromkeys(opponent, False)
        done |= {step: {} for step in opponent}
    return {
        "places": PLACES,
        "do": do,
        "done": {**done, "baseline": {}},
        "champion": CHAMPION if champion else {"version": 0, "words": "there is no champion yet"},
        "check_key": "runs/census/12/check/summary.json",
        "training": trained_by(TrainSettings()),
        **more,
    }


def by_clarify() -> dict[str, Any]:
    """A plan in which Clarify measures the bias."""
    return planned(clarify={"config": f"{BASE}/clarify/analysis_config.json"})


def from_parents() -> dict[str, Any]:
    """A plan in which the search continues from an earlier one."""
    return planned(warm_start={"words": "the search continues from x", "config": PARENTS})


def plan_for(task: str) -> dict[str, Any]:
    """A plan by which a Task is reached."""
    if task == "MeasureBiasWithClarify":
        return by_clarify()
    return from_parents() if task in WARM else planned()


ANSWERS: dict[str, list[Any]] = {
    "CheckClaim": [{}],
    "PlanRun": [planned()],
    "CheckData": [{"ProcessingJobName": "perennial-census-12-check-data-0", "Tags": []}],
    "ReadCheck": [{"Body": json.dumps({"refused": False, "reason": "", "rows": {"good": 9}})}],
    "Train": [
        {
            "TrainingJobName": "perennial-census-12-train-0",
            "ModelArtifacts": {"S3ModelArtifacts": ARTIFACT},
            "FinalMetricDataList": [],
        }
    ],
    **{
        state: [{"ProcessingJobName": f"perennial-census-12-{name}-0"}]
        for state, name in (
            ("Evaluate", "evaluate"),
            ("EvaluateChampion", "evaluate-champion"),
            ("Compare", "compare"),
            ("MeasureBias", "measure-bias"),
            ("MeasureBiasWithClarify", "measure-bias"),
            ("Explain", "explain"),
            ("Baseline", "baseline"),
        )
    },
    "JudgeCandidate": [VERDICT],
    "RegisterVersion": [{"version": 7, "arn": ARN, "status": "PendingManualApproval"}],
    "ApproveCandidate": [{"approved": True, "words": "by policy"}],
}
ANSWERS["TrainInVpc"] = ANSWERS["Train"]
SEARCHED = {
    "HyperParameterTuningJobName": "perennial-0123456789abcdef-0",
    "BestTrainingJob": {"TrainingJobName": "perennial-0123456789abcdef-0-003-0a1b"},
}
ANSWERS |= {state: [SEARCHED] for state in ("Tune", "TuneInVpc", *WARM)}
ANSWERS["ReadBest"] = [
    {
        "TrainingJobName": "perennial-0123456789abcdef-0-003-0a1b",
        "TuningJobArn": "arn:aws:sagemaker:eu-west-1:111122223333:hyper-parameter-tuning-job/x",
        "ModelArtifacts": {"S3ModelArtifacts": ARTIFACT},
    }
]
SEARCH = {
    "Strategy": "Bayesian",
    "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "auc"},
    "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
    "ParameterRanges": {
        "ContinuousParameterRanges": [
            {
                "Name": "learning_rate",
                "MinValue": "0.01",
                "MaxValue": "0.3",
                "ScalingType": "Logarithmic",
            }
        ]
    },
    "TrainingJobEarlyStoppingType": "Auto",
}


def document(*, vpc: bool = False, tuned: bool = False) -> dict[str, Any]:
    """A run's input, as `open_run` writes it."""
    base = BASE
    network: dict[str, Any] = {"EnableNetworkIsolation": False}
    if vpc:
        network["VpcConfig"] = SECURITY
    return {
        "model": "census",
        "run": 12,
        "prefix": "perennial-census-12",
        "settings": 3,
        "code": f"s3://artifacts/code/census/{'c' * 64}.tar.gz",
        "code_sha": "c" * 64,
        "manifest": f"{base}/manifest-{'a' * 16}.json",
        "settings_uri": f"{base}/settings.json",
        "base": base,
        "models": "s3://artifacts/models/census/12",
        "group": "perennial-census",
        "instances": {
            step: {"type": "ml.m5.large", "count": 1, "volume_gb": 30, "max_seconds": 3600}
            for step in (*STEPS.values(), "baseline")
        },
        "hyperparameters": {"sagemaker_program": '"entry.py"', "step": '"train"'},
        "training": {
            "spot": False,
            "stopping": {"MaxRuntimeInSeconds": 3600},
            "checkpoints": f"{BASE}/spot-checkpoints",
            "metrics": [{"Name": "auc", "Regex": "auc=([0-9.]+);"}],
            "tuning_prefix": "perennial-0123456789abcdef",
            **({"tuning": SEARCH} if tuned else {}),
        },
        "tags": [{"Key": "perennial:model", "Value": "census"}],
        "network": {
            "check_data": network,
            "other_jobs": network,
            "isolated": False,
            **({"vpc": SECURITY} if vpc else {}),
        },
    }


@dataclass(frozen=True)
class Scenario:
    """One execution and what it must do; `about` is the state that it is made for."""

    name: str
    about: str
    status: str
    ends: str
    error: str = ""
    cause: str = ""
    attempts: int = 1
    answers: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    vpc: bool = False
    tuned: bool = False
    output: Mapping[str, Any] = field(default_factory=dict)
    visits: tuple[str, ...] = ()
    avoids: tuple[str, ...] = ()

    def run(self, program: Program) -> Ran:
        """Run it on a definition."""
        given = document(vpc=self.vpc, tuned=self.tuned)
        return run(program, given, {**ANSWERS, **self.answers})

    def differences(self, ran: Ran) -> list[str]:
        """What the execution did otherwise; empty when it behaved."""
        attempts = len(ran.payloads.get(self.about, []))
        # When a branch fails, another one may be seen at work after it.
        is_amid = bool(ran.error) and self.ends in ran.visited
        last = self.ends if is_amid else "".join(ran.visited[-1:])
        found = [
            f"{what} is {is_!r}, not {should!r}"
            for what, is_, should in (
                ("status", ran.status, self.status),
                ("last state", last, self.ends),
                ("error", ran.error, self.error),
                (f"attempts of {self.about}", attempts, self.attempts),
                ("waits", len(ran.waits), self.attempts - 1),
            )
            if is_ != should
        ]
        found += [f"{name} is not visited" for name in self.visits if name not in ran.visited]
        found += [f"{name} is visited" for name in self.avoids if name in ran.visited]
        if self.cause not in ran.cause:
            found.append(f"cause is {ran.cause!r}, without {self.cause!r}")
        for key, value in self.output.items():
            if (ran.output or {}).get(key) != value:
                found.append(f"output {key} is {(ran.output or {}).get(key)!r}, not {value!r}")
        return found


WON, LOST = "CandidateRegistered", "CandidateLost"
LEFT = {"approved": False, "words": "left for a person: States.TaskFailed"}


def _whole_runs() -> list[Scenario]:
    refused = {"refused": True, "reason": "rows: 50 of 1,000"}
    verdict_lost = {**VERDICT, "passed": False}
    return [
        Scenario("won and approved", "ApproveCandidate", "SUCCEEDED", WON,
                 output={"approval": {"approved": True, "words": "by policy"},
                         "verdict": VERDICT, "version": ANSWERS["RegisterVersion"][0]}),
        Scenario("won, in the VPC", "TrainInVpc", "SUCCEEDED", WON, vpc=True),
        Scenario("won, tuned", "Tune", "SUCCEEDED", WON, tuned=True, visits=("ReadBest",),
                 answers={"Train": [], "TuneInVpc": []}),
        Scenario("won, tuned in the VPC", "TuneInVpc", "SUCCEEDED", WON, tuned=True, vpc=True,
                 visits=("ReadBest",), answers={"TrainInVpc": [], "Tune": []}),
        Scenario("won, tuned from earlier searches", "TuneFromParents", "SUCCEEDED", WON,
                 tuned=True, visits=("ReadBest",),
                 answers={"PlanRun": [from_parents()], "Train": [], "Tune": []}),
        Scenario("won, tuned from earlier searches in the VPC", "TuneFromParentsInVpc",
                 "SUCCEEDED", WON, tuned=True, vpc=True, visits=("ReadBest",),
                 answers={"PlanRun": [from_parents()], "TrainInVpc": [], "TuneInVpc": []}),
        Scenario("won, tuned without an earlier search", "Tune", "SUCCEEDED", WON, tuned=True,
                 answers={"PlanRun": [planned(warm_start={"words": "the search starts cold"})],
                          "TuneFromParents": []}),
        Scenario("won, bias measured by Clarify", "MeasureBiasWithClarify", "SUCCEEDED", WON,
                 answers={"PlanRun": [by_clarify()], "MeasureBias": []},
                 avoids=("MeasureBias", "BiasNotMeasured")),
        Scenario("won, outside a VPC", "Train", "SUCCEEDED", WON),
        Scenario("won, approval fails", "ApproveCandidate", "SUCCEEDED", WON,
                 answers={"ApproveCandidate": [Throw("States.TaskFailed")]},
                 output={"approval": LEFT}),
        Scenario("lost", "RegisterVersion", "SUCCEEDED", LOST,
                 answers={"JudgeCandidate": [verdict_lost], "ApproveCandidate": [],
                          "Baseline": []},
                 avoids=("Baseline",), output={"verdict": verdict_lost}),
        Scenario("refused", "ReadCheck", "FAILED", "Refused", "Refused", "rows: 50 of 1,000",
                 answers={"ReadCheck": [{"Body": json.dumps(refused)}], "Train": []}),
        Scenario("not claimed at the start", "CheckClaim", "FAILED", "NotClaimed", "NotClaimed",
                 "run 12 has ended",
                 answers={"CheckClaim": [Throw("NotClaimed", "run 12 has ended")]}),
        Scenario("not claimed when planning", "PlanRun", "FAILED", "NotClaimed", "NotClaimed",
                 "run 12 has ended",
                 answers={"PlanRun": [Throw("NotClaimed", "run 12 has ended")]}),
        Scenario("no champion yet", "JudgeCandidate", "SUCCEEDED", WON,
                 answers={"PlanRun": [planned(champion=False)], "EvaluateChampion": [],
                          "Compare": []},
                 visits=("ChampionAsPlanned", "ComparisonAsPlanned", "MeasureBias", "Explain"),
                 avoids=("EvaluateChampion", "Compare")),
        *(
            Scenario(f"{state} was done before", "JudgeCandidate", "SUCCEEDED", WON,
                     answers={"PlanRun": [planned(step)], state: []}, avoids=(state,))
            for state, step in STEPS.items()
        ),
        Scenario("only a gate has changed", "JudgeCandidate", "SUCCEEDED", WON,
                 answers={"PlanRun": [planned(*STEPS.values())],
                          **{state: [] for state in (*STEPS, "TrainInVpc")}},
                 visits=("EvaluationReused", "ChampionAsPlanned", "ComparisonAsPlanned",
                         "BiasAsPlanned", "ExplanationAsPlanned"), avoids=tuple(STEPS)),
        Scenario("all that may fail fails", "JudgeCandidate", "SUCCEEDED", WON,
                 answers={state: [Throw("States.TaskFailed")] for state in NOT_NEEDED
                          if state != "Compare"} | {"Compare": []},
                 visits=("ChampionNotScored", "ComparisonAsPlanned", "BiasNotMeasured",
                         "NotExplained"), avoids=("Compare",)),
        Scenario("not claimed any more", "RegisterVersion", "FAILED", "NotClaimed", "NotClaimed",
                 answers={"RegisterVersion": [Throw("NotClaimed")], "ApproveCandidate": []}),
    ]  # fmt: skip


def _failed(task: str, error: str, attempts: int, words: str) -> Scenario:
    """A Task that fails for good ends the run by its name; a failed approval does not."""
    vpc, tuned = task.endswith("InVpc"), task in TUNING
    answers = {"PlanRun": [plan_for(task)], task: [Throw(error, "the cause")]}
    name = f"{task}: {words}"
    if task == "ApproveCandidate":
        left = {"approved": False, "words": f"left for a person: {error}"}
        return Scenario(name, task, "SUCCEEDED", WON, attempts=attempts, answers=answers,
                        output={"approval": left})  # fmt: skip
    if task in NOT_NEEDED:
        return Scenario(name, task, "SUCCEEDED", WON, attempts=attempts, answers=answers,
                        visits=(NOT_NEEDED[task],))  # fmt: skip
    ends = f"{task.removesuffix('InVpc').removesuffix('FromParents')}Failed"
    return Scenario(
        name, task, "FAILED", ends, ends, f"{error}: the cause", attempts, answers, vpc, tuned
    )


def errors_of(task: str) -> dict[str, int]:
    """The errors that a Task is retried after, with the number of retries.

    All jobs have the same Retry (`test_every_job_is_retried_alike`): every error is tried on the
    first two, one of each list on the others.
    """
    if task in JOBS[:2]:
        return JOB_ERRORS
    if task in JOBS:
        return {name: JOB_ERRORS[name] for name in ONE_OF_EACH}
    if task == "ReadBest":
        return SDK_ERRORS
    return FUNCTION_ERRORS if task in FUNCTIONS else OBJECT_ERRORS


def _of_task(task: str) -> list[Scenario]:
    found = [
        _failed(task, "States.TaskFailed", 1, "a data error is never retried"),
        _failed(task, "States.Timeout", 1, "a timeout is never retried"),
        _failed(task, "Terminal", 1, "an error that time does not heal is never retried"),
    ]
    for error, retries in errors_of(task).items():
        passes = [Throw(error), Throw(error), {**ANSWERS, "PlanRun": [plan_for(task)]}[task][0]]
        answers = {"PlanRun": [plan_for(task)], task: passes}
        found.append(
            Scenario(
                f"{task}: {error} passes",
                task,
                "SUCCEEDED",
                WON,
                attempts=3,
                answers=answers,
                vpc=task.endswith("InVpc"),
                tuned=task in TUNING,
            )
        )
        found.append(_failed(task, error, retries + 1, f"{error} for ever"))
    return found


SCENARIOS = _whole_runs() + [scenario for task in TASKS for scenario in _of_task(task)]
