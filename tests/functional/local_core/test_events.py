"""Events reach targets in AWS's shape, with retries, dead letters and templates."""

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.conftest import LocalCloud
from tests.functional.local_core.conftest import MakeFunction, eventually, unique

ACCOUNT = "123456789012"


def queue(cloud: LocalCloud, name: str = "", **attributes: str) -> tuple[str, str]:
    """A new queue: URL and ARN."""
    name = name or unique("queue")
    url = cloud.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url, f"arn:aws:sqs:eu-west-1:{ACCOUNT}:{name}"


def receive(
    cloud: LocalCloud, url: str, count: int = 1, seconds: float = 8
) -> list[dict[str, Any]]:
    """Wait for `count` messages; deletes them."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        answer = cloud.client("sqs").receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"]
        )
        for message in answer.get("Messages", []):
            cloud.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.append(message)
        return len(found) >= count

    eventually(look, seconds)
    return found


def rule(
    cloud: LocalCloud, pattern: dict[str, Any], *targets: dict[str, Any], **options: Any
) -> str:
    """A rule with targets; returns its name."""
    name = unique("rule")
    events = cloud.client("events")
    events.put_rule(Name=name, EventPattern=json.dumps(pattern), **options)
    events.put_targets(
        Rule=name, Targets=[{"Id": str(n), **target} for n, target in enumerate(targets)]
    )
    return name


def put(cloud: LocalCloud, source: str, detail: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Put one event on the default bus."""
    entry = {"Source": source, "DetailType": "Test", "Detail": json.dumps(detail), **options}
    answer: dict[str, Any] = cloud.client("events").put_events(Entries=[entry])
    return answer


def test_event_reaches_queue_function_topic_and_log_group(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """One rule, four kinds of target, AWS's envelope on each."""
    source = unique("app")
    url, arn = queue(local_cloud)
    topic_url, topic_queue = queue(local_cloud)
    topic = local_cloud.client("sns").create_topic(Name=unique("topic"))["TopicArn"]
    local_cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=topic_queue)
    group = f"/events/{source}"
    local_cloud.client("logs").create_log_group(logGroupName=group)
    function = make_function("def handler(e, c): print('got', e['detail']['n'])")
    rule(
        local_cloud,
        {"source": [source]},
        {"Arn": arn},
        {"Arn": f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:{function}"},
        {"Arn": topic},
        {"Arn": f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:{group}"},
    )
    answer = put(local_cloud, source, {"n": 5}, Resources=["arn:x"])
    event = json.loads(receive(local_cloud, url)[0]["Body"])
    assert event.pop("id") == answer["Entries"][0]["EventId"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event.pop("time"))
    assert event == {
        "version": "0",
        "detail-type": "Test",
        "source": source,
        "account": ACCOUNT,
        "region": "eu-west-1",
        "resources": ["arn:x"],
        "detail": {"n": 5},
    }
    notification = json.loads(receive(local_cloud, topic_url)[0]["Body"])
    assert json.loads(notification["Message"])["detail"] == {"n": 5}
    local_cloud.idle()
    logs = local_cloud.client("logs")
    lines = logs.filter_log_events(logGroupName=f"/aws/lambda/{function}", filterPattern="got")
    assert [event["message"] for event in lines["events"]] == ["got 5"]
    assert json.loads(logs.filter_log_events(logGroupName=group)["events"][0]["message"])[
        "detail"
    ] == {"n": 5}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"Input": '{"constant": true}'}, {"constant": True}),
        ({"InputPath": "$.detail.inner"}, {"a": [1, 2]}),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {
                        "n": "$.detail.n",
                        "inner": "$.detail.inner",
                        "t": "$.detail.t",
                    },
                    "InputTemplate": '{"number": <n>, "words": "n is <n>, t is <t>", '
                    '"inner": <inner>, "t": <t>}',
                }
            },
            {"number": 7, "words": 'n is 7, t is "hi"\n', "inner": {"a": [1, 2]}, "t": '"hi"\n'},
        ),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"n": "$.detail.n"},
                    "InputTemplate": '"number <n>"',
                }
            },
            "number 7",
        ),
    ],
)
def test_input_forms(local_cloud: LocalCloud, target: dict[str, Any], expected: Any) -> None:
    """Input, InputPath and InputTransformer (quoted, unquoted, objects, newlines)."""
    source = unique("app")
    url, arn = queue(local_cloud)
    rule(local_cloud, {"source": [source]}, {"Arn": arn, **target})
    put(local_cloud, source, {"n": 7, "t": '"hi"\n', "inner": {"a": [1, 2]}})
    assert json.loads(receive(local_cloud, url)[0]["Body"]) == expected


