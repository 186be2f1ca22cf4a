"""Capture of our own: what is taken, how it gets into files, and what a failure costs."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from perennial import capture_prediction, predict
from perennial.aws.clients import forget_clients
from perennial.domain.capture import LARGEST_MESSAGE, captured, message_of
from perennial.domain.ledger.rows import Live
from perennial.forget_model import forget_model
from perennial.write_captures import write_captures

from tests.unit.domain.test_capture import EXCHANGE
from tests.unit.usecases.asking import (
    ENDPOINT,
    ID,
    ROW,
    TARGET,
    ask,
    go_live,
    keyed,
    moving,
    plain,
)
from tests.unit.usecases.model_server import Reply, Runtime, failure, predicting
from tests.unit.world import MODEL, START_MS, World, boto_client


def served_by(captured: int) -> dict[str, Any]:
    """The fields of a model row whose serverless endpoint is captured by us, so many percent."""
    live = Live(ENDPOINT, "c", 1, 7, "a", START_MS, settings=1, kind="serverless")
    return {"live": Live(**{**vars(live), "captured": captured})}


@pytest.fixture
def world_of_ours(live: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which every request to the live endpoint is captured by us."""
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Perennial")
    queue = boto_client("sqs").create_queue(QueueName="captures")["QueueUrl"]
    live.outputs["CaptureQueueUrl"] = queue
    go_live(live, **served_by(100))
    return live


