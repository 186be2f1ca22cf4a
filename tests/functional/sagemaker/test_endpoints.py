"""Endpoints from their creation to their end: real servers, routing, errors, crashes."""

import json
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.conftest import StartCloud
from tests.functional.sagemaker.hosting import BAD_INPUT, NEVER_READY, Hosting
from tests.functional.sagemaker.hosting import own_image as hosting_image

# An own image: answers with what it was told, and does what the body says.
MIRROR = """#!/usr/bin/env python3
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Mirror(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def reply(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.reply(200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body.startswith(b"sleep"):
            time.sleep(float(body.split()[1]))
        if body == b"exit":
            os._exit(3)
        if body == b"large":
            return self.reply(200, b"x" * (7 << 20))
        if body == b"teapot":
            return self.reply(418, b"short and stout")
        told = {name.lower(): value for name, value in self.headers.items()}
        self.reply(200, json.dumps([told, os.listdir("/opt/ml/model"), sys.argv[1:]]).encode(),
                   Content_Type="application/json; v=1",
                   X_Amzn_SageMaker_Custom_Attributes="model=7")
    def log_message(self, *_):
        pass

place = ("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
ThreadingHTTPServer(place, Mirror).serve_forever()
"""


@pytest.fixture(scope="module")
def own_image() -> Iterator[str]:
    """The address of an image for which a folder with `serve` stands in."""
    with hosting_image(MIRROR) as address:
        yield address


@pytest.fixture(scope="module", autouse=True)
def silent(hosting: Hosting) -> str:
    """An endpoint whose server never answers /ping; created first, for it takes its time."""
    config = hosting.config(hosting.variant(hosting.model(script=NEVER_READY)))
    return hosting.endpoint(config, wait=False)


@pytest.fixture(scope="module")
def mirror(hosting: Hosting, own_image: str) -> str:
    """An endpoint of the own image, one instance."""
    container = {**hosting.container(), "Image": own_image, "Environment": {}}
    return hosting.endpoint(hosting.config(hosting.variant(hosting.model(container=container))))


@pytest.fixture(scope="module")
def echo(hosting: Hosting) -> str:
    """An endpoint with two variants of half the traffic each."""
    first = hosting.variant(hosting.model("blue"), "first")
    second = hosting.variant(hosting.model("green"), "second")
    return hosting.endpoint(hosting.config(first, second))


def refused(call: Any, code: str, text: str) -> None:
    """The call fails with this code, and with these words in its message."""
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    assert text in error["Message"], error


def test_an_endpoint_is_created_listed_described_and_deleted(hosting: Hosting) -> None:
    """Creating, InService with its instances as processes, Deleting, gone; then a free name."""
    config = hosting.config(hosting.variant(hosting.model(), count=2))
    tags = [{"Key": "perennial:model", "Value": "census"}]
    name = hosting.endpoint(config, wait=False, Tags=tags)
    begun = hosting.look(name)
    assert begun["EndpointStatus"] == "Creating"
    assert begun["PendingDeploymentSummary"]["EndpointConfigName"] == config
    found = hosting.settle(name)
    assert found["EndpointStatus"] == "InService", found.get("FailureReason")
    assert found["EndpointConfigName"] == config
    assert "PendingDeploymentSummary" not in found
    (variant,) = found["ProductionVariants"]
    assert variant["VariantName"] == "main"
    assert variant["CurrentInstanceCount"] == variant["DesiredInstanceCount"] == 2
    assert variant["CurrentWeight"] == variant["DesiredWeight"] == 1.0
    assert len(hosting.processes(name)) >= 2
    listed = hosting.sagemaker.list_endpoints(NameContains=name, StatusEquals="InService")
    assert [entry["EndpointName"] for entry in listed["Endpoints"]] == [name]
    assert hosting.sagemaker.list_tags(ResourceArn=found["EndpointArn"])["Tags"] == tags
    taken = f'Cannot create already existing endpoint "{found["EndpointArn"]}".'
    again = {"EndpointName": name, "EndpointConfigName": config}
    refused(lambda: hosting.sagemaker.create_endpoint(**again), "ValidationException", taken)
    hosting.remove(name)
    assert not hosting.processes(name)
    refused(lambda: hosting.look(name), "ValidationException", "Could not find endpoint")
    hosting.sagemaker.create_endpoint(**again)
    assert hosting.settle(name)["EndpointStatus"] == "InService"