def test_patterns_enter_arrays_of_objects(local_cloud: LocalCloud) -> None:
    """One matching element of an array of objects is enough; none is not."""
    events = local_cloud.client("events")
    pattern = {"detail": {"items": {"kind": ["b"], "n": [{"numeric": [">", 1]}]}}}

    def answer(items: list[dict[str, Any]]) -> bool:
        event = {
            "id": "1",
            "detail-type": "t",
            "source": "s",
            "account": "1",
            "time": "2026-01-01T00:00:00Z",
            "region": "r",
            "resources": [],
            "detail": {"items": items},
        }
        return bool(
            events.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))[
                "Result"
            ]
        )

    assert answer([{"kind": "a", "n": 5}, {"kind": "b", "n": 2}])
    assert not answer([{"kind": "a", "n": 5}, {"kind": "b", "n": 1}])


def test_disabled_rule_and_foreign_source_deliver_nothing(local_cloud: LocalCloud) -> None:
    """Only the enabled rule whose pattern matches gets the event."""
    source = unique("app")
    (on_url, on), (off_url, off), (other_url, other) = (queue(local_cloud) for _ in range(3))
    rule(local_cloud, {"source": [source]}, {"Arn": on})
    rule(local_cloud, {"source": [source]}, {"Arn": off}, State="DISABLED")
    rule(local_cloud, {"source": ["else"]}, {"Arn": other})
    put(local_cloud, source, {})
    receive(local_cloud, on_url)
    local_cloud.idle()
    for url in (off_url, other_url):
        assert "Messages" not in local_cloud.client("sqs").receive_message(QueueUrl=url)


def test_missing_target_goes_to_the_dead_letter_queue_at_once(local_cloud: LocalCloud) -> None:
    """A target that does not exist is no reason to retry; the others still get the event."""
    source = unique("app")
    url, arn = queue(local_cloud)
    dead_url, dead = queue(local_cloud)
    gone = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:gone"
    name = rule(
        local_cloud,
        {"source": [source]},
        {"Arn": gone, "DeadLetterConfig": {"Arn": dead}},
        {"Arn": arn},
    )
    put(local_cloud, source, {"n": 1})
    receive(local_cloud, url)
    message = receive(local_cloud, dead_url)[0]
    attributes = {k: v["StringValue"] for k, v in message["MessageAttributes"].items()}
    assert attributes["ERROR_CODE"] == "ResourceNotFoundException"
    assert attributes["TARGET_ARN"] == gone
    assert attributes["RULE_ARN"].endswith(f":rule/{name}")
    assert json.loads(message["Body"])["detail"] == {"n": 1}


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ({"Arn": f"arn:aws:kinesis:eu-west-1:{ACCOUNT}:stream/x"}, "kinesis"),
        (
            {
                "Arn": f"arn:aws:sqs:eu-west-1:{ACCOUNT}:x",
                "EcsParameters": {"TaskDefinitionArn": "t"},
            },
            "EcsParameters",
        ),
    ],
)
def test_unsupported_targets_are_refused_by_name(
    local_cloud: LocalCloud, target: dict[str, Any], word: str
) -> None:
    """What would not be delivered cannot be put."""
    with pytest.raises(ClientError, match=word):
        rule(local_cloud, {"source": ["x"]}, target)


def bucket(cloud: LocalCloud, *, versioned: bool = False, events: bool = True) -> tuple[str, str]:
    """A bucket whose events go to a queue: bucket name, queue URL."""
    name = unique("some-bucket")
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    if versioned:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    if events:
        s3.put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
    url, arn = queue(cloud)
    rule(cloud, {"source": ["aws.s3"], "detail": {"bucket": {"name": [name]}}}, {"Arn": arn})
    return name, url