def taken(world: World) -> list[tuple[str, str]]:
    """The messages of the capture queue: id and body; they are gone from it."""
    sqs, url, found = boto_client("sqs"), world.outputs["CaptureQueueUrl"], []
    while answer := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in answer:
            found.append((message["MessageId"], message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def files(world: World) -> dict[str, list[Any]]:
    """The lines of each capture file, by key."""
    s3, bucket = boto_client("s3"), world.outputs["ArtifactBucket"]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="capture/").get("Contents", [])
    bodies = {e["Key"]: s3.get_object(Bucket=bucket, Key=e["Key"])["Body"].read() for e in listed}
    return {key: [json.loads(line) for line in body.splitlines()] for key, body in bodies.items()}


def test_an_answered_request_ends_in_a_file(world_of_ours: World, runtime: Runtime) -> None:
    """What the endpoint was sent and answered, under its model, endpoint, variant and hour."""
    world = world_of_ours
    assert ask(world, {**ROW, "colour": "red"})[0] == 200
    done = write_captures(world.ports, taken(world))
    assert (done.failed, done.written) == ({}, {MODEL: 1})
    ((key, (line,)),) = files(world).items()
    assert done.files == [key]
    assert key.startswith(f"capture/{MODEL}/{ENDPOINT}/main/2026/11/18/")
    data, about = line["captureData"], line["eventMetadata"]
    assert data["endpointInput"]["data"] == runtime.requests[0][2].decode()
    assert json.loads(data["endpointOutput"]["data"])["predictions"][0]["prediction"] == ">50K"
    assert {data[side]["encoding"] for side in data} == {"JSON"}
    assert about["inferenceId"] == ID


def test_an_endpoint_that_captures_itself_is_left_alone(
    world_of_ours: World, runtime: Runtime
) -> None:
    """Nothing is there twice; nor is what the settings do not ask for."""
    go_live(world_of_ours, **served_by(0))
    predict.forget(world_of_ours.ports, MODEL)
    assert ask(world_of_ours)[0] == 200
    assert taken(world_of_ours) == []


def test_a_move_is_captured_at_the_endpoint_that_answered(
    world_of_ours: World, runtime: Runtime
) -> None:
    """Each endpoint by its own percentage: here the old one captures itself."""
    runtime.reply = lambda document: Reply(
        body=plain(document).body, headers={"x-Amzn-Invoked-Production-Variant": "main"}
    )
    go_live(world_of_ours, **served_by(0), **moving(500, captured=100))
    predict.forget(world_of_ours.ports, MODEL)
    versions = [ask(world_of_ours)[1]["version"] for _ in range(20)]
    messages = taken(world_of_ours)
    assert len(messages) == versions.count(8) > 0
    write_captures(world_of_ours.ports, messages)
    assert all(key.startswith(f"capture/{MODEL}/{TARGET}/main/") for key in files(world_of_ours))


def test_a_sample_is_taken_by_the_percentage(
    world_of_ours: World, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request is of the sample when its number lies below the share."""
    go_live(world_of_ours, **served_by(30))
    predict.forget(world_of_ours.ports, MODEL)
    for number, count in ((0.29, 1), (0.3, 0), (0.99, 0)):
        monkeypatch.setattr(predict.random, "random", lambda number=number: number)
        assert ask(world_of_ours)[0] == 200
        assert len(taken(world_of_ours)) == count


def test_an_answer_that_comes_again_is_captured_once(
    world_of_ours: World, runtime: Runtime
) -> None:
    """Under an Idempotency-Key the model was asked once; a refusal or a failure is no answer."""
    for _ in range(3):
        assert ask(world_of_ours, **keyed("k"))[0] == 200
    assert len(taken(world_of_ours)) == 1
    assert ask(world_of_ours, {"age": "old"})[0] == 400
    assert ask(world_of_ours, {**ROW, "age": 40}, **keyed("k"))[0] == 422
    runtime.reply = lambda _: failure(503, "ServiceUnavailable")
    assert ask(world_of_ours, **keyed("l"))[0] == 503
    assert taken(world_of_ours) == []


def test_what_is_too_long_for_a_message_is_a_file_at_once(
    world_of_ours: World, runtime: Runtime
) -> None:
    """Whole, and with nothing in the queue."""
    rows = [{**ROW, "town": f"Ülm {number}"} for number in range(6000)]
    assert ask(world_of_ours, {"instances": rows})[0] == 200
    assert taken(world_of_ours) == []
    ((key, (line,)),) = files(world_of_ours).items()
    assert key.startswith(f"capture/{MODEL}/{ENDPOINT}/main/")
    sent = line["captureData"]["endpointInput"]["data"]
    assert len(sent) > LARGEST_MESSAGE
    assert json.loads(sent) == {"instances": rows}


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """An SQS that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", url)
        forget_clients()
        yield server
    monkeypatch.undo()
    forget_clients()


def test_a_queue_that_does_not_answer_costs_no_prediction(
    world_of_ours: World,
    runtime: Runtime,
    silence: socket.socket,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is asked once, not by every request: those that follow are only counted."""
    world_of_ours.outputs["CaptureQueueUrl"] = "http://127.0.0.1/1/captures"
    assert [ask(world_of_ours)[0] for _ in range(5)] == [200] * 5
    silence.setblocking(False)
    silence.accept()[0].close()
    with pytest.raises(BlockingIOError):
        silence.accept()
    assert capsys.readouterr().out.count('"CapturesLost":[1.0]') == 5


@pytest.mark.parametrize("broken", ["queue", "setting", "bucket", "late", "variant"])
def test_what_cannot_be_captured_is_logged(
    world_of_ours: World,
    runtime: Runtime,
    broken: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client has its answer; the log names the request and no value of it."""
    body: Any = {**ROW, "town": "Geheimnis"}
    if broken == "queue":
        world_of_ours.outputs["CaptureQueueUrl"] += "-gone"
    elif broken == "setting":
        del world_of_ours.outputs["CaptureQueueUrl"]
    elif broken == "bucket":
        world_of_ours.outputs["ArtifactBucket"] = "gone"
        body = {"instances": [body] * 6000}
    elif broken == "late":
        monkeypatch.setattr(predict, "ALL_SECONDS", 4.0)
    else:
        runtime.reply = lambda document: Reply(body=predicting(document).body)
    caplog.set_level("INFO")
    assert ask(world_of_ours, body)[0] == 200
    ours = [r for r in caplog.records if not r.name.startswith(("botocore", "urllib3"))]
    lost, answered = map(vars, ours)
    assert (lost["message"], lost["request"]) == ("request not captured", ID)
    assert (answered["message"], answered["status"]) == ("request", 200)
    assert "Geheimnis" not in repr([lost, answered])


def test_after_a_while_the_queue_is_tried_again(world_of_ours: World, runtime: Runtime) -> None:
    """An outage that is over loses nothing more."""
    world_of_ours.outputs["CaptureQueueUrl"] += "-gone"
    ask(world_of_ours)
    boto_client("sqs").create_queue(QueueName="captures-gone")
    ask(world_of_ours)
    assert taken(world_of_ours) == []
    world_of_ours.clock.now_ms += capture_prediction.PAUSE_MS
    ask(world_of_ours)
    assert len(taken(world_of_ours)) == 1


def test_a_batch_fails_message_by_message(world_of_ours: World) -> None:
    """Poison comes back alone; what is good is in its file."""
    good = message_of(captured(EXCHANGE))
    done = write_captures(world_of_ours.ports, [("m1", good), ("m2", "{"), ("m3", good)])
    assert list(done.failed) == ["m2"]
    assert done.written == {MODEL: 2}
    ((_, lines),) = files(world_of_ours).items()
    assert len(lines) == 2


def test_a_file_that_cannot_be_written_comes_back_whole(world_of_ours: World) -> None:
    """All its messages do, and the next delivery of them writes it."""
    messages = [(name, message_of(captured(EXCHANGE))) for name in ("m1", "m2")]
    bucket, world_of_ours.outputs["ArtifactBucket"] = "artifacts", "gone"
    assert list(write_captures(world_of_ours.ports, messages).failed) == ["m1", "m2"]
    world_of_ours.outputs["ArtifactBucket"] = bucket
    assert write_captures(world_of_ours.ports, messages).failed == {}
    assert len(files(world_of_ours)) == 1


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.permutations(["m1", "m2", "m3"]), st.integers(1, 3))
def test_the_same_messages_again_write_the_same_file(
    world_of_ours: World, order: list[str], times: int
) -> None:
    """However often and in which order SQS delivers them."""
    body = message_of(captured(EXCHANGE))
    for _ in range(times):
        write_captures(world_of_ours.ports, [(name, body) for name in order])
    ((_, lines),) = files(world_of_ours).items()
    assert len(lines) == 3


def test_a_removed_model_leaves_no_capture_behind(world_of_ours: World) -> None:
    """What was still in the queue when it was removed is dropped, and counted."""
    forget_model(world_of_ours.ports, MODEL)
    done = write_captures(world_of_ours.ports, [("m1", message_of(captured(EXCHANGE)))])
    assert (done.failed, done.dropped, done.files) == ({}, {MODEL: 1}, [])
    assert files(world_of_ours) == {}
