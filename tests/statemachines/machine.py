"""Runs a definition in moto's interpreter, in this process, with answers by state name.

No service is called: each Task gets the answer that its script holds for the attempt. Waits of
Retry are recorded instead of slept, so that a run takes milliseconds.
"""

from __future__ import annotations

import datetime
import functools
import json
import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

from moto.stepfunctions.parser.api import StateMachineType
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import (
    CustomErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import (
    StatesErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.component.state.exec.state_task import mock_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_unsupported as unsupported,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import (
    ResourceCondition,
)
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import (
    WaitFunction,
)
from moto.stepfunctions.parser.asl.eval import states as states_data
from moto.stepfunctions.parser.asl.eval.evaluation_details import (
    AWSExecutionDetails,
    EvaluationDetails,
    ExecutionDetails,
    StateMachineDetails,
)
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.mocking.mock_config import (
    MockedResponseReturn,
    MockedResponseThrow,
)

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT, REGION = "111122223333", "eu-west-1"
SUBSTITUTIONS = {
    "AwsPartition": "aws",
    "ArtifactBucket": "artifacts",
    "JobImage": "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3",
    "ClarifyImage": "131013547314.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-clarify-processing:1.0",
    "GpuImage": "763104351884.dkr.ecr.eu-west-1.amazonaws.com/huggingface-pytorch-training:"
    "2.8.0-transformers4.56.2-gpu-py312-cu129-ubuntu22.04",
    "XGBoostImage": "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.0-5",
    "LinearLearnerImage": "438346466558.dkr.ecr.eu-west-1.amazonaws.com/linear-learner:1",
    **{
        f"{name}Arn": f"arn:aws:iam::{ACCOUNT}:role/perennial-{name}"
        for name in ("JobRole", "SmokeTestRole", "EndpointRole")
    },
    "KmsKeyArn": "",
    **{
        f"{name}FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
        for name in (
            *("CheckClaim", "PlanRun", "JudgeCandidate", "RegisterVersion", "ApproveCandidate"),
            *("PlanRelease", "JudgeRelease", "AwaitApproval", "GuardEndpoint", "CheckRelease"),
            *("ShareModel", "ShiftTraffic", "WatchTraffic", "ConfirmRelease"),
        )
    },
}


@dataclass(frozen=True)
class Throw:
    """An attempt that ends in an error."""

    error: str
    cause: str = "because"


class Visits(list[Any]):
    """Answers of a Task in a loop: one a visit, the last one for every later visit."""


@dataclass
class Ran:
    """What an execution did, from its history.

    `ways` are the steps from state to state, `largest` is the longest state input in bytes,
    `waits` are the pauses of Retry and `slept` those of Wait states, in seconds.
    """

    status: str = ""
    output: Any = None
    error: str = ""
    cause: str = ""
    visited: list[str] = field(default_factory=list)
    ways: list[tuple[str, str]] = field(default_factory=list)
    caught: list[tuple[str, str]] = field(default_factory=list)
    payloads: dict[str, list[Any]] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    largest: int = 0
    slept: list[float] = field(default_factory=list)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without moto's log, which prints whole parse trees; the history has it all."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


class Program:
    """A parsed definition; parsing takes far longer than running."""

    def __init__(self, definition: Mapping[str, Any]) -> None:
        # moto's interpreter knows no job of SageMaker; answered Tasks need only its consent.
        patterns: set[Any] = unsupported._SUPPORTED_INTEGRATION_PATTERNS
        patterns.add(ResourceCondition.Sync)
        self.text = json.dumps(definition)
        self.document = definition
        with _quiet():
            self.parsed = AmazonStateLanguageParser.parse(self.text)[0]


class _Worker(ExecutionWorker):
    """Runs in the caller's thread, on a definition that was parsed before."""

    program: Program

    def _get_evaluation_entrypoint(self) -> Any:
        return self.program.parsed


class _Comm:
    def terminated(self) -> None:
        """Nobody waits: the caller's thread is the worker."""


def load(name: str) -> dict[str, Any]:
    """The committed definition of a machine, its `${…}` filled in."""
    text = (ROOT / "statemachines" / f"{name}.asl.json").read_text("utf-8")
    filled = re.sub(r"\$\{(\w+)\}", lambda found: SUBSTITUTIONS[found[1]], text)
    document: dict[str, Any] = json.loads(filled)
    return document


def parse(definition: Mapping[str, Any]) -> Program:
    """Make a definition ready to run, many times."""
    return Program(definition)


def states_of(machine: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every state by its name, those of the branches of Parallel states among them."""
    found: dict[str, dict[str, Any]] = {}
    for name, state in machine["States"].items():
        found[name] = state
        for branch in state.get("Branches", []):
            found |= states_of(branch)
    return found


def _error_name(name: str) -> Any:
    if name.startswith("States."):
        return StatesErrorName(StatesErrorNameType.from_name(name))
    return CustomErrorName(name)


def _responses(program: Program, answers: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    found = {}
    for name, state in states_of(program.document).items():
        if state["Type"] != "Task":
            continue
        wrap = ":function:" in state["Resource"]
        responses: list[Any] = []
        for answer in answers.get(name, []):
            if isinstance(answer, Throw):
                responses.append(MockedResponseThrow(0, 0, answer.error, answer.cause))
            else:
                payload = {"Payload": answer, "StatusCode": 200} if wrap else answer
                responses.append(MockedResponseReturn(0, 0, payload))
        # The last answer holds for every later attempt.
        kind = _PerVisit if isinstance(answers.get(name), Visits) else _Endless
        endless = kind(responses, name)
        found[name] = SimpleNamespace(mocked_responses=endless)
    return found


class _Endless:
    def __init__(self, responses: list[Any], state: str) -> None:
        self.responses, self.state = responses, state

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, attempt: int) -> Any:
        if not self.responses:
            raise AssertionError(f"{self.state} was not expected to be reached")
        return self.responses[min(attempt, len(self.responses) - 1)]


class _PerVisit(_Endless):
    visits = 0

    def __getitem__(self, attempt: int) -> Any:
        self.visits += attempt == 0
        return super().__getitem__(self.visits - 1)


# moto builds jsonpath_ng's parser anew each time that it reads one of a machine's few paths.
_parse_path = functools.cache(json_path.parse)


def _copied(value: Any) -> Any:
    """A copy of a document, without the look-outs of `copy.deepcopy` for what JSON cannot hold."""
    if isinstance(value, dict):
        return {name: _copied(each) for name, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


_COPIER = SimpleNamespace(deepcopy=_copied)


@contextmanager
def _patched(waits: list[float], slept: list[float]) -> Iterator[None]:
    def skip(_wait: Any, env: Any, wait_seconds: float) -> None:
        slept.append(wait_seconds)

    sleeper = SimpleNamespace(sleep=waits.append, time=time.time)
    with (
        mock.patch.object(retrier_decl, "time", sleeper),
        mock.patch.object(mock_eval_utils, "CustomErrorName", _error_name),
        mock.patch.object(WaitFunction, "_wait_interval", skip),
        mock.patch.object(json_path, "parse", _parse_path),
        mock.patch.object(states_data, "copy", _COPIER),
        mock.patch.object(string_expression, "copy", _COPIER),
    ):
        yield


def run(program: Program, document: Any, answers: Mapping[str, Sequence[Any]]) -> Ran:
    """Run to the end; `answers` holds, per Task, one answer an attempt (the last one repeats)."""
    arn = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:perennial-retrain:{document['prefix']}"
    machine = arn.rsplit(":", 1)[0].replace(":execution:", ":stateMachine:")
    worker = _Worker(
        evaluation_details=EvaluationDetails(
            aws_execution_details=AWSExecutionDetails(
                account=ACCOUNT, region=REGION, role_arn=f"arn:aws:iam::{ACCOUNT}:role/machine"
            ),
            execution_details=ExecutionDetails(
                arn=arn,
                name=document["prefix"],
                role_arn=f"arn:aws:iam::{ACCOUNT}:role/machine",
                inpt=document,
                start_time=datetime.datetime.now(tz=datetime.UTC).isoformat(),
            ),
            state_machine_details=StateMachineDetails(
                arn=machine,
                name="perennial-retrain",
                typ=StateMachineType.STANDARD,
                definition=program.text,
            ),
        ),
        exec_comm=cast(Any, _Comm()),
        cloud_watch_logging_session=None,
        activity_store={},
        mock_test_case=cast(
            Any, SimpleNamespace(state_mocked_responses=_responses(program, answers))
        ),
    )
    worker.program = program
    waits: list[float] = []
    slept: list[float] = []
    with _quiet(), _patched(waits, slept):
        execute: Any = worker._execution_logic
        execute()
    ran = _ran(worker, program, waits)
    ran.slept = slept
    return ran


def _kind(event: Mapping[str, Any]) -> str:
    return str(event["type"].value)


def _ran(worker: _Worker, program: Program, waits: list[float]) -> Ran:
    assert worker.env is not None
    events: list[Any] = worker.env.event_manager.get_event_history()
    ran = Ran(waits=waits)
    # Branches run side by side: which state an event belongs to, the event before it tells.
    state_of: dict[int, str] = {}
    failed: set[str] = set()
    for event in events:
        kind, number = _kind(event), event["id"]
        before = state_of.get(event.get("previousEventId", 0), "")
        state_of[number] = before
        if kind.endswith("StateEntered"):
            entered = event["stateEnteredEventDetails"]
            name = entered["name"]
            if before in failed and name != before:
                ran.caught.append((before, name))
            if before:
                ran.ways.append((before, name))
            ran.visited.append(name)
            ran.largest = max(ran.largest, len(entered["input"].encode()))
            state_of[number] = name
        elif kind.endswith("Scheduled"):
            failed.discard(before)  # another attempt
            lambda_ = kind == "LambdaFunctionScheduled"
            details = event[
                "lambdaFunctionScheduledEventDetails" if lambda_ else "taskScheduledEventDetails"
            ]
            text = details["input" if lambda_ else "parameters"]
            ran.payloads.setdefault(before, []).append(json.loads(text))
        elif kind in ("TaskFailed", "LambdaFunctionFailed"):
            failed.add(before)
    # A branch that goes on after another one failed may be heard of after the end.
    endings = ("ExecutionSucceeded", "ExecutionFailed")
    (end,) = (event for event in events if _kind(event) in endings)
    return _ended(ran, end)


def _ended(ran: Ran, last: Mapping[str, Any]) -> Ran:
    if _kind(last) == "ExecutionSucceeded":
        ran.status = "SUCCEEDED"
        ran.output = json.loads(last["executionSucceededEventDetails"]["output"])
        return ran
    assert _kind(last) == "ExecutionFailed", last
    details = last["executionFailedEventDetails"]
    ran.status = "FAILED"
    ran.error, ran.cause = details.get("error") or "", details.get("cause") or ""
    return ran