def test_what_the_server_prints_is_in_the_endpoints_log_group(hosting: Hosting, echo: str) -> None:
    """One stream an instance, named after its variant."""
    logs = hosting.cloud.client("logs")
    group = f"/aws/sagemaker/Endpoints/{echo}"
    streams = hosting.until(
        lambda: logs.describe_log_streams(logGroupName=group)["logStreams"],
        lambda found: len(found) == 2,
    )
    names = sorted(stream["logStreamName"] for stream in streams)
    assert [name.partition("/")[0] for name in names] == ["first", "second"]
    events = logs.get_log_events(logGroupName=group, logStreamName=names[0])["events"]
    assert any("model loaded" in event["message"] for event in events)


def test_headers_pass_through_in_both_directions(hosting: Hosting, mirror: str) -> None:
    """The server sees type, Accept and custom attributes; the caller its type and its own."""
    answer = hosting.invoke(
        mirror, "1", ContentType="text/csv; x=y", Accept="application/json", CustomAttributes="a=b"
    )
    told, model, _ = json.loads(answer["Body"].read())
    assert told["content-type"] == "text/csv; x=y"
    assert told["accept"] == "application/json"
    assert told["x-amzn-sagemaker-custom-attributes"] == "a=b"
    assert model == ["word.txt"]
    assert answer["ContentType"] == "application/json; v=1"
    assert answer["CustomAttributes"] == "model=7"
    assert answer["InvokedProductionVariant"] == "main"


def test_traffic_follows_the_weights_and_the_target(hosting: Hosting, echo: str) -> None:
    """Halves within binomial bounds; after a shift all to one; a target overrides weights."""

    def words(count: int, **more: Any) -> Counter[str]:
        seen = [hosting.invoke(echo, **more) for _ in range(count)]
        for answer in seen:
            word = json.loads(answer["Body"].read())["word"]
            assert answer["InvokedProductionVariant"] == {"blue": "first", "green": "second"}[word]
        return Counter(answer["InvokedProductionVariant"] for answer in seen)

    halves = words(200)
    assert 100 - 35 <= halves["first"] <= 100 + 35  # five standard deviations
    shift = [
        {"VariantName": "first", "DesiredWeight": 0.0},
        {"VariantName": "second", "DesiredWeight": 3.0, "DesiredInstanceCount": 2},
    ]
    hosting.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=echo, DesiredWeightsAndCapacities=shift
    )
    found = hosting.settle(echo)["ProductionVariants"]
    assert [variant["CurrentWeight"] for variant in found] == [0.0, 3.0]
    assert [variant["CurrentInstanceCount"] for variant in found] == [1, 2]
    assert words(50) == {"second": 50}
    assert words(5, TargetVariant="first") == {"first": 5}


def test_requests_are_shared_by_the_instances_with_the_fewest(hosting: Hosting) -> None:
    """While one instance is busy the other answers all; together they answer at once."""
    script = """
        import os, time

        def model_fn(folder):
            return os.environ["SAGEMAKER_BIND_TO_PORT"]

        def transform_fn(model, body, content_type, accept):
            text = body if isinstance(body, str) else bytes(body).decode()
            time.sleep(float(text))
            return model, "text/plain"
    """
    name = hosting.serve(script=script, count=2)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(lambda: hosting.patient.invoke_endpoint(EndpointName=name, Body=b"2.5"))
        hosting.until(
            lambda: {hosting.invoke(name, "0")["Body"].read() for _ in range(4)},
            lambda ports: len(ports) == 1,
        )
        seen = {hosting.invoke(name, "0")["Body"].read() for _ in range(8)}
        busy = slow.result()["Body"].read()
    assert len(seen) == 1
    assert busy not in seen


def test_a_models_error_is_a_model_error(hosting: Hosting, mirror: str) -> None:
    """424 with the server's status and words, and the place of the log."""
    with pytest.raises(hosting.runtime.exceptions.ModelError) as caught:
        hosting.invoke(mirror, "teapot")
    found = caught.value.response
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert found["OriginalStatusCode"] == 418
    assert found["OriginalMessage"] == "short and stout"
    group = f"/aws/sagemaker/Endpoints/{mirror}"
    assert found["LogStreamArn"] == f"arn:aws:logs:eu-west-1:123456789012:log-group:{group}"
    text = 'Received client error (418) from primary with message "short and stout". See https://'
    assert text in found["Error"]["Message"]
    with pytest.raises(hosting.runtime.exceptions.ModelError, match="larger than 6291456 bytes"):
        hosting.invoke(mirror, "large")


