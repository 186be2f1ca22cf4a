"""Executions are started once; only the jobs of exactly one run are stopped."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from moto import mock_aws
from perennial.aws import jobs
from perennial.aws.clients import client, forget_clients
from perennial.aws.machine import Machine
from perennial.domain.errors import NotFound, Rejected


@pytest.fixture
def machine(aws: None) -> Machine:
    """A machine whose executions stay running."""
    definition = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
    made = boto3.client("stepfunctions").create_state_machine(
        name="perennial-retrain",
        definition=json.dumps(definition),
        roleArn="arn:aws:iam::123456789012:role/states",
    )
    return Machine(made["stateMachineArn"])


def test_a_second_start_finds_the_first(machine: Machine) -> None:
    """The same name and input answer the same ARN."""
    first = machine.start("perennial-census-1", "{}")
    assert machine.start("perennial-census-1", "{}") == first
    assert first.endswith(":execution:perennial-retrain:perennial-census-1")


def test_a_start_of_an_execution_that_is_over_finds_it(machine: Machine) -> None:
    """ExecutionAlreadyExists means: it was started before."""
    first = machine.start("perennial-census-1", "{}")
    machine.stop(first, error="Stopped", cause="by a test")
    assert machine.start("perennial-census-1", "{}") == first


def test_an_execution_of_that_name_with_another_input_is_not_ours(machine: Machine) -> None:
    """Left by an earlier ledger of the same stack's name: its end must not become our run's."""
    machine.start("perennial-census-1", "{}")
    with pytest.raises(Rejected, match="works on something else"):
        machine.start("perennial-census-1", '{"other":1}')


def test_a_missing_machine_is_not_found(aws: None) -> None:
    """Starting on a machine that is gone does not look like success."""
    gone = Machine("arn:aws:states:eu-west-1:123456789012:stateMachine:gone")
    with pytest.raises(NotFound):
        gone.start("perennial-census-1", "{}")


def test_an_execution_is_described_with_times_in_milliseconds(machine: Machine) -> None:
    """Status, cause and times, and None for an execution that never was."""
    arn = machine.start("perennial-census-1", '{"model":"census"}')
    running = machine.describe(arn)
    assert running is not None
    assert not running.is_over
    assert running.input == '{"model":"census"}'
    assert running.stopped_ms is None
    machine.stop(arn, error="Stopped", cause="by a test")
    stopped = machine.describe(arn)
    assert stopped is not None
    assert (stopped.status, stopped.is_over) == ("ABORTED", True)
    assert stopped.stopped_ms is not None
    assert stopped.stopped_ms >= stopped.started_ms > 1_600_000_000_000
    assert machine.describe(arn + "-not") is None
    machine.stop(arn + "-not", error="Stopped", cause="nothing there")


def answered(monkeypatch: pytest.MonkeyPatch, listed: dict[str, list[str]]) -> list[str]:
    """Let SageMaker list the named jobs as in progress; the names that were stopped."""
    stopped: list[str] = []

    def call(self: Any, operation: str, request: dict[str, Any]) -> Any:
        if operation.startswith("List"):
            kind = operation.removeprefix("List").removesuffix("Jobs")
            names = [n for n in listed[kind] if request["NameContains"] in n]
            status = request["StatusEquals"]
            return {
                f"{kind}JobSummaries": [
                    {f"{kind}JobName": name, f"{kind}JobStatus": status}
                    for name in names
                    if status == "InProgress"
                ]
            }
        assert operation.startswith("Stop")
        stopped.append(next(iter(request.values())))
        return {}

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", call)
    return stopped


def test_only_the_jobs_of_exactly_this_run_are_stopped(
    monkeypatch: pytest.MonkeyPatch, aws: None
) -> None:
    """NameContains also finds run 12, another model and another stack: those keep running."""
    stopped = answered(
        monkeypatch,
        {
            "Training": [
                "perennial-census-1-train-0",
                "perennial-census-12-train-0",
                "perennial-census-1-2-train-0",
                "dev-perennial-census-1-train-0",
            ],
            "Processing": ["perennial-census-1-check-data-1", "perennial-census-1-mine"],
            "HyperParameterTuning": ["perennial-0a-0", "perennial-0ab-0", "perennial-0a-0-x"],
        },
    )
    left = jobs.stop_jobs("perennial-census-1", "perennial-0a")
    expected = ["perennial-census-1-train-0", "perennial-census-1-check-data-1", "perennial-0a-0"]
    assert stopped == expected
    assert [job.name for job in left] == expected


def test_clients_are_made_once_a_process() -> None:
    """The second use of a service costs nothing."""
    with mock_aws():
        forget_clients()
        assert client("sqs") is client("sqs")
