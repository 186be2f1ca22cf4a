"""Task states against the cloud's own services: results, error names, retries, histories."""

import json
import time
from typing import Any

import pytest

from tests.functional.sagemaker.conftest import Jobs
from tests.functional.states.conftest import Machines, processing


def test_a_function_by_its_arn_gives_its_payload(machines: Any) -> None:
    """The plain ARN resource passes the input and returns the answer, with Lambda's events."""
    arn = machines.function("return {'got': event, 'n': 1}")
    task = {"Type": "Task", "Resource": arn, "Parameters": {"a.$": "$.x"}, "End": True}
    execution = machines.start(machines.create({"T": task}), {"x": [1]})
    assert machines.wait(execution)["output"] == {"got": {"a": [1]}, "n": 1}
    assert machines.kinds(execution) == [
        "ExecutionStarted",
        "TaskStateEntered",
        "LambdaFunctionScheduled",
        "LambdaFunctionStarted",
        "LambdaFunctionSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]


def test_lambda_invoke_gives_the_whole_answer(machines: Any) -> None:
    """The optimised integration returns Payload, StatusCode and metadata."""
    arn = machines.function("return {'got': event, 'n': 1}")
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": arn, "Payload": {"k.$": "$.x"}},
        "End": True,
    }
    found = machines.run({"T": task}, {"x": "v"})["output"]
    assert found["Payload"] == {"got": {"k": "v"}, "n": 1}
    assert found["StatusCode"] == 200
    assert found["ExecutedVersion"] == "$LATEST"
    assert found["SdkHttpMetadata"]["HttpStatusCode"] == 200


FAILING = """
class Conflict(Exception):
    pass
raise Conflict("revision 3 is gone")
"""


@pytest.mark.parametrize("optimised", [True, False])
def test_an_exception_of_a_function_goes_by_its_class(machines: Any, optimised: bool) -> None:
    """ErrorEquals names the class; the cause is Lambda's JSON; Catch sees both."""
    arn = machines.function(FAILING)
    task: dict[str, Any] = {"Type": "Task", "Resource": arn, "Next": "Done"}
    if optimised:
        task |= {"Resource": "arn:aws:states:::lambda:invoke"}
        task |= {"Parameters": {"FunctionName": arn, "Payload.$": "$"}}
    task["Catch"] = [
        {"ErrorEquals": ["Other"], "Next": "Done"},
        {"ErrorEquals": ["Conflict"], "ResultPath": "$.failure", "Next": "Caught"},
    ]
    done: dict[str, Any] = {"Type": "Succeed"}
    states = {"T": task, "Done": done, "Caught": {"Type": "Pass", "End": True}}
    found = machines.run(states, {"x": 1})
    assert found["status"] == "SUCCEEDED"
    assert found["output"]["x"] == 1
    assert found["output"]["failure"]["Error"] == "Conflict"
    cause = json.loads(found["output"]["failure"]["Cause"])
    assert cause["errorMessage"] == "revision 3 is gone"


def test_a_missing_function_is_a_lambda_error(machines: Any) -> None:
    """Client errors keep Lambda's code as their name."""
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:nobody"
    found = machines.run({"T": {"Type": "Task", "Resource": arn, "End": True}})
    assert found["error"] == "Lambda.ResourceNotFoundException"


def test_throttles_are_retried_with_every_attempt_in_the_history(machines: Any) -> None:
    """A retrier repeats, RetryCount grows, and a catcher takes over when attempts are used up."""
    arn = machines.function("raise TimeoutError(str(event['n']))")
    task = {
        "Type": "Task",
        "Resource": arn,
        "Parameters": {"n.$": "$$.State.RetryCount"},
        "Retry": [
            {
                "ErrorEquals": ["TimeoutError"],
                "IntervalSeconds": 1,
                "MaxAttempts": 2,
                "BackoffRate": 1.0,
                "MaxDelaySeconds": 2,
                "JitterStrategy": "FULL",
            }
        ],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
        "End": True,
    }
    execution = machines.start(machines.create({"T": task, "Caught": {"Type": "Succeed"}}))
    found = machines.wait(execution)
    assert json.loads(found["output"]["Cause"])["errorMessage"] == "2"
    assert machines.kinds(execution).count("LambdaFunctionFailed") == 3


