"""The signal queue, the notices and the registry against moto."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from perennial.aws import registry
from perennial.aws.notices import Notices
from perennial.aws.signal_queue import SignalQueue
from perennial.domain.errors import NotFound
from perennial.domain.signals import Wake, parse_signal

from tests.statemachines.aws_api import mistakes

NOW = 1_800_000_000_000


@pytest.fixture
def queue(aws: None) -> SignalQueue:
    """An empty queue."""
    return SignalQueue(boto3.client("sqs").create_queue(QueueName="signals")["QueueUrl"])


def test_a_wake_is_delayed_and_never_beyond_what_sqs_allows(
    queue: SignalQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour's wait becomes 900 seconds, after which a new wake is sent; no negative delay."""
    sent: list[Any] = []
    boto = boto3.client("sqs")
    monkeypatch.setattr(boto, "send_message", lambda **request: sent.append(request))
    monkeypatch.setattr("perennial.aws.signal_queue.client", lambda _service: boto)
    for due_ms in (3_600_000 + NOW, NOW - 5_000, NOW, NOW + 1, NOW + 1_001):
        queue.wake("census", due_ms=due_ms, now_ms=NOW)
    assert [request["DelaySeconds"] for request in sent] == [900, 0, 0, 1, 2]
    assert parse_signal(sent[0]["MessageBody"]) == Wake("census", NOW + 3_600_000)


def test_messages_are_received_and_deleted(queue: SignalQueue) -> None:
    """What was received and deleted does not come back."""
    queue.send_text('{"because":"ü"}')
    (message,) = queue.receive()
    assert json.loads(message.body)["because"] == "ü"
    queue.delete(message)
    assert queue.depth() == 0


def test_a_missing_queue_is_not_found(aws: None) -> None:
    """A queue that is gone is named, not ignored."""
    gone = SignalQueue("https://sqs.eu-west-1.amazonaws.com/123456789012/gone")
    with pytest.raises(NotFound, match="signal queue"):
        gone.wake("census", due_ms=NOW, now_ms=NOW)


def test_a_notice_has_a_plain_subject_and_attributes(aws: None) -> None:
    """SNS refuses subjects with line breaks, other letters or more than 100 characters."""
    topic = boto3.client("sns").create_topic(Name="notices")["TopicArn"]
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    boto3.client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:eu-west-1:123456789012:inbox"
    )
    Notices(topic).publish("census\nrün " + "x" * 200, "Body ü", {"run": "census-1", "empty": ""})
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    notice = json.loads(message["Body"])
    assert notice["Subject"].startswith("census?r?n x")
    assert len(notice["Subject"]) == 100
    assert notice["Message"] == "Body ü"
    assert notice["MessageAttributes"] == {"run": {"Type": "String", "Value": "census-1"}}


def test_the_registry_lists_newest_first_and_finds_by_number(aws: None) -> None:
    """Versions are found by their number in the group; an unknown group has none."""
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName="perennial-census")
    arns = [
        registry.create_version(
            {
                "ModelPackageGroupName": "perennial-census",
                "ModelApprovalStatus": "PendingManualApproval",
                "ClientToken": registry.client_token("census", str(number)),
            }
        )
        for number in (1, 2)
    ]
    assert registry.find_version("perennial-census", 2).arn == arns[1]
    registry.update_approval(arns[0], registry.APPROVED, "by a test, " + "x" * 2000)
    assert registry.describe_version(arns[0]).status == registry.APPROVED
    with pytest.raises(NotFound, match="perennial-census has no version 9"):
        registry.find_version("perennial-census", 9)


def test_notes_on_a_version_hold_only_what_the_registry_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Words with brackets, semicolons and line ends are written without them, and cut."""
    sent: list[dict[str, Any]] = []
    stub = SimpleNamespace(update_model_package=lambda **request: sent.append(request))
    monkeypatch.setattr(registry, "client", lambda _: stub)
    arn = "arn:aws:sagemaker:eu-west-1:111122223333:model-package/perennial-census/1"
    words = "rolled back: it's slow (p99\n 1,200 ms); production is as it was" + "!" * 300
    registry.note_metadata(arn, {"perennial:release_words": words + "x" * 300})
    (request,) = sent
    assert mistakes("sagemaker", "updateModelPackage", request) == []
    (note,) = request["CustomerMetadataProperties"].values()
    assert note.startswith("rolled back: it s slow p99 1 200 ms production is as it was xxx")
    assert len(note) == 256
    assert registry.UNFIT.search(note) is None


def test_a_registration_token_is_stable_and_fits() -> None:
    """The same run gives the same token of 36 characters; another run another one."""
    assert registry.client_token("census", "1") == registry.client_token("census", "1")
    assert registry.client_token("census", "12") != registry.client_token("census1", "2")
    assert len(registry.client_token("census", "1")) == 36