def test_what_cannot_be_invoked_is_refused(hosting: Hosting, mirror: str) -> None:
    """Unknown endpoint and variant, too large a body, and by name what is not done here."""
    refused(lambda: hosting.invoke("nobody"), "ValidationError", "Endpoint nobody of account")
    wrong = {"TargetVariant": "other"}
    refused(lambda: hosting.invoke(mirror, **wrong), "ValidationError", "Variant other of endpoint")
    text = "HTTP content length exceeded 6291456 bytes."
    refused(lambda: hosting.invoke(mirror, b"x" * 6291457), "413", text)
    assert hosting.invoke(mirror, b"x" * 6291456)["Body"].read()
    more = {"TargetModel": "a.tar.gz"}
    refused(lambda: hosting.invoke(mirror, **more), "ValidationError", "is not a multi-model")
    asked = {"EndpointName": mirror, "InputLocation": "s3://bucket/key"}
    call = hosting.runtime.invoke_endpoint_async
    refused(lambda: call(**asked), "ValidationError", "does not support async-invocations yet")


def test_a_crashed_server_comes_back(hosting: Hosting, mirror: str) -> None:
    """The request that killed it fails as a model error; the next server answers the others."""
    with pytest.raises(hosting.runtime.exceptions.ModelError) as caught:
        hosting.invoke(mirror, "exit")
    assert caught.value.response["OriginalStatusCode"] == 0

    # Others that reach the server as it dies share its fate; later ones find it out of service.
    errors = hosting.runtime.exceptions.ServiceUnavailable, hosting.runtime.exceptions.ModelError

    def answered() -> bool:
        try:
            return bool(hosting.invoke(mirror)["Body"].read())
        except errors:
            return False

    hosting.until(answered, bool)
    assert hosting.look(mirror)["EndpointStatus"] == "InService"
    lines = hosting.cloud.client("logs").filter_log_events(
        logGroupName=f"/aws/sagemaker/Endpoints/{mirror}", filterPattern='"the server ended"'
    )["events"]
    assert "exit code 3" in lines[-1]["message"]


def test_killed_processes_do_not_stop_an_endpoint_of_two(hosting: Hosting) -> None:
    """With kill -9 on one instance's processes the other answers, and both are there again."""
    name = hosting.serve(count=2)
    before = set(hosting.processes(name))
    os.kill(min(before), signal.SIGKILL)
    # Two of its processes are ours: when both are gone, so is everything below them.
    hosting.until(lambda: before - set(hosting.processes(name)), lambda gone: len(gone) == 2)
    for _ in range(20):
        assert hosting.invoke(name)["Body"].read()
    hosting.until(lambda: len(hosting.processes(name)), lambda count: count == len(before))
    hosting.until(
        lambda: hosting.look(name)["ProductionVariants"][0]["CurrentInstanceCount"],
        lambda count: count == 2,
    )


def test_a_request_under_way_is_answered_though_its_server_leaves(
    hosting: Hosting, mirror: str
) -> None:
    """An update ends the old server only after its last answer."""
    config = hosting.look(mirror)["EndpointConfigName"]
    before = hosting.processes(mirror)
    invoke = hosting.patient.invoke_endpoint
    with ThreadPoolExecutor(4) as pool:
        slow = [pool.submit(lambda: invoke(EndpointName=mirror, Body=b"sleep 2")) for _ in range(4)]
        hosting.sagemaker.update_endpoint(EndpointName=mirror, EndpointConfigName=config)
        busy = hosting.look(mirror)["ProductionVariants"][0]["VariantStatus"][0]
        assert [json.loads(one.result()["Body"].read())[1] for one in slow] == [["word.txt"]] * 4
    assert busy["Status"] == "Updating"
    assert hosting.settle(mirror)["EndpointStatus"] == "InService"
    assert not set(before) & set(hosting.processes(mirror))


def test_an_invocation_without_an_answer_in_time_is_status_0(hosting: Hosting, mirror: str) -> None:
    """A model error in AWS's words; the server is left alone."""
    before = hosting.processes(mirror)
    with pytest.raises(hosting.runtime.exceptions.ModelError) as caught:
        hosting.invoke(mirror, "sleep 30")
    assert caught.value.response["OriginalStatusCode"] == 0
    assert "Your invocation timed out" in caught.value.response["OriginalMessage"]
    assert hosting.processes(mirror) == before


