"""The cloud's bad habits, on demand; each changes what a caller sees, and is written down."""

import json
import threading
import time
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.functional.conftest import LocalCloud
from tests.functional.local_core.conftest import MakeFunction, eventually, unique
from tests.functional.local_core.test_events import put, queue, receive, rule
from tests.functional.local_core.test_queues import RECORD, batches, connect

THREE_CALLS = """
import boto3
from botocore.config import Config
sqs = boto3.client("sqs", config=Config(retries={"total_max_attempts": 1}))
def handler(event, context):
    for n in (1, 2, 3):
        sqs.send_message(QueueUrl=event, MessageBody=str(n))
    return "done"
"""


@pytest.fixture(autouse=True)
def _no_faults_afterwards(local_cloud: LocalCloud) -> Any:
    """Other tests share this cloud."""
    yield
    local_cloud.faults()


def bodies(cloud: LocalCloud, url: str) -> list[str]:
    """Bodies of all messages on a queue now."""
    answer = cloud.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return sorted(message["Body"] for message in answer.get("Messages", []))


SENT_TWICE = ["sqs.SendMessage", "sqs.SendMessage"]


def test_a_lie_at_one_write_of_a_function(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """The second write of an invocation is done, and told to have failed."""
    url, _ = queue(local_cloud)
    name = make_function(THREE_CALLS)
    lie = {"operation": SENT_TWICE[0], "nth": 1, "caller": name, "writes": SENT_TWICE}
    local_cloud.faults(lie=lie)
    answer = local_cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(url))
    assert answer["FunctionError"] == "Unhandled"
    assert bodies(local_cloud, url) == ["1", "2"]
    (hit,) = (f for f in local_cloud.journal("fault") if f.get("function") == name)
    assert (hit["fault"], hit["call"], hit["operation"]) == ("lie", 2, "SendMessage")


@pytest.mark.parametrize("place", [{"call": 2}, {"calls": SENT_TWICE}, {"writes": SENT_TWICE}])
@pytest.mark.parametrize(("when", "left"), [("before", ["1"]), ("after", ["1", "2"])])
def test_function_dies_before_or_after_its_second_call(
    local_cloud: LocalCloud,
    make_function: MakeFunction,
    when: str,
    left: list[str],
    place: dict[str, Any],
) -> None:
    """The process is gone at exactly that call; the next invocation runs whole."""
    url, _ = queue(local_cloud)
    name = make_function(THREE_CALLS)
    local_cloud.faults(kill={"function": name, "when": when, **place})
    client = local_cloud.client("lambda")
    answer = client.invoke(FunctionName=name, Payload=json.dumps(url))
    body = json.loads(answer["Payload"].read())
    assert body["errorType"] == "Runtime.ExitError"
    assert body["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert bodies(local_cloud, url) == left
    assert client.invoke(FunctionName=name, Payload=json.dumps(url)).get("FunctionError") is None
    hits = [
        f for f in local_cloud.journal("fault") if f["fault"] == "kill" and f["function"] == name
    ]
    assert [(f["call"], f["when"]) for f in hits] == [(2, when)]


def test_lie_does_the_write_and_answers_500(local_cloud: LocalCloud) -> None:
    """The second matching write is done, but its caller is told that it failed."""
    table = unique("table")
    dynamodb = local_cloud.client("dynamodb")
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    local_cloud.faults(lie={"operation": "dynamodb.PutItem", "nth": 2})
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "1"}})
    with pytest.raises(ClientError) as error:
        dynamodb.put_item(TableName=table, Item={"pk": {"S": "2"}})
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "3"}})
    assert dynamodb.scan(TableName=table)["Count"] == 3


def test_retried_conditional_write_meets_its_own_effect(local_cloud: LocalCloud) -> None:
    """An SDK that retries after the lie finds its condition broken by its own first try."""
    table = unique("table")
    local_cloud.client("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    patient = local_cloud.client("dynamodb", config=Config(retries={"total_max_attempts": 3}))
    local_cloud.faults(lie={"operation": "dynamodb.PutItem", "nth": 1})
    with pytest.raises(patient.exceptions.ConditionalCheckFailedException):
        patient.put_item(
            TableName=table,
            Item={"pk": {"S": "1"}},
            ConditionExpression="attribute_not_exists(pk)",
        )
    patient.close()


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        (
            "sqs",
            lambda cloud: cloud.client("sqs").list_queues(),
            "RequestThrottled|ThrottlingException",
        ),
        ("s3", lambda cloud: cloud.client("s3").list_buckets(), "SlowDown"),
        ("dynamodb", lambda cloud: cloud.client("dynamodb").list_tables(), "ThrottlingException"),
        (
            "lambda",
            lambda cloud: cloud.client("lambda").list_functions(),
            "TooManyRequestsException",
        ),
    ],
)
def test_throttling_uses_each_services_own_error(
    local_cloud: LocalCloud, service: str, call: Any, code: str
) -> None:
    """A throttled service answers with its own code; the others are untouched."""
    local_cloud.faults(throttle={service: 1.0})
    with pytest.raises(ClientError, match=code):
        call(local_cloud)
    local_cloud.client("sts").get_caller_identity()


