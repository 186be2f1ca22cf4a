"""Executions through the API: names, pages, stops, redrives, events, logs, definitions."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

PASS: dict[str, Any] = {"Type": "Pass", "End": True}


def waiting(seconds: int = 600) -> dict[str, Any]:
    """A state that waits."""
    return {"Wait": {"Type": "Wait", "Seconds": seconds, "End": True}}


def test_a_name_is_idempotent_only_while_it_runs(machines: Any) -> None:
    """Same name and input while running: the same execution; else ExecutionAlreadyExists."""
    machine = machines.create(waiting())
    first = machines.start(machine, {"a": 1}, name="run-1")
    assert machines.start(machine, {"a": 1}, name="run-1") == first
    exists = machines.states.exceptions.ExecutionAlreadyExists
    with pytest.raises(exists):
        machines.start(machine, {"a": 2}, name="run-1")
    stopped = machines.states.stop_execution(executionArn=first)["stopDate"]
    assert machines.wait(first)["status"] == "ABORTED"
    assert machines.states.stop_execution(executionArn=first)["stopDate"] == stopped
    with pytest.raises(exists):
        machines.start(machine, {"a": 1}, name="run-1")
    with pytest.raises(machines.states.exceptions.InvalidName):
        machines.start(machine, name="no spaces")
    with pytest.raises(machines.states.exceptions.InvalidExecutionInput):
        machines.states.start_execution(stateMachineArn=machine, input="{")
    with pytest.raises(machines.states.exceptions.StateMachineDoesNotExist):
        machines.start(machine + "x")
    with pytest.raises(machines.states.exceptions.ExecutionDoesNotExist):
        machines.states.describe_execution(executionArn=first + "x")


def test_lists_and_histories_come_in_pages(machines: Any) -> None:
    """Newest executions first, filtered by status; a history forwards and backwards."""
    machine = machines.create({"A": {"Type": "Pass", "Next": "B"}, "B": PASS})
    arns = [machines.start(machine, {"n": n}) for n in range(3)]
    for arn in arns:
        machines.wait(arn)
    listing = machines.states.list_executions
    first = listing(stateMachineArn=machine, maxResults=2)
    second = listing(stateMachineArn=machine, maxResults=2, nextToken=first["nextToken"])
    found = [entry["executionArn"] for entry in first["executions"] + second["executions"]]
    assert found == arns[::-1]
    assert listing(stateMachineArn=machine, statusFilter="FAILED")["executions"] == []
    history = machines.states.get_execution_history
    forward = history(executionArn=arns[0], maxResults=4)
    rest = history(executionArn=arns[0], maxResults=4, nextToken=forward["nextToken"])
    events = forward["events"] + rest["events"]
    assert [event["id"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event["previousEventId"] for event in events] == [0, 1, 2, 3, 4, 5]
    backward = history(executionArn=arns[0], reverseOrder=True, maxResults=1)["events"]
    assert backward[0]["type"] == "ExecutionSucceeded"
    bare = history(executionArn=arns[0], includeExecutionData=False)["events"]
    assert "input" not in bare[0]["executionStartedEventDetails"]
    with pytest.raises(machines.states.exceptions.InvalidToken):
        history(executionArn=arns[1], nextToken=forward["nextToken"])


def test_a_redrive_goes_on_from_the_failed_state(machines: Any, jobs: Any) -> None:
    """The failed state runs again with its input and the old definition; history is appended."""
    states: dict[str, Any] = {
        "First": {"Type": "Pass", "Result": {"key": "redrive.json"}, "Next": "Read"},
        "Read": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:s3:getObject",
            "Parameters": {"Bucket": jobs.bucket, "Key.$": "$.key"},
            "ResultSelector": {"text.$": "$.Body", "redriven.$": "$$.Execution.RedriveCount"},
            "End": True,
        },
    }
    execution = machines.start(machines.create(states))
    failed = machines.wait(execution)
    assert (failed["error"], failed["redriveStatus"]) == ("S3.NoSuchKeyException", "REDRIVABLE")
    jobs.put("redrive.json", "now it is here")
    machines.states.redrive_execution(executionArn=execution, clientToken="once")
    found = machines.wait(execution)
    assert found["output"] == {"text": "now it is here", "redriven": 1}
    assert found["redriveCount"] == 1
    kinds = machines.kinds(execution)
    assert kinds.count("PassStateEntered") == 1
    assert "ExecutionRedriven" in kinds
    assert machines.states.redrive_execution(executionArn=execution, clientToken="once")
    with pytest.raises(machines.states.exceptions.ExecutionNotRedrivable):
        machines.states.redrive_execution(executionArn=execution)


def test_status_changes_are_announced_in_awss_shape(machines: Any) -> None:
    """RUNNING and the end, with times in milliseconds and input and output as text."""
    sqs, events = machines.cloud.client("sqs"), machines.cloud.client("events")
    queue = sqs.create_queue(QueueName=machines.name("status"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    machine = machines.create({"No": {"Type": "Fail", "Error": "Refused", "Cause": "too few"}})
    pattern = {"source": ["aws.states"], "detail": {"stateMachineArn": [machine]}}
    rule = machines.name("rule")
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "q", "Arn": arn["QueueArn"]}])
    execution = machines.start(machine, {"a": "ü"})
    seen: dict[str, Any] = {}
    end = time.monotonic() + 10
    while len(seen) < 2 and time.monotonic() < end:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in answer.get("Messages", []):
            event = json.loads(message["Body"])
            seen[event["detail"]["status"]] = event
    assert set(seen) == {"RUNNING", "FAILED"}
    failed = seen["FAILED"]
    assert failed["detail-type"] == "Step Functions Execution Status Change"
    assert failed["resources"] == [execution]
    detail = failed["detail"]
    assert json.loads(detail["input"]) == {"a": "ü"}
    assert (detail["error"], detail["cause"], detail["output"]) == ("Refused", "too few", None)
    assert isinstance(detail["stopDate"], int)
    assert detail["stopDate"] > 1_000_000_000_000
    assert detail["redriveStatus"] == "REDRIVABLE"
    assert seen["RUNNING"]["detail"]["stopDate"] is None
    assert set(detail) == {
        "executionArn", "stateMachineArn", "name", "status", "startDate", "stopDate", "input",
        "inputDetails", "output", "outputDetails", "error", "cause", "stateMachineVersionArn",
        "stateMachineAliasArn", "redriveCount", "redriveDate", "redriveStatus",
        "redriveStatusReason",
    }  # fmt: skip
    large = machines.start(machine, {"x": "y" * 255_000})
    machines.wait(large)
    end = time.monotonic() + 10
    details: list[dict[str, Any]] = []
    while len(details) < 2 and time.monotonic() < end:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        details += [json.loads(m["Body"])["detail"] for m in answer.get("Messages", [])]
    assert [(d["input"], d["inputDetails"]) for d in details] == [(None, {"included": False})] * 2


def test_errors_reach_the_machines_log_group(machines: Any) -> None:
    """Level ERROR writes failures only, without data unless that is asked for."""
    logs = machines.cloud.client("logs")
    group = f"/aws/vendedlogs/states/{machines.name('logs')}"
    logs.create_log_group(logGroupName=group)
    arn = f"arn:aws:logs:eu-west-1:123456789012:log-group:{group}:*"
    machine = machines.create(
        {"A": {"Type": "Pass", "Next": "No"}, "No": {"Type": "Fail", "Error": "Refused"}},
        loggingConfiguration={
            "level": "ERROR",
            "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": arn}}],
        },
    )
    machines.wait(machines.start(machine))
    lines = [
        json.loads(event["message"])
        for event in logs.filter_log_events(logGroupName=group)["events"]
    ]
    assert [line["type"] for line in lines] == ["ExecutionFailed"]
    assert lines[0]["details"]["error"] == "Refused"


def test_waits_follow_the_clock(start_cloud: Any) -> None:
    """With a clock factor an hour's Wait and a retry's pause pass quickly."""
    from tests.functional.states.conftest import Machines

    machines = Machines(start_cloud("--clock", "3600"))
    started = time.monotonic()
    assert machines.run(waiting(3600))["status"] == "SUCCEEDED"
    task = {
        "Type": "Task",
        "Resource": "arn:aws:lambda:eu-west-1:123456789012:function:nobody",
        "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 600, "MaxAttempts": 2}],
        "End": True,
    }
    assert machines.run({"T": task})["error"] == "Lambda.ResourceNotFoundException"
    assert time.monotonic() - started < 10


def test_a_running_execution_keeps_its_definition(machines: Any) -> None:
    """UpdateStateMachine changes later executions only; describe shows both."""
    machine = machines.create({"W": {"Type": "Wait", "Seconds": 1, "Next": "P"}, "P": PASS})
    first = machines.start(machine)
    new = {"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": "new", "End": True}}}
    updated = machines.states.update_state_machine(
        stateMachineArn=machine, definition=json.dumps(new)
    )
    assert updated["revisionId"]
    assert machines.wait(machines.start(machine))["output"] == "new"
    assert machines.wait(first)["output"] == {}
    described = machines.states.describe_state_machine(stateMachineArn=machine)
    assert json.loads(described["definition"]) == new
    old = machines.states.describe_state_machine_for_execution(executionArn=first)
    assert "Wait" in old["definition"]


def test_tags_and_deletion(machines: Any) -> None:
    """Tags of a machine; deleting it ends its executions."""
    machine = machines.create(waiting(), tags=[{"key": "a", "value": "1"}])
    machines.states.tag_resource(resourceArn=machine, tags=[{"key": "b", "value": "2"}])
    machines.states.untag_resource(resourceArn=machine, tagKeys=["a"])
    tags = machines.states.list_tags_for_resource(resourceArn=machine)["tags"]
    assert tags == [{"key": "b", "value": "2"}]
    execution = machines.start(machine)
    machines.states.delete_state_machine(stateMachineArn=machine)
    machines.states.delete_state_machine(stateMachineArn=machine)
    with pytest.raises(machines.states.exceptions.StateMachineDoesNotExist):
        machines.states.describe_state_machine(stateMachineArn=machine)
    with pytest.raises(machines.states.exceptions.ExecutionDoesNotExist):
        machines.states.describe_execution(executionArn=execution)


def test_creating_twice_is_idempotent(machines: Any) -> None:
    """The same definition under the same name is the same machine; another is refused."""
    name = machines.name()
    machine = machines.create({"P": PASS}, name=name)
    assert machines.create({"P": PASS}, name=name) == machine
    with pytest.raises(machines.states.exceptions.StateMachineAlreadyExists):
        machines.create({"Q": PASS}, name=name)


TASK = {"Type": "Task", "End": True}


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({"A": {"Type": "Pass", "Next": "B"}},
         "MISSING_TRANSITION_TARGET: Missing 'Next' target: B"),
        ({"A": PASS, "B": PASS}, 'State "B" is not reachable'),
        ({"A": {"Type": "Pass"}}, "Exactly one of ['Next', 'End'] is required"),
        ({"A": {"Type": "Pass", "End": True, "Retries": []}},
         "The field 'Retries' is not supported"),
        ({"A": {**TASK, "Resource": "arn:x"}}, "is not recognized"),
        (
            {"A": {**TASK, "Resource": "arn:aws:states:::aws-sdk:s3:getObjects", "Parameters": {}}},
            "is not recognized",
        ),
        (
            {"A": {**TASK, "Resource": "arn:aws:states:::aws-sdk:s3:getObject",
                   "Parameters": {"Bucket": "b"}}},
            "The field 'Key' is required but was missing",
        ),
        (
            {"A": {**TASK, "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
                   "Parameters": {"TrainingJobName": "t", "RoleArn": "r", "OutputDataConfig":
                                  {"S3OutputPath": "s3://b", "Zip": 1}}}},
            "The field 'Zip' is not supported",
        ),
        (
            {"A": {**TASK, "Resource": "arn:aws:states:::sagemaker:createLabelingJob.sync"}},
            "the local cloud does not support the integration",
        ),
        ({"A": {"Type": "Pass", "End": True, "Parameters": {"x.$": "x"}}}, "valid JSONPath"),
        ({"A": {"Type": "Pass", "End": True, "Parameters": {"x.$": "States.No()"}}},
         "valid JSONPath"),
        ({"A": {"Type": "Pass", "End": True, "ResultPath": "$..x"}}, "not a Reference Path"),
        ({"A": {"Type": "Pass", "End": True, "QueryLanguage": "JSONata"}}, "JSONata"),
        (
            {"A": {**TASK, "Resource": "arn:aws:lambda:eu-west-1:123456789012:function:f",
                   "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "B"},
                             {"ErrorEquals": ["X"], "Next": "B"}]}, "B": PASS},
            "States.ALL must appear alone",
        ),
        ({"A": {"Type": "Choice", "Choices": [{"Variable": "$.x", "Next": "A"}]}}, "one operator"),
    ],
)  # fmt: skip
def test_faulty_definitions_are_refused(machines: Any, states: Any, words: str) -> None:
    """CreateStateMachine names what is wrong and where; Validate says the same."""
    with pytest.raises(ClientError) as caught:
        machines.create(states)
    assert caught.value.response["Error"]["Code"] == "InvalidDefinition"
    assert words in str(caught.value)
    text = json.dumps({"StartAt": "A", "States": states})
    found = machines.states.validate_state_machine_definition(definition=text)
    assert found["result"] == "FAIL"
    assert any(
        words.rsplit(": ", maxsplit=1)[-1] in entry["message"] for entry in found["diagnostics"]
    )


def test_what_is_not_done_is_refused_by_name(machines: Any) -> None:
    """Express machines, versions and TestState."""
    with pytest.raises(ClientError, match="Express workflows"):
        machines.create({"P": PASS}, type="EXPRESS")
    with pytest.raises(ClientError, match="does not support PublishStateMachineVersion yet"):
        machines.states.publish_state_machine_version(stateMachineArn=machines.create({"P": PASS}))
