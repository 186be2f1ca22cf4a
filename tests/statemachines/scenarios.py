"""Every way through the retrain machine, and what must come of it.

The names of errors stand here once more on purpose: deleting one from the definition must fail.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.statemachines.machine import Program, Ran, Throw, run

JOBS = ("CheckData", "Train", "TrainInVpc", "Evaluate")
FUNCTIONS = ("CheckClaim", "JudgeCandidate", "RegisterVersion", "ApproveCandidate")
TASKS = ("CheckClaim", "CheckData", "ReadCheck", "Train", "TrainInVpc", "Evaluate",
         "JudgeCandidate", "RegisterVersion", "ApproveCandidate")  # fmt: skip
JOB_ERRORS = {
    "SageMaker.ThrottlingException": 6,
    "ThrottlingException": 6,
    "SageMaker.AmazonSageMakerException": 6,
    "SageMaker.SdkClientException": 6,
    "SageMaker.ResourceLimitExceededException": 5,
    "SageMaker.ResourceLimitExceeded": 5,
}
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
OBJECT_ERRORS = {"S3.S3Exception": 4, "S3.SdkClientException": 4}

SECURITY = {"SecurityGroupIds": ["sg-0123456789abcdef0"], "Subnets": ["subnet-0123456789abcdef0"]}
VERDICT = {
    "passed": True,
    "uri": "s3://artifacts/runs/census/12/verdict/verdict.json",
    "digest": "d" * 64,
    "words": "census 12 passes 2 of 2 gates",
}
ARN = "arn:aws:sagemaker:eu-west-1:111122223333:model-package/perennial-census/7"
ARTIFACT = "s3://artifacts/models/census/12/perennial-census-12-train-0/output/model.tar.gz"
ANSWERS: dict[str, list[Any]] = {
    "CheckClaim": [{}],
    "CheckData": [{"ProcessingJobName": "perennial-census-12-check-data-0", "Tags": []}],
    "ReadCheck": [{"Body": json.dumps({"refused": False, "reason": "", "rows": {"good": 9}})}],
    "Train": [
        {
            "TrainingJobName": "perennial-census-12-train-0",
            "ModelArtifacts": {"S3ModelArtifacts": ARTIFACT},
            "FinalMetricDataList": [],
        }
    ],
    "Evaluate": [{"ProcessingJobName": "perennial-census-12-evaluate-0"}],
    "JudgeCandidate": [VERDICT],
    "RegisterVersion": [{"version": 7, "arn": ARN, "status": "PendingManualApproval"}],
    "ApproveCandidate": [{"approved": True, "words": "by policy"}],
}
ANSWERS["TrainInVpc"] = ANSWERS["Train"]


def document(*, vpc: bool = False) -> dict[str, Any]:
    """A run's input, as `open_run` writes it."""
    base = "s3://artifacts/runs/census/12"
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
            for step in ("check_data", "train", "evaluate")
        },
        "hyperparameters": {"sagemaker_program": '"entry.py"', "step": '"train"'},
        "tags": [{"Key": "perennial:model", "Value": "census"}],
        "network": {
            "check_data": network,
            "evaluate": network,
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
    output: Mapping[str, Any] = field(default_factory=dict)

    def run(self, program: Program) -> Ran:
        """Run it on a definition."""
        return run(program, document(vpc=self.vpc), {**ANSWERS, **self.answers})

    def differences(self, ran: Ran) -> list[str]:
        """What the execution did otherwise; empty when it behaved."""
        attempts = len(ran.payloads.get(self.about, []))
        found = [
            f"{what} is {is_!r}, not {should!r}"
            for what, is_, should in (
                ("status", ran.status, self.status),
                ("last state", ran.visited[-1] if ran.visited else "", self.ends),
                ("error", ran.error, self.error),
                (f"attempts of {self.about}", attempts, self.attempts),
                ("waits", len(ran.waits), self.attempts - 1),
            )
            if is_ != should
        ]
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
        Scenario("won, outside a VPC", "Train", "SUCCEEDED", WON),
        Scenario("won, approval fails", "ApproveCandidate", "SUCCEEDED", WON,
                 answers={"ApproveCandidate": [Throw("States.TaskFailed")]},
                 output={"approval": LEFT}),
        Scenario("lost", "RegisterVersion", "SUCCEEDED", LOST,
                 answers={"JudgeCandidate": [verdict_lost], "ApproveCandidate": []},
                 output={"verdict": verdict_lost}),
        Scenario("refused", "ReadCheck", "FAILED", "Refused", "Refused", "rows: 50 of 1,000",
                 answers={"ReadCheck": [{"Body": json.dumps(refused)}], "Train": []}),
        Scenario("not claimed at the start", "CheckClaim", "FAILED", "NotClaimed", "NotClaimed",
                 "run 12 has ended",
                 answers={"CheckClaim": [Throw("NotClaimed", "run 12 has ended")]}),
        Scenario("not claimed any more", "RegisterVersion", "FAILED", "NotClaimed", "NotClaimed",
                 answers={"RegisterVersion": [Throw("NotClaimed")], "ApproveCandidate": []}),
    ]  # fmt: skip


def _failed(task: str, error: str, attempts: int, words: str) -> Scenario:
    """A Task that fails for good ends the run by its name; a failed approval does not."""
    vpc = task == "TrainInVpc"
    answers = {task: [Throw(error, "the cause")]}
    name = f"{task}: {words}"
    if task == "ApproveCandidate":
        left = {"approved": False, "words": f"left for a person: {error}"}
        return Scenario(name, task, "SUCCEEDED", WON, attempts=attempts, answers=answers,
                        output={"approval": left})  # fmt: skip
    ends = "TrainFailed" if vpc else f"{task}Failed"
    return Scenario(name, task, "FAILED", ends, ends, f"{error}: the cause", attempts, answers, vpc)


def errors_of(task: str) -> dict[str, int]:
    """The errors that a Task is retried after, with the number of retries."""
    if task in JOBS:
        return JOB_ERRORS
    return FUNCTION_ERRORS if task in FUNCTIONS else OBJECT_ERRORS


def _of_task(task: str) -> list[Scenario]:
    found = [
        _failed(task, "States.TaskFailed", 1, "a data error is never retried"),
        _failed(task, "States.Timeout", 1, "a timeout is never retried"),
        _failed(task, "Terminal", 1, "an error that time does not heal is never retried"),
    ]
    for error, retries in errors_of(task).items():
        answers = {task: [Throw(error), Throw(error), ANSWERS[task][0]]}
        found.append(
            Scenario(
                f"{task}: {error} passes",
                task,
                "SUCCEEDED",
                WON,
                attempts=3,
                answers=answers,
                vpc=task == "TrainInVpc",
            )
        )
        found.append(_failed(task, error, retries + 1, f"{error} for ever"))
    return found


SCENARIOS = _whole_runs() + [scenario for task in TASKS for scenario in _of_task(task)]
