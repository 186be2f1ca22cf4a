"""Endpoints of several models: loaded when they are asked for, unloaded when memory runs out."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.sagemaker.hosting import Hosting, own_image, refused

# The next module will judge it, and would wait for it.
pytestmark = pytest.mark.usefixtures("broken")

# Tells its word and its process, which ends at the word `exit`.
MODEL = """
    import json, os, pathlib, uuid

    PROCESS = uuid.uuid4().hex

    def model_fn(folder):
        return pathlib.Path(folder, "word.txt").read_text()

    def transform_fn(model, body, content_type, accept):
        text = body if isinstance(body, str) else bytes(body).decode()
        if text == "exit":
            os._exit(3)
        return json.dumps({"word": model, "process": PROCESS}), "application/json"
"""
# An own image that has room for two models, and tells which models it has loaded and unloaded.
SMALL = """#!/usr/bin/env python3
import json, os, pathlib, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

loaded, story = {}, []

class Small(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def reply(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        name = self.path.rpartition("/")[2]
        self.reply(200 if name == "ping" or name in loaded else 404, {})
    def do_DELETE(self):
        name = self.path.rpartition("/")[2]
        story.append("-" + loaded.pop(name))
        self.reply(200, {})
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/models":
            asked = json.loads(body)
            if len(loaded) == 2:
                return self.reply(507, {"error": "no room"})
            word = pathlib.Path(asked["url"], "word.txt").read_text()
            if word == "broken":
                return self.reply(500, {"error": "broken model"})
            if word == "slow":
                time.sleep(6)
            loaded[asked["model_name"]] = word
            story.append("+" + word)
            return self.reply(200, {})
        name = self.path.split("/")[2]
        target = self.headers["X-Amzn-SageMaker-Target-Model"]
        self.reply(200, {"word": loaded[name], "target": target, "story": story})
    def log_message(self, *_):
        pass

assert os.environ["SAGEMAKER_MULTI_MODEL"] == "true"
place = ("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
ThreadingHTTPServer(place, Small).serve_forever()
"""


@pytest.fixture(scope="module")
def small_image() -> Iterator[str]:
    """The address of the image with room for two models."""
    with own_image(SMALL) as address:
        yield address


def several(hosting: Hosting, *words: str) -> tuple[str, Any]:
    """A prefix with one archive a word, and a container that serves them."""
    prefix = f"several/{uuid.uuid4().hex}/"
    for word in words:
        hosting.put(f"{prefix}{word}.tar.gz", hosting.archive({"word.txt": word}))
    container = hosting.container(script=MODEL)
    return prefix, {**container, "ModelDataUrl": hosting.uri(prefix), "Mode": "MultiModel"}


def serve(hosting: Hosting, container: Any, count: int = 1) -> str:
    """An endpoint of that container."""
    model = hosting.model(container=container)
    return hosting.endpoint(hosting.config(hosting.variant(model, count=count)))


def answer(hosting: Hosting, endpoint: str, target: str) -> Any:
    """The document that a target model answers."""
    return json.loads(hosting.invoke(endpoint, TargetModel=target)["Body"].read())


@pytest.fixture(scope="module")
def shared(hosting: Hosting) -> tuple[str, str]:
    """An endpoint of AWS's scikit-learn image with two models, and their prefix."""
    prefix, container = several(hosting, "blue", "green")
    return serve(hosting, container), prefix


def test_each_request_is_answered_by_its_target(hosting: Hosting, shared: Any) -> None:
    """Loaded once and kept; a model that is put below the prefix later is served without a change.

    Each model has a process of its own.
    """
    endpoint, prefix = shared
    assert [answer(hosting, endpoint, f"{word}.tar.gz")["word"] for word in ("blue", "green")] == [
        "blue",
        "green",
    ]
    own = {answer(hosting, endpoint, "blue.tar.gz")["process"] for _ in range(3)}
    assert len(own) == 1
    assert answer(hosting, endpoint, "green.tar.gz")["process"] not in own
    hosting.put(f"{prefix}deep/red.tar.gz", hosting.archive({"word.txt": "red"}))
    assert answer(hosting, endpoint, "deep/red.tar.gz")["word"] == "red"


def test_a_model_that_is_not_there_is_named(hosting: Hosting, shared: Any) -> None:
    """With bucket and key, and the next request finds it when it has come; a broken archive too."""
    endpoint, prefix = shared
    late = f"late-{uuid.uuid4().hex[:8]}.tar.gz"
    ask = lambda: hosting.invoke(endpoint, TargetModel=late)  # noqa: E731
    words = f"Failed to download model data(bucket: {hosting.bucket}, key: {prefix}{late})."
    refused(ask, words, "ValidationError")
    hosting.put(prefix + late, b"no archive")
    refused(ask, "Failed to extract model data archive", "ValidationError")
    hosting.put(prefix + late, hosting.archive({"word.txt": "late"}))
    assert answer(hosting, endpoint, late)["word"] == "late"


def test_the_target_header_belongs_to_multi_model_endpoints(hosting: Hosting, shared: Any) -> None:
    """Missing there, or given elsewhere: refused in AWS's words."""
    refused(
        lambda: hosting.invoke(shared[0]), "is missing a target model header", "ValidationError"
    )
    single = hosting.serve("one")
    refused(
        lambda: hosting.invoke(single, TargetModel="blue.tar.gz"),
        f"Endpoint {single} is not a multi-model endpoint and does not support target model header",
        "ValidationError",
    )


def test_a_model_whose_process_dies_is_loaded_again(hosting: Hosting, shared: Any) -> None:
    """The others do not notice."""
    endpoint, _ = shared
    blue, green = (
        answer(hosting, endpoint, f"{word}.tar.gz")["process"] for word in ("blue", "green")
    )
    refused(
        lambda: hosting.invoke(endpoint, "exit", TargetModel="blue.tar.gz"), "ended", "ModelError"
    )
    found = answer(hosting, endpoint, "blue.tar.gz")
    assert found["word"] == "blue"
    assert found["process"] != blue
    assert answer(hosting, endpoint, "green.tar.gz")["process"] == green


def test_the_model_that_was_used_longest_ago_makes_room(hosting: Hosting, small_image: str) -> None:
    """When the container has no memory; and CloudWatch tells of hits, loads and unloads."""
    _, container = several(hosting, "a", "b", "c", "broken")
    endpoint = serve(hosting, {**container, "Image": small_image, "Environment": {}})
    ask = [answer(hosting, endpoint, f"{word}.tar.gz") for word in ("a", "b", "a", "c", "a", "b")]
    assert [found["word"] for found in ask] == ["a", "b", "a", "c", "a", "b"]
    assert ask[-1]["story"] == ["+a", "+b", "-b", "+c", "-c", "+b"]
    assert ask[-1]["target"] == "b.tar.gz"
    refused(lambda: answer(hosting, endpoint, "broken.tar.gz"), "broken model", "ModelError")
    listed = hosting.cloud.client("cloudwatch").list_metrics(
        Namespace="AWS/SageMaker", Dimensions=[{"Name": "EndpointName", "Value": endpoint}]
    )["Metrics"]
    assert {
        "ModelCacheHit",
        "ModelDownloadingTime",
        "ModelLoadingTime",
        "ModelLoadingWaitTime",
        "ModelUnloadingTime",
    } <= {metric["MetricName"] for metric in listed}


def test_a_model_that_loads_too_slowly_is_not_ready(hosting: Hosting, small_image: str) -> None:
    """The request ends in time, the load goes on, and a later request is answered."""
    _, container = several(hosting, "slow")
    endpoint = serve(hosting, {**container, "Image": small_image, "Environment": {}})
    asked = {"EndpointName": endpoint, "TargetModel": "slow.tar.gz", "Body": "1"}
    with pytest.raises(hosting.patient.exceptions.ModelNotReadyException):
        hosting.patient.invoke_endpoint(**asked)
    found = json.loads(hosting.patient.invoke_endpoint(**asked)["Body"].read())
    assert found["story"] == ["+slow"], "loaded once"


def test_a_target_stays_with_the_instance_that_has_it(hosting: Hosting, small_image: str) -> None:
    """Of two instances with room for two models each, neither gives one up for the other's."""
    words = ("a", "b")
    _, container = several(hosting, *words)
    endpoint = serve(hosting, {**container, "Image": small_image, "Environment": {}}, count=2)
    for _ in range(5):
        stories = [tuple(answer(hosting, endpoint, f"{word}.tar.gz")["story"]) for word in words]
    assert sum(story.count(f"+{word}") for story in set(stories) for word in words) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ModelDataUrl": None}, "needs ModelDataUrl"),
        ({"ModelDataUrl": "s3://bucket/a.tar.gz"}, "is the prefix of its models' archives"),
        ({"MultiModelConfig": {"ModelCacheSetting": "Disabled"}}, "ModelCacheSetting Disabled"),
        ({"Mode": "SingleModel", "MultiModelConfig": {}}, None),
        (
            {"Mode": "SingleModel", "MultiModelConfig": {"ModelCacheSetting": "Enabled"}},
            "must only be given with the Mode MultiModel",
        ),
    ],
)
def test_containers_that_cannot_be_are_refused(hosting: Hosting, change: Any, words: Any) -> None:
    """When the model is created."""
    _, container = several(hosting, "blue")
    changed = {key: value for key, value in {**container, **change}.items() if value is not None}
    if words is None:
        del changed["ModelDataUrl"]
        assert hosting.model(container=changed)
        return
    refused(lambda: hosting.model(container=changed), words)


def test_capture_and_serverless_are_refused(hosting: Hosting) -> None:
    """As AWS excludes them, when the configuration is created."""
    _, container = several(hosting, "blue")
    model = hosting.model(container=container)
    size = {"MemorySizeInMB": 2048, "MaxConcurrency": 2}
    serverless = {"VariantName": "main", "ModelName": model, "ServerlessConfig": size}
    refused(lambda: hosting.config(serverless), "multi-model endpoints cannot be serverless")
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": hosting.uri("capture"),
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    refused(
        lambda: hosting.config(hosting.variant(model), DataCaptureConfig=capture),
        "DataCaptureConfig is not supported for multi-model endpoints",
    )
