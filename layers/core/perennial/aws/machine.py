"""Executions of our state machines in Step Functions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import Conflict, NotFound, Rejected
from perennial.domain.naming import execution_arn

TERMINAL = frozenset({"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"})


@dataclass(frozen=True)
class Execution:
    """What DescribeExecution tells; output is parsed, None while there is none."""

    arn: str
    name: str
    status: str
    input: str
    output: Any
    error: str
    cause: str
    started_ms: int
    stopped_ms: int | None
    redrives: int

    @property
    def is_over(self) -> bool:
        """Say whether the execution can do nothing more by itself."""
        return self.status in TERMINAL


@dataclass(frozen=True)
class Machine:
    """One state machine, by its ARN."""

    arn: str

    def start(self, name: str, document: str) -> str:
        """Start the execution of this name, or find it started before; its ARN.

        Step Functions answers a repeated start of a running execution with the same ARN, and
        `ExecutionAlreadyExists` for 90 days after its end: both mean that it was started.
        Raises `Rejected` if the execution of that name is another one, of an earlier ledger.
        """
        try:
            with translated(f"starting execution {name}"):
                answer = client("stepfunctions").start_execution(
                    stateMachineArn=self.arn, name=name, input=document
                )
        except Conflict:
            arn = execution_arn(self.arn, name)
            found = describe(arn)
            if found is not None and found.input != document:
                raise Rejected(
                    f"execution {name} exists already and works on something else; asked again, "
                    "it takes the next number"
                ) from None
            return arn
        return answer["executionArn"]

    def describe(self, execution: str) -> Execution | None:
        """The state of an execution by its ARN, or None when there is none."""
        return describe(execution)

    def stop(self, execution: str, *, error: str, cause: str) -> None:
        """Stop an execution; one that is over or unknown stays as it is."""
        try:
            with translated(f"stopping execution {execution}"):
                client("stepfunctions").stop_execution(
                    executionArn=execution, error=error[:256], cause=cause[:32768]
                )
        except NotFound:
            return

    def answer(self, token: str) -> bool:
        """Let the state that waits with this task token go on; False when none waits any more."""
        try:
            with translated("answering a task token"):
                client("stepfunctions").send_task_success(taskToken=token, output="{}")
        except (NotFound, Rejected):
            return False
        return True


def describe(execution: str) -> Execution | None:
    """The state of an execution by its ARN, or None when there is none."""
    try:
        with translated(f"describing execution {execution}"):
            found = client("stepfunctions").describe_execution(executionArn=execution)
    except NotFound:
        return None
    stopped = found.get("stopDate")
    return Execution(
        arn=found["executionArn"],
        name=found["name"],
        status=found["status"],
        input=found.get("input", ""),
        output=json.loads(found["output"]) if found.get("output") else None,
        error=found.get("error", ""),
        cause=found.get("cause", ""),
        started_ms=int(found["startDate"].timestamp() * 1000),
        stopped_ms=int(stopped.timestamp() * 1000) if stopped else None,
        redrives=int(found.get("redriveCount", 0)),
    )
