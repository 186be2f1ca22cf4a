"""Predictions through the deployed API: signature, validation, endpoint, faults, keys, tokens."""

from __future__ import annotations

import csv
import http.client
import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from perennial.approve_version import approve_version
from perennial.describe_model import known_model
from perennial.domain.ledger.move_rows import Move
from perennial.domain.ledger.rows import Champion, Live
from perennial.domain.ledger.store import change, read_model
from perennial.domain.settings import parse_settings
from perennial.publish_settings import publish_settings
from perennial.wiring import Ports

from cli.datasets import fetch_dataset
from tests.functional.conftest import REPOSITORY
from tests.functional.issuer import publish
from tests.functional.sagemaker.hosting import Hosting
from tests.functional.stack.conftest import Checkout, hold_sweeps
from tests.functional.stack.grants import called, not_granted
from tests.functional.stack.test_trainers import ended, land, push

MODEL = "census"
ENDPOINT = f"perennial-live-{MODEL}"
ROW = {"age": 39, "job": "nurse"}
# Answers in the form of our own model server (docs/serving.md).
SERVER = """
    import json

    def model_fn(folder):
        return None

    def transform_fn(model, body, content_type, accept):
        asked = json.loads(body)
        each = {"prediction": ">50K", "confidence": 0.75, "score": 0.75}
        if asked.get("explain"):
            each["contributions"] = {"age": 0.5}
        answer = {"predictions": [each for _ in asked["instances"]], "version": 7}
        return json.dumps(answer), "application/json"
"""
COLUMNS = {
    "age": {"type": "int", "min": 0},
    "job": {"type": "category", "levels": ["nurse", "clerk"]},
    "income": {"type": "category", "levels": ["<=50K", ">50K"]},
}
DOCUMENT: dict[str, Any] = {
    "problem": "binary",
    "label": "income",
    "positive": ">50K",
    "data": {"columns": COLUMNS, "select": ["*.csv"]},
    "gates": {"auc": {"min": 0.5}},
}


@dataclass
class Client:
    """Asks the deployed API."""

    checkout: Checkout
    hosting: Hosting
    model: str = MODEL

    def __call__(
        self, body: Any = ROW, path: str = "/predictions", *, token: str = "", **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """One request; signed, or with a token. Status, document, headers."""
        endpoint = self.checkout.cloud.endpoint
        url = f"{self.checkout.outputs['PredictionsUrl']}/models/{self.model}{path}"
        given = {"content-type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = AWSRequest("POST" if path else "GET", url, headers=given, data=text)
        if token:
            request.headers["authorization"] = f"Bearer {token}"
        else:
            signer = SigV4Auth(Credentials("AKIATEST", "local"), "execute-api", "eu-west-1")
            signer.add_auth(request)
        host, target = endpoint.removeprefix("http://"), url.removeprefix(endpoint)
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request(request.method, target, text, dict(request.headers.items()))
        answer = connection.getresponse()
        said = json.loads(answer.read())
        connection.close()
        return answer.status, said, {name.lower(): value for name, value in answer.getheaders()}


@pytest.fixture(scope="module")
def ask(checkout: Checkout, ports: Ports) -> Client:
    """A client of a stack in which the model is pushed, and nothing of it is live.

    Nothing sweeps: what the fixtures put into the ledger no release has made.
    """
    hold_sweeps(checkout.cloud, ports.deployment.token)
    settings = json.dumps(parse_settings(DOCUMENT, project=MODEL).to_json())
    publish_settings(ports, MODEL, settings, "s3://nowhere/code.tar.gz", "a" * 64, "ann")
    return Client(checkout, Hosting(checkout.cloud))


@pytest.fixture(scope="module")
def live(ask: Client, ports: Ports) -> Client:
    """The client, with version 7 on the live endpoint, as a confirmed release leaves it."""
    hosting = ask.hosting
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": hosting.uri("capture"),
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    config = hosting.config(
        hosting.variant(hosting.model(script=SERVER)), DataCaptureConfig=capture
    )
    hosting.sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=config)
    assert hosting.settle(ENDPOINT)["EndpointStatus"] == "InService"
    row = read_model(ports.ledger, MODEL)
    assert row is not None
    now = ports.clock()
    champion = Champion(7, "arn:7", "d", 1, 1, now)
    serving = Live(ENDPOINT, config, 1, 7, "arn:7", now, settings=1)
    ports.ledger.commit([change(row, champion=champion, live=serving)])
    return ask


def test_nothing_is_live_at_first(ask: Client) -> None:
    """The model is known, and no endpoint serves it: 503 with the next step."""
    status, said, _ = ask()
    assert (status, "no version of census is released yet" in said["message"]) == (503, True)


def test_a_signed_request_is_answered_by_the_live_endpoint(live: Client) -> None:
    """Prediction, confidence, version, variant; the capture holds the request's id."""
    status, said, _ = live()
    assert status == 200
    assert (said["prediction"], said["confidence"]) == (">50K", 0.75)
    assert (said["version"], said["variant"], said["model"]) == (7, "main", MODEL)
    live.checkout.cloud.idle()
    captured = b"".join(live.hosting.get(key) for key in live.hosting.keys("capture/"))
    assert f'"inferenceId":"{said["request_id"]}"' in captured.decode().replace('": "', '":"')
    _, explained, _ = live({"instances": [ROW] * 3}, "/predictions?explain=true")
    assert [each["contributions"] for each in explained["predictions"]] == [{"age": 0.5}] * 3


def test_a_get_tells_what_a_row_must_hold(live: Client) -> None:
    """Version and columns of what is live."""
    status, said, _ = live(b"", "")
    assert (status, said["version"]) == (200, 7)
    assert [each["name"] for each in said["inputs"]] == ["age", "job"]


def test_without_a_signature_nobody_is_answered(live: Client) -> None:
    """The function is not even asked."""
    assert live(token="x")[0] == 403


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "not JSON"),
        ({"age": 39, "job": "king"}, 400, "row 1, job"),
        (b'{"age": 1e999, "job": "nurse"}', 400, "row 1, age"),
        (b'{"instances": [' + b" " * (4 << 20) + b"]}", 413, "at most 4,194,304 are taken"),
        (b"x" * (7 << 20), 413, "Request Entity Too Large"),
    ],
)
def test_bad_bodies_are_the_clients(live: Client, body: Any, status: int, words: str) -> None:
    """In words, all the way through the API."""
    answered, said, _ = live(body)
    assert (answered, words in said["message"]) == (status, True), said