def test_artifacts_that_cannot_be_read_fail_the_endpoint_by_name(hosting: Hosting) -> None:
    """A corrupt archive, one that is gone since the model was made, and code that is gone."""
    corrupt = hosting.container()
    corrupt["ModelDataUrl"] = hosting.put("models/corrupt/model.tar.gz", b"no archive")
    gone = hosting.container()
    no_code = hosting.container(SAGEMAKER_SUBMIT_DIRECTORY=hosting.uri("code/none.tar.gz"))
    configs = [
        hosting.config(hosting.variant(hosting.model(container=container)))
        for container in (corrupt, gone, no_code)
    ]
    hosting.s3.delete_object(Bucket=hosting.bucket, Key=gone["ModelDataUrl"].split("/", 3)[3])
    names = [hosting.endpoint(config, wait=False) for config in configs]
    found = [hosting.settle(name) for name in names]
    assert [one["EndpointStatus"] for one in found] == ["Failed"] * 3
    reasons = [one["FailureReason"] for one in found]
    assert reasons[0].startswith('Failed to extract model data archive for container "container_1"')
    assert corrupt["ModelDataUrl"] in reasons[0]
    assert reasons[1].startswith('Failed to download model data for container "container_1"')
    assert gone["ModelDataUrl"] in reasons[1]
    assert hosting.uri("code/none.tar.gz") in reasons[2]


def test_an_isolated_server_has_its_code_in_the_model(hosting: Hosting) -> None:
    """It has no credentials; code that it would have to fetch as it starts is refused by name."""
    script = """
        import os

        def model_fn(folder):
            return sorted(name for name in os.environ if name.startswith("AWS_"))

        def transform_fn(model, body, content_type, accept):
            return " ".join(model), "text/plain"
    """
    packed = hosting.archive({"word.txt": "blue", "code/inference.py": script})
    container = hosting.container(SAGEMAKER_SUBMIT_DIRECTORY="/opt/ml/model/code")
    container["ModelDataUrl"] = hosting.put(f"models/{uuid.uuid4().hex}/model.tar.gz", packed)
    models = [
        hosting.model(container=container, EnableNetworkIsolation=True),
        hosting.model(EnableNetworkIsolation=True),
    ]
    names = [
        hosting.endpoint(hosting.config(hosting.variant(model)), wait=False) for model in models
    ]
    good, bad = (hosting.settle(name) for name in names)
    assert good["EndpointStatus"] == "InService", good["FailureReason"]
    assert hosting.invoke(names[0])["Body"].read() == b"AWS_DEFAULT_REGION AWS_REGION"
    assert bad["EndpointStatus"] == "Failed"
    assert "cannot fetch its code from s3://" in bad["FailureReason"]


def test_a_model_that_raises_answers_500_and_its_traceback_is_in_the_log(hosting: Hosting) -> None:
    """The caller sees a server error, the log what happened."""
    name = hosting.serve(script=BAD_INPUT)
    with pytest.raises(hosting.runtime.exceptions.ModelError) as caught:
        hosting.invoke(name, "abc")
    assert caught.value.response["OriginalStatusCode"] == 500
    logs = hosting.cloud.client("logs")
    hosting.until(
        lambda: logs.filter_log_events(
            logGroupName=f"/aws/sagemaker/Endpoints/{name}", filterPattern='"cannot read abc"'
        )["events"],
        bool,
    )


def test_servers_die_with_the_cloud_also_after_kill_9(start_cloud: StartCloud) -> None:
    """Nothing of an endpoint is left when the cloud is gone."""
    cloud = start_cloud("--clock", "60")
    hosting = Hosting(cloud)
    name = hosting.serve(count=2)
    before = hosting.processes(name)
    assert before
    cloud.stop(signal.SIGKILL)
    end = time.monotonic() + 10
    while hosting.processes(name) and time.monotonic() < end:
        time.sleep(0.02)
    assert not hosting.processes(name)


def test_a_server_that_never_answers_ping_fails_its_endpoint(hosting: Hosting, silent: str) -> None:
    """In AWS's words; no process is left, nobody can invoke or update it, it can be deleted."""
    found = hosting.settle(silent)
    assert found["EndpointStatus"] == "Failed"
    assert found["FailureReason"] == (
        "The primary container for production variant main did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint."
    )
    assert not hosting.processes(silent)
    refused(lambda: hosting.invoke(silent), "ValidationError", f"Endpoint {silent} of account")
    call = hosting.sagemaker.update_endpoint
    wanted = {"EndpointName": silent, "EndpointConfigName": found["EndpointConfigName"]}
    refused(lambda: call(**wanted), "ValidationException", "it can only be deleted")
    hosting.remove(silent)