def test_a_tasks_timeout_ends_it(machines: Any) -> None:
    """TimeoutSeconds gives States.Timeout long before the function answers."""
    arn = machines.function("time.sleep(5)")
    task = {"Type": "Task", "Resource": arn, "TimeoutSeconds": 1, "End": True}
    started = time.monotonic()
    execution = machines.start(machines.create({"T": task}))
    found = machines.wait(execution)
    assert (found["status"], found["error"]) == ("FAILED", "States.Timeout")
    assert time.monotonic() - started < 4
    assert "LambdaFunctionTimedOut" in machines.kinds(execution)


def test_a_job_runs_to_its_end_and_returns_its_description(machines: Any, jobs: Any) -> None:
    """createProcessingJob.sync: submitted, followed, described with times in milliseconds."""
    execution = machines.start(
        machines.create({"Work": processing(jobs, ["true"])}), {"name": machines.name("process")}
    )
    found = machines.wait(execution)
    assert found["status"] == "SUCCEEDED", found
    assert found["output"]["ProcessingJobStatus"] == "Completed"
    assert found["output"]["CreationTime"] > 1_000_000_000_000
    kinds = machines.kinds(execution)
    assert kinds[2:6] == ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded"]
    scheduled = machines.history(execution)[2]["taskScheduledEventDetails"]
    assert (scheduled["resourceType"], scheduled["resource"]) == (
        "sagemaker",
        "createProcessingJob.sync",
    )
    assert json.loads(scheduled["parameters"])["ProcessingJobName"].endswith("-0")


def test_a_failed_job_is_task_failed_with_its_description(machines: Any, jobs: Any) -> None:
    """The cause is the JSON of the Describe answer."""
    found = machines.run(
        {"Work": processing(jobs, ["bash", "-c", "exit 3"])}, {"name": machines.name("process")}
    )
    assert (found["status"], found["error"]) == ("FAILED", "States.TaskFailed")
    cause = json.loads(found["cause"])
    assert cause["ProcessingJobStatus"] == "Failed"
    assert cause["FailureReason"] == "AlgorithmError: See job logs for more information"


def test_a_retried_job_gets_a_new_name(machines: Any, jobs: Any) -> None:
    """RetryCount in the name; each attempt is a job of its own."""
    name = machines.name("process")
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    found = machines.run(
        {"Work": processing(jobs, ["bash", "-c", "exit 3"], Retry=retry)}, {"name": name}
    )
    assert json.loads(found["cause"])["ProcessingJobName"] == f"{name}-1"
    listed = jobs.sagemaker.list_processing_jobs(NameContains=name)["ProcessingJobSummaries"]
    assert [entry["ProcessingJobName"] for entry in listed] == [f"{name}-0", f"{name}-1"]


def test_a_refused_job_has_the_optimised_error_name(machines: Any, jobs: Any) -> None:
    """A name in use is SageMaker.ResourceInUseException; a bad role the service's own exception."""
    name = machines.name("process")
    machine = machines.create({"Work": processing(jobs, ["true"])})
    machines.wait(machines.start(machine, {"name": name}))
    again = machines.wait(machines.start(machine, {"name": name}))
    assert again["error"] == "SageMaker.ResourceInUseException"
    task = processing(jobs, ["true"])
    task["Parameters"]["RoleArn"] = "arn:aws:iam::123456789012:role/nobody"
    refused = machines.run({"Work": task}, {"name": machines.name("process")})
    assert refused["error"] == "SageMaker.AmazonSageMakerException"
    assert "Could not assume role" in refused["cause"]


def test_stopping_an_execution_stops_its_job(machines: Any, jobs: Any) -> None:
    """StopExecution aborts at once, keeps error and cause, and the job is stopped."""
    name = machines.name("process")
    machine = machines.create({"Work": processing(jobs, ["bash", "-c", "echo up; sleep 60"])})
    execution = machines.start(machine, {"name": name})
    jobs.wait_for_log(f"{name}-0", "up")
    machines.states.stop_execution(executionArn=execution, error="Wrong", cause="by hand")
    found = machines.wait(execution)
    assert (found["status"], found["error"], found["cause"]) == ("ABORTED", "Wrong", "by hand")
    assert jobs.wait(f"{name}-0")["Status"] == "Stopped"
    assert machines.kinds(execution)[-1] == "ExecutionAborted"


def test_a_machines_timeout_stops_its_job(machines: Any, jobs: Any) -> None:
    """TimeoutSeconds of the machine ends it as TIMED_OUT, which no Catch sees."""
    name = machines.name("process")
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Never"}]
    states = {
        "Work": processing(jobs, ["sleep", "60"], Catch=catch),
        "Never": {"Type": "Succeed"},
    }
    found = machines.run(states, {"name": name}, top={"TimeoutSeconds": 1})
    assert found["status"] == "TIMED_OUT"
    assert jobs.wait(f"{name}-0")["Status"] == "Stopped"