def test_failures_of_the_endpoint(live: Client) -> None:
    """A model that fails is 424; a runtime that throttles is 429, with Retry-After."""
    cloud = live.checkout.cloud
    try:
        cloud.faults(serve=[{"endpoint": ENDPOINT, "status": 500}])
        status, said, _ = live()
        assert (status, "its server answered 500" in said["message"]) == (424, True)
        cloud.faults(throttle={"sagemaker": 1.0})
        status, said, headers = live()
        assert (status, headers.get("retry-after")) == (429, "1"), said
    finally:
        cloud.faults()
    assert live()[0] == 200


def test_a_key_brings_the_first_answer_again(live: Client) -> None:
    """Kept in the ledger's table; another body with it is refused."""
    first = live(idempotency_key="k-1")
    again = live(idempotency_key="k-1")
    assert again[1] == first[1]
    assert again[2]["idempotency-replayed"] == "true"
    assert live({**ROW, "age": 40}, idempotency_key="k-1")[0] == 422


def test_the_logs_hold_no_value(live: Client) -> None:
    """Neither the function's log nor the API's."""
    live({"age": 39, "job": "Geheimnis"})
    logs = live.checkout.cloud.client("logs")
    told = [
        event["message"]
        for name in ("predict", "predictions_api")
        for event in logs.filter_log_events(logGroupName=f"/perennial/perennial/{name}")["events"]
    ]
    assert any('"status":400' in line for line in told)
    assert "Geheimnis" not in "\n".join(told)


