"""Queues feed functions as event source mappings do."""

import json
import threading
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from tests.functional.conftest import LocalCloud
from tests.functional.local_core.conftest import MakeFunction, eventually
from tests.functional.local_core.test_events import queue, receive

RECORD = """
import json, boto3, os
def handler(event, context):
    records = event["Records"]
    print("batch", json.dumps([r["body"] for r in records]))
    bad = [{"itemIdentifier": r["messageId"]} for r in records if "bad" in r["body"]]
    if any("boom" in r["body"] for r in records):
        raise RuntimeError("boom")
    return {"batchItemFailures": bad}
"""


def batches(cloud: LocalCloud, function: str) -> list[list[str]]:
    """What the function got, batch by batch."""
    logs = cloud.client("logs")
    try:
        events = logs.filter_log_events(
            logGroupName=f"/aws/lambda/{function}", filterPattern="batch"
        )["events"]
    except logs.exceptions.ResourceNotFoundException:  # it has not run yet
        return []
    return [
        json.loads(e["message"].split(" ", 1)[1])
        for e in events
        if e["message"].startswith("batch ")
    ]


def connect(cloud: LocalCloud, function: str, arn: str, **options: Any) -> str:
    """Map a queue to a function; returns the mapping's id."""
    return str(
        cloud.client("lambda").create_event_source_mapping(
            EventSourceArn=arn, FunctionName=function, **options
        )["UUID"]
    )


def test_batch_waits_for_its_window_and_arrives_whole(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """Messages within the batching window come in one invocation, of at most BatchSize."""
    url, arn = queue(local_cloud, VisibilityTimeout="30")
    name = make_function(RECORD)
    connect(local_cloud, name, arn, BatchSize=4, MaximumBatchingWindowInSeconds=1)
    sqs = local_cloud.client("sqs")
    entries = [{"Id": str(n), "MessageBody": f"m{n}"} for n in range(6)]
    sqs.send_message_batch(QueueUrl=url, Entries=entries)
    local_cloud.idle()
    got = batches(local_cloud, name)
    assert sorted(map(len, got), reverse=True) == [4, 2]
    assert sorted(body for batch in got for body in batch) == [f"m{n}" for n in range(6)]


def test_only_failed_items_come_back_and_reach_the_dead_letter_queue(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """ReportBatchItemFailures: one bad message is redelivered, the good ones are done."""
    dead_url, dead = queue(local_cloud)
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 2})
    url, arn = queue(local_cloud, VisibilityTimeout="2", RedrivePolicy=redrive)
    name = make_function(RECORD, Timeout=2)
    local_cloud.client("lambda").invoke(FunctionName=name, Payload=b'{"Records": []}')  # warm
    connect(local_cloud, name, arn, FunctionResponseTypes=["ReportBatchItemFailures"])
    for body in ("good-1", "bad", "good-2"):
        local_cloud.client("sqs").send_message(QueueUrl=url, MessageBody=body)
    assert receive(local_cloud, dead_url, seconds=12)[0]["Body"] == "bad"
    seen = sorted(body for batch in batches(local_cloud, name) for body in batch if body)
    assert seen == ["bad", "bad", "good-1", "good-2"]
    local_cloud.idle()