def test_object_created_has_awss_shape(local_cloud: LocalCloud) -> None:
    """etag in lower case, version id, raw key, growing sequencer, a real id, the right reason."""
    name, url = bucket(local_cloud, versioned=True)
    s3 = local_cloud.client("s3")
    assert "EventBridgeConfiguration" in s3.get_bucket_notification_configuration(Bucket=name)
    key = "incoming/a b+%41/ü.csv"
    version = s3.put_object(Bucket=name, Key=key, Body=b"12345", Tagging="a=b")["VersionId"]
    event = json.loads(receive(local_cloud, url)[0]["Body"])
    sequencer = event["detail"]["object"].pop("sequencer")
    assert re.fullmatch(r"[0-9A-F]{18}", sequencer)
    assert event["detail-type"] == "Object Created"
    assert event["resources"] == [f"arn:aws:s3:::{name}"]
    detail = event["detail"]
    assert detail.pop("request-id")
    assert detail == {
        "version": "0",
        "bucket": {"name": name},
        "object": {
            "key": key,
            "size": 5,
            "etag": "827ccb0eea8a706c4c34a16891f84e7b",
            "version-id": version,
        },
        "requester": ACCOUNT,
        "source-ip-address": "127.0.0.1",
        "reason": "PutObject",
    }
    s3.copy_object(Bucket=name, Key="copy", CopySource={"Bucket": name, "Key": key})
    upload = s3.create_multipart_upload(Bucket=name, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=name, Key="parts", UploadId=upload, PartNumber=1, Body=b"x" * 10)
    s3.complete_multipart_upload(
        Bucket=name,
        Key="parts",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    s3.put_object_tagging(Bucket=name, Key="copy", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    more = [json.loads(m["Body"]) for m in receive(local_cloud, url, 3)]
    local_cloud.idle()
    assert "Messages" not in local_cloud.client("sqs").receive_message(QueueUrl=url)
    by_time = sorted(more, key=lambda e: e["detail"]["object"]["sequencer"])
    kinds = [(e["detail-type"], e["detail"].get("reason")) for e in by_time]
    assert kinds == [
        ("Object Created", "CopyObject"),
        ("Object Created", "CompleteMultipartUpload"),
        ("Object Tags Added", None),
    ]
    assert by_time[0]["detail"]["object"]["sequencer"] > sequencer
    assert len({e["id"] for e in [event, *more]}) == 4


def test_object_deleted_tells_how(local_cloud: LocalCloud) -> None:
    """A delete marker, a version that is gone for good, and an object without versions."""
    name, url = bucket(local_cloud, versioned=True)
    s3 = local_cloud.client("s3")
    version = s3.put_object(Bucket=name, Key="k", Body=b"1")["VersionId"]
    marker = s3.delete_object(Bucket=name, Key="k")["VersionId"]
    s3.delete_object(Bucket=name, Key="k", VersionId=version)
    found = [json.loads(m["Body"])["detail"] for m in receive(local_cloud, url, 3)]
    deleted = sorted(
        (d["deletion-type"], d["object"]["version-id"], d["reason"])
        for d in found
        if "deletion-type" in d
    )
    assert deleted == [
        ("Delete Marker Created", marker, "DeleteObject"),
        ("Permanently Deleted", version, "DeleteObject"),
    ]
    plain, plain_url = bucket(local_cloud)
    s3.put_object(Bucket=plain, Key="k", Body=b"1")
    s3.delete_object(Bucket=plain, Key="k")
    found = [json.loads(m["Body"])["detail"] for m in receive(local_cloud, plain_url, 2)]
    assert all("version-id" not in detail["object"] for detail in found)
    assert {d.get("deletion-type") for d in found} == {None, "Permanently Deleted"}


def test_bucket_without_eventbridge_is_silent(local_cloud: LocalCloud) -> None:
    """Events flow only from buckets that have them switched on."""
    name, url = bucket(local_cloud, events=False)
    local_cloud.client("s3").put_object(Bucket=name, Key="k", Body=b"1")
    local_cloud.idle()
    assert "Messages" not in local_cloud.client("sqs").receive_message(QueueUrl=url)


def test_tls_only_bucket_policy_does_not_lock_everyone_out(local_cloud: LocalCloud) -> None:
    """The common deny-without-TLS statement lets requests pass; a plain deny still denies."""
    name, _ = bucket(local_cloud)
    s3 = local_cloud.client("s3")
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(
        Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    s3.put_object(Bucket=name, Key="k", Body=b"1")
    assert s3.get_object(Bucket=name, Key="k")["Body"].read() == b"1"
    del statement["Condition"]
    s3.put_bucket_policy(
        Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    with pytest.raises(ClientError, match=r"403|Denied|Forbidden"):
        s3.get_object(Bucket=name, Key="k")


def test_failing_target_is_retried_then_dead_lettered(fast_cloud: LocalCloud) -> None:
    """A throttled state machine target is tried again, then given up with the condition's name."""
    cloud = fast_cloud
    url, dead = queue(cloud)
    cloud.faults(throttle={"states": 1.0})
    rule(
        cloud,
        {"source": ["app"]},
        {
            "Arn": f"arn:aws:states:eu-west-1:{ACCOUNT}:stateMachine:none",
            "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/any",
            "RetryPolicy": {"MaximumRetryAttempts": 1},
            "DeadLetterConfig": {"Arn": dead},
        },
    )
    put(cloud, "app", {})
    message = receive(cloud, url, seconds=30)[0]
    cloud.faults()
    attributes = {k: v["StringValue"] for k, v in message["MessageAttributes"].items()}
    assert attributes["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts"
    assert attributes["RETRY_ATTEMPTS"] == "1"
    assert attributes["ERROR_CODE"] == "ThrottlingException"