def test_serverless_requests_are_divided_and_captured_by_us(live: Client, ports: Ports) -> None:
    """A move gives half of them to a serverless endpoint; what that one answers is in S3, and a
    request is answered when the endpoint it is drawn for is gone."""
    hosting, cloud, model = live.hosting, live.checkout.cloud, "moved"
    settings = json.dumps(parse_settings(DOCUMENT, project=model).to_json())
    publish_settings(ports, model, settings, "s3://nowhere/code.tar.gz", "a" * 64, "ann")
    variant = hosting.variant(hosting.model(script=SERVER.replace(', "version": 7', "")))
    del variant["InstanceType"], variant["InitialInstanceCount"]
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 2}
    config = hosting.config({**variant, "ServerlessConfig": serverless})
    target = f"perennial-next-{model}"
    hosting.sagemaker.create_endpoint(EndpointName=target, EndpointConfigName=config)
    assert hosting.settle(target)["EndpointStatus"] == "InService"
    row = read_model(ports.ledger, model)
    assert row is not None
    now = ports.clock()
    serving = Live("perennial-live-moved-gone", "none", 1, 7, "arn:7", now, settings=1)
    move = Move(2, target, 8, config, "arn:8", 500, settings=1, kind="serverless", captured=100)
    ports.ledger.commit([change(row, live=serving, move=move)])
    moved = replace(live, model=model)
    said = [moved()[:2] for _ in range(6)]
    assert [(status, answer["version"]) for status, answer in said] == [(200, 8)] * 6
    assert moved(b"", "")[1]["moving"] == {"version": 8, "share": 0.5}
    cloud.control("POST", "/_local/clock", {"factor": 20})
    try:
        cloud.idle()
    finally:
        cloud.control("POST", "/_local/clock", {"factor": 1})
    s3, bucket = cloud.client("s3"), ports.deployment.artifact_bucket
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"capture/{model}/{target}/main/")
    lines = [
        json.loads(line)
        for entry in listed["Contents"]
        for line in s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read().splitlines()
    ]
    captured = {line["eventMetadata"]["inferenceId"] for line in lines}
    assert captured == {answer["request_id"] for _, answer in said}
    assert "OnPredictionCapturedFunction" in called(live.checkout)
    assert not_granted(live.checkout) == set()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_released_model_is_asked_for_real(live: Client, ports: Ports, tmp_path: Path) -> None:
    """Abalone, trained and released by the machines: its own server answers through the API."""
    project = tmp_path / "abalone"
    shutil.copytree(REPOSITORY / "models" / "abalone", project)
    document = yaml.safe_load((project / "model.yaml").read_text("utf-8"))
    release = {"endpoint": {"count": 1}, "strategy": "all-at-once", "smoke_test": {"memory": "off"}}
    document["release"] = {"approval": "person", **release}
    (project / "model.yaml").write_text(yaml.safe_dump(document), "utf-8")
    push(ports, project)
    (table, *_) = fetch_dataset("abalone").tables
    land(live.checkout, "abalone", table.text())
    ended(ports, "abalone")
    approve_version(ports, "abalone", 1, "the first of its kind", "a test")
    end = time.monotonic() + 300
    while known_model(ports.ledger, "abalone").live is None:
        assert time.monotonic() < end, "abalone did not go live"
        time.sleep(0.5)
    abalone = replace(live, model="abalone")
    names, *lines = list(csv.reader(table.text().splitlines()))
    rows = [dict(zip(names, line, strict=True)) for line in lines[:1000]]
    status, said, _ = abalone({"instances": rows})
    assert (status, said["version"], said["variant"]) == (200, 1, "main")
    direct = live.checkout.cloud.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="perennial-live-abalone",
        ContentType="application/json",
        Body=json.dumps({"instances": rows}),
    )
    assert said["predictions"] == json.loads(direct["Body"].read())["predictions"]
    status, one, _ = abalone(rows[0], "/predictions?explain=true")
    assert status == 200
    added = one["expected"] + sum(one["contributions"].values())
    assert added == pytest.approx(one["prediction"], rel=1e-4)
    status, said, _ = abalone({**rows[0], "length": "long"})
    assert (status, said["column"], said["row"]) == (400, "length", 1)
    status, said, _ = abalone({"instances": rows[:101]}, "/predictions?explain=true")
    assert (status, "at most 100" in said["message"]) == (400, True)


def preflight(live: Client) -> tuple[int, dict[str, str]]:
    """What a browser asks before it sends a page's request; status and headers."""
    endpoint = live.checkout.cloud.endpoint
    target = live.checkout.outputs["PredictionsUrl"].removeprefix(endpoint)
    asked = {
        "origin": endpoint,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=60)
    connection.request("OPTIONS", f"{target}/models/{MODEL}/predictions", headers=asked)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}


def test_an_issuer_takes_the_place_of_signatures(live: Client, tmp_path: Path) -> None:
    """Deployed with JwtIssuer, the API takes that issuer's tokens, and signatures no longer; with
    PredictionsOrigins, a page of theirs may send them."""
    assert "access-control-allow-origin" not in preflight(live)[1]
    issuer, origin = publish(tmp_path), live.checkout.cloud.endpoint
    overrides = f"JwtIssuer={issuer.url} JwtAudience=us PredictionsOrigins={origin}"
    live.checkout.sam("deploy", "--parameter-overrides", overrides)
    token = issuer.token()
    assert live(token=token)[0] == 200
    status, headers = preflight(live)
    assert (status, headers["access-control-allow-origin"]) == (204, origin)
    assert "authorization" in headers["access-control-allow-headers"]
    status, _, headers = live(token=token, origin=origin)
    assert (status, headers["access-control-allow-origin"]) == (200, origin)
    assert live(token=token[:-8])[0] == 401
    assert live()[0] == 401