def test_raised_exception_returns_the_whole_batch(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """An exception leaves every message on the queue until its visibility timeout ends."""
    url, arn = queue(local_cloud, VisibilityTimeout="1")
    name = make_function(RECORD, Timeout=1)
    connect(local_cloud, name, arn, FunctionResponseTypes=["ReportBatchItemFailures"])
    local_cloud.client("sqs").send_message(QueueUrl=url, MessageBody="boom")
    eventually(lambda: len(batches(local_cloud, name)) >= 2, 12)


def test_record_has_lambdas_shape(local_cloud: LocalCloud, make_function: MakeFunction) -> None:
    """Ids, digests, attributes and message attributes as Lambda passes them on."""
    url, arn = queue(local_cloud)
    name = make_function(
        "import json\ndef handler(e, c): print('record', json.dumps(e['Records'][0]))"
    )
    connect(local_cloud, name, arn)
    sent = local_cloud.client("sqs").send_message(
        QueueUrl=url,
        MessageBody="hello",
        MessageAttributes={"colour": {"DataType": "String", "StringValue": "green"}},
    )
    local_cloud.idle()
    events = local_cloud.client("logs").filter_log_events(
        logGroupName=f"/aws/lambda/{name}", filterPattern="record"
    )["events"]
    record = json.loads(events[0]["message"].split(" ", 1)[1])
    assert record["messageId"] == sent["MessageId"]
    assert record["md5OfBody"] == sent["MD5OfMessageBody"]
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["messageAttributes"]["colour"] == {
        "stringValue": "green",
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "String",
    }
    assert (record["eventSource"], record["eventSourceARN"]) == ("aws:sqs", arn)
    assert record["awsRegion"] == "eu-west-1"


def test_filter_lets_only_matching_messages_through(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """FilterCriteria over a JSON body; what does not match is deleted, not delivered."""
    url, arn = queue(local_cloud)
    name = make_function(RECORD)
    pattern = json.dumps({"body": {"kind": ["yes"]}})
    connect(local_cloud, name, arn, FilterCriteria={"Filters": [{"Pattern": pattern}]})
    for body in ('{"kind": "yes"}', '{"kind": "no"}', "text"):
        local_cloud.client("sqs").send_message(QueueUrl=url, MessageBody=body)
    local_cloud.idle()
    assert batches(local_cloud, name) == [['{"kind": "yes"}']]
    attributes = local_cloud.client("sqs").get_queue_attributes(
        QueueUrl=url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    assert set(attributes.values()) == {"0"}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"BatchSize": 100}, "batch window"),
        ({"ScalingConfig": {"MaximumConcurrency": 1}}, "MaximumConcurrency|valid min"),
        ({"ProvisionedPollerConfig": {"MinimumPollers": 2}}, "ProvisionedPollerConfig"),
    ],
)
def test_mappings_that_aws_refuses_or_we_lack_are_refused(
    local_cloud: LocalCloud, make_function: MakeFunction, options: dict[str, Any], word: str
) -> None:
    """Documented limits hold, and what the poller does not do is named."""
    _, arn = queue(local_cloud)
    with pytest.raises((ClientError, ParamValidationError), match=word):
        connect(local_cloud, make_function(RECORD), arn, **options)


def test_disabled_and_updated_mappings(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """A disabled mapping fetches nothing; enabling it later does."""
    url, arn = queue(local_cloud)
    name = make_function(RECORD)
    mapping = connect(local_cloud, name, arn, Enabled=False)
    local_cloud.client("sqs").send_message(QueueUrl=url, MessageBody="m")
    time.sleep(0.4)
    assert not local_cloud.client("logs").describe_log_groups(
        logGroupNamePrefix=f"/aws/lambda/{name}"
    )["logGroups"]
    local_cloud.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=True)
    local_cloud.idle()
    assert batches(local_cloud, name) == [["m"]]


def test_long_polling_returns_as_soon_as_a_message_comes(local_cloud: LocalCloud) -> None:
    """A waiting receive holds up nobody else and ends with the message."""
    url, _ = queue(local_cloud)
    found: list[float] = []

    def wait() -> None:
        answer = local_cloud.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=10)
        assert answer["Messages"]
        found.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    sent = time.monotonic()
    local_cloud.client("sqs").send_message(QueueUrl=url, MessageBody="m")
    thread.join(15)
    assert found[0] - sent < 1.0


def test_delay_and_visibility_follow_the_clock(fast_cloud: LocalCloud) -> None:
    """With a clock 60 times as fast, a minute's delay lasts a second."""
    cloud = fast_cloud
    url, _ = queue(cloud, VisibilityTimeout="60")
    sqs = cloud.client("sqs")
    started = time.monotonic()
    sqs.send_message(QueueUrl=url, MessageBody="m", DelaySeconds=60)
    eventually(lambda: sqs.receive_message(QueueUrl=url).get("Messages"), 30)
    first = time.monotonic() - started
    eventually(lambda: sqs.receive_message(QueueUrl=url).get("Messages"), 30)
    assert 0.9 < first < 30  # a minute, if the clock had no effect
    assert 1.8 < time.monotonic() - started < 60