def test_throttled_services_delay_a_job_and_lose_nothing(start_cloud: Any) -> None:
    """Half of SageMaker's and S3's calls fail: the retrier and the follower carry on."""
    cloud = start_cloud("--clock", "60")
    machines, jobs = Machines(cloud), Jobs(cloud)
    retry = [
        {"ErrorEquals": ["SageMaker.AmazonSageMakerException"], "IntervalSeconds": 1,
         "MaxAttempts": 30, "BackoffRate": 1.0}
    ]  # fmt: skip
    machine = machines.create({"Work": processing(jobs, ["true"], Retry=retry)})
    cloud.faults(throttle={"sagemaker": 0.5, "s3": 0.5})
    executions = [machines.start(machine, {"name": f"process-{n}"}) for n in range(3)]
    found = [machines.wait(execution, 60) for execution in executions]
    cloud.faults()
    assert [one["status"] for one in found] == ["SUCCEEDED"] * 3, found


def get_object(jobs: Any, **more: Any) -> dict[str, Any]:
    """A Task that reads an object through the SDK integration."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:s3:getObject",
        "Parameters": {"Bucket": jobs.bucket, "Key.$": "$.key"},
        "End": True,
        **more,
    }


def test_an_object_is_read_and_parsed(machines: Any, jobs: Any) -> None:
    """Body is text, and ResultSelector parses it."""
    jobs.put("check/summary.json", '{"refused": false, "rows": {"good": 5}}')
    selector = {"summary.$": "States.StringToJson($.Body)", "size.$": "$.ContentLength"}
    task = get_object(jobs, ResultSelector=selector, ResultPath="$.check")
    found = machines.run({"Read": task}, {"key": "check/summary.json"})
    assert found["output"]["check"] == {
        "summary": {"refused": False, "rows": {"good": 5}},
        "size": 39,
    }
    whole = machines.run({"Read": get_object(jobs)}, {"key": "check/summary.json"})["output"]
    assert whole["LastModified"].endswith("Z")


def test_a_missing_object_is_no_such_key(machines: Any, jobs: Any) -> None:
    """SDK errors are <Service>.<Name>Exception."""
    found = machines.run({"Read": get_object(jobs)}, {"key": "nothing"})
    assert found["error"] == "S3.NoSuchKeyException"
    assert "Service: S3, Status Code: 404" in found["cause"]


def test_unmodelled_sdk_errors_are_named_after_the_service(machines: Any) -> None:
    """DescribeEndpoint and the like: SageMaker.SageMakerException."""
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sagemaker:describeModelPackageGroup",
        "Parameters": {"ModelPackageGroupName": "nobody"},
        "End": True,
    }
    assert machines.run({"T": task})["error"] == "SageMaker.SageMakerException"


def test_a_result_beyond_256_kib_is_refused(machines: Any, jobs: Any) -> None:
    """States.DataLimitExceeded, which States.ALL does not catch."""
    jobs.put("big.txt", "x" * 300_000)
    task = get_object(jobs, Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Caught"}])
    found = machines.run({"Read": task, "Caught": {"Type": "Succeed"}}, {"key": "big.txt"})
    assert (found["status"], found["error"]) == ("FAILED", "States.DataLimitExceeded")


def test_tables_topics_and_queues(machines: Any) -> None:
    """DynamoDB, SNS, SQS and EventBridge by their optimised integrations."""
    dynamodb, sqs = machines.cloud.client("dynamodb"), machines.cloud.client("sqs")
    table = machines.name("table")
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    queue = sqs.create_queue(QueueName=machines.name("queue"))["QueueUrl"]
    topic = machines.cloud.client("sns").create_topic(Name=machines.name("topic"))["TopicArn"]
    states: dict[str, Any] = {
        "Put": {
            "Resource": "arn:aws:states:::dynamodb:putItem",
            "Parameters": {
                "TableName": table,
                "Item": {"pk": {"S.$": "$.id"}},
                "ConditionExpression": "attribute_not_exists(pk)",
            },
            "ResultPath": None,
            "Next": "Get",
        },
        "Get": {
            "Resource": "arn:aws:states:::dynamodb:getItem",
            "Parameters": {"TableName": table, "Key": {"pk": {"S.$": "$.id"}}},
            "ResultSelector": {"item.$": "$.Item"},
            "ResultPath": "$.row",
            "Next": "Send",
        },
        "Send": {
            "Resource": "arn:aws:states:::sqs:sendMessage",
            "Parameters": {"QueueUrl": queue, "MessageBody": {"row.$": "$.row"}},
            "ResultPath": "$.sent",
            "Next": "Publish",
        },
        "Publish": {
            "Resource": "arn:aws:states:::sns:publish",
            "Parameters": {"TopicArn": topic, "Message": {"done": True}},
            "ResultPath": "$.published",
            "Next": "Again",
        },
        "Again": {
            "Resource": "arn:aws:states:::dynamodb:putItem",
            "Parameters": {
                "TableName": table,
                "Item": {"pk": {"S.$": "$.id"}},
                "ConditionExpression": "attribute_not_exists(pk)",
            },
            "End": True,
        },
    }
    for state in states.values():
        state["Type"] = "Task"
    execution = machines.start(machines.create(states), {"id": "a"})
    found = machines.wait(execution)
    assert found["error"] == "DynamoDB.ConditionalCheckFailedException", found
    message = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=2)["Messages"][0]
    assert json.loads(message["Body"]) == {"row": {"item": {"pk": {"S": "a"}}}}
    last = machines.history(execution)
    published = [e for e in last if e.get("stateExitedEventDetails", {}).get("name") == "Publish"]
    assert json.loads(published[0]["stateExitedEventDetails"]["output"])["published"]["MessageId"]


def test_a_token_waits_for_its_answer(machines: Any) -> None:
    """waitForTaskToken: success, failure, heartbeat and silence."""
    sqs = machines.cloud.client("sqs")
    queue = sqs.create_queue(QueueName=machines.name("tokens"))["QueueUrl"]
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": queue, "MessageBody": {"token.$": "$$.Task.Token"}},
        "HeartbeatSeconds": 1,
        "TimeoutSeconds": 20,
        "End": True,
    }
    machine = machines.create({"Ask": task})

    def token() -> str:
        message = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"][0]
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        found: str = json.loads(message["Body"])["token"]
        return found

    first = machines.start(machine)
    mine = token()
    for _ in range(3):
        time.sleep(0.5)
        machines.states.send_task_heartbeat(taskToken=mine)
    machines.states.send_task_success(taskToken=mine, output='{"answer": 42}')
    assert machines.wait(first)["output"] == {"answer": 42}
    with pytest.raises(machines.states.exceptions.TaskTimedOut):
        machines.states.send_task_success(taskToken=mine, output="{}")
    with pytest.raises(machines.states.exceptions.InvalidToken):
        machines.states.send_task_success(taskToken="made-up", output="{}")
    second = machines.start(machine)
    machines.states.send_task_failure(taskToken=token(), error="Refused", cause="by a person")
    found = machines.wait(second)
    assert (found["error"], found["cause"]) == ("Refused", "by a person")
    third = machines.start(machine)
    assert machines.wait(third)["error"] == "States.HeartbeatTimeout"


def test_a_nested_execution_is_followed(machines: Any) -> None:
    """startExecution.sync:2 returns the parsed output; a failure has the child's description."""
    child = machines.create({"Done": {"Type": "Pass", "Result": {"n": 7}, "End": True}})
    failing = machines.create({"No": {"Type": "Fail", "Error": "Refused", "Cause": "too few"}})

    def parent(machine: str) -> dict[str, Any]:
        task = {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Parameters": {"StateMachineArn": machine, "Input": {"from.$": "$$.Execution.Id"}},
            "End": True,
        }
        found: dict[str, Any] = machines.run({"Child": task})
        return found

    assert parent(child)["output"]["Output"] == {"n": 7}
    failed = parent(failing)
    assert failed["error"] == "States.TaskFailed"
    assert json.loads(failed["cause"])["Error"] == "Refused"


def test_a_parameter_of_the_wrong_type_is_a_runtime_error(machines: Any, jobs: Any) -> None:
    """Hyperparameters are texts: a number ends the execution, and no Catch helps."""
    task = processing(jobs, ["true"], Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Caught"}])
    task["Parameters"]["Environment"] = {"N": 3}
    found = machines.run(
        {"Work": task, "Caught": {"Type": "Succeed"}}, {"name": machines.name("process")}
    )
    assert found["error"] == "States.Runtime"
    assert "The value for the field 'N' must be a STRING" in found["cause"]