def test_events_come_twice_late_and_out_of_order(local_cloud: LocalCloud) -> None:
    """With duplicates and reordering on, every event arrives, some twice, not in order."""
    source = unique("app")
    url, arn = queue(local_cloud)
    rule(local_cloud, {"source": [source]}, {"Arn": arn})
    local_cloud.faults(duplicates=0.5, reorder=0.5, delay_ms=50, seed=7)
    for number in range(20):
        put(local_cloud, source, {"n": number})
    local_cloud.idle()
    waiting = local_cloud.client("sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
    )["Attributes"]["ApproximateNumberOfMessages"]
    found = receive(local_cloud, url, int(waiting))
    numbers = [json.loads(message["Body"])["detail"]["n"] for message in found]
    assert set(numbers) == set(range(20))
    assert len(numbers) > 20
    assert numbers != sorted(numbers)


def test_messages_are_delivered_twice(local_cloud: LocalCloud, make_function: MakeFunction) -> None:
    """A queue's function may get the same message again, with the same id."""
    url, arn = queue(local_cloud)
    name = make_function(RECORD)
    local_cloud.faults(duplicates=1.0)
    connect(local_cloud, name, arn)
    local_cloud.client("sqs").send_message(QueueUrl=url, MessageBody="once")
    local_cloud.idle()
    assert batches(local_cloud, name) == [["once"], ["once"]]


def test_wrong_plans_are_refused(local_cloud: LocalCloud) -> None:
    """A fault that does not exist is a mistake of the test, not a quiet no-op."""
    for plan in (
        {"explode": 1},
        {"duplicates": 2},
        {"kill": {"function": "f", "call": 1, "when": "now"}},
        {"lie": {"operation": "x"}},
    ):
        with pytest.raises(AssertionError, match="400"):
            local_cloud.faults(**plan)


def test_table_counts_right_under_threads(local_cloud: LocalCloud) -> None:
    """Sixteen threads increment one counter; none is lost, and one conditional put wins."""
    table = unique("table")
    dynamodb = local_cloud.client("dynamodb", config=Config(max_pool_connections=16))
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    winners: list[int] = []

    def work(number: int) -> None:
        for _ in range(10):
            dynamodb.update_item(
                TableName=table,
                Key={"pk": {"S": "counter"}},
                UpdateExpression="ADD n :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            )
        try:
            dynamodb.put_item(
                TableName=table,
                Item={"pk": {"S": "prize"}, "by": {"N": str(number)}},
                ConditionExpression="attribute_not_exists(pk)",
            )
            winners.append(number)
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    item = dynamodb.get_item(TableName=table, Key={"pk": {"S": "counter"}})["Item"]
    assert (item["n"]["N"], len(winners)) == ("160", 1)
    dynamodb.close()


def test_idle_waits_for_what_is_under_way(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """Idle returns after the work, not before."""
    name = make_function("import time\ndef handler(e, c): time.sleep(1)")
    local_cloud.client("lambda").invoke(FunctionName=name, InvocationType="Event")
    started = time.monotonic()
    local_cloud.idle()
    assert time.monotonic() - started > 0.8


def test_queue_depth_raises_an_alarm(local_cloud: LocalCloud) -> None:
    """AWS/SQS metrics are published, so an alarm on a dead-letter queue goes off by itself."""
    url, arn = queue(local_cloud)
    name = unique("dead-letters")
    local_cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=[{"Name": "QueueName", "Value": arn.rpartition(":")[2]}],
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    local_cloud.client("sqs").send_message(QueueUrl=url, MessageBody="poison")

    def state() -> str:
        alarms = local_cloud.client("cloudwatch").describe_alarms(AlarmNames=[name])
        return str(alarms["MetricAlarms"][0]["StateValue"])

    eventually(lambda: state() == "ALARM", 10)
