"""Data capture in SageMaker's format and at its paths."""

import base64
import json
import math
import re
import uuid
from typing import Any

import pytest

from tests.functional.sagemaker.hosting import Hosting

BYTES = """
    def model_fn(folder):
        return None

    def transform_fn(model, body, content_type, accept):
        raw = body.encode() if isinstance(body, str) else bytes(body)
        if accept == "application/octet-stream":
            return b"\\xff" + raw, accept
        return "0.81\\n", "text/csv; charset=utf-8"
"""
KEY = re.compile(r"\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl")
HEADERS = {
    "CsvContentTypes": ["text/csv"],
    "JsonContentTypes": ["application/json", "application/jsonlines"],
}


def captured(hosting: Hosting, place: str, endpoint: str) -> list[dict[str, Any]]:
    """All records below a place, when everything is written."""
    hosting.cloud.idle()
    found = []
    for key in hosting.keys(f"{place}/"):
        start = f"{place}/{endpoint}/main/"
        assert key.startswith(start), key
        assert KEY.fullmatch(key.removeprefix(start)), key
        found += [json.loads(line) for line in hosting.get(key).splitlines()]
    return found


def serve(hosting: Hosting, place: str, modes: tuple[str, ...], **more: Any) -> str:
    """An endpoint that captures to this place."""
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": hosting.uri(place),
        "CaptureOptions": [{"CaptureMode": mode} for mode in modes],
        **more,
    }
    return hosting.serve(script=BYTES, DataCaptureConfig=capture)


def test_requests_and_answers_are_captured_in_sagemakers_format(hosting: Hosting) -> None:
    """Text by the lists of content types, all else as base64; ids and attributes beside it."""
    place = f"capture-{uuid.uuid4().hex[:6]}"
    name = serve(hosting, place, ("Input", "Output"), CaptureContentTypeHeader=HEADERS)
    shown = hosting.look(name)["DataCaptureConfig"]
    assert shown["CaptureStatus"] == "Started"
    assert shown["CurrentSamplingPercentage"] == 100
    assert shown["DestinationS3Uri"] == hosting.uri(place)
    hosting.invoke(name, "42,1,0.3\n", InferenceId="order-77", CustomAttributes="trace=1")
    (first,) = captured(hosting, place, name)
    about = first.pop("eventMetadata")
    assert first == {
        "captureData": {
            "endpointInput": {
                "observedContentType": "text/csv",
                "mode": "INPUT",
                "data": "42,1,0.3\n",
                "encoding": "CSV",
            },
            "endpointOutput": {
                "observedContentType": "text/csv; charset=utf-8",
                "mode": "OUTPUT",
                "data": "0.81\n",
                "encoding": "CSV",
            },
        },
        "eventVersion": "0",
    }
    assert str(uuid.UUID(about["eventId"])) == about["eventId"]
    assert about["inferenceId"] == "order-77"
    assert about["customAttributes"] == ["trace=1"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", about["inferenceTime"])
    octets = "application/octet-stream"
    hosting.invoke(name, '{"a": 1}', ContentType="application/json", Accept=octets)
    hosting.invoke(name, b"\xfe,1", ContentType="text/csv", Accept=octets)
    second, third = captured(hosting, place, name)[1:]
    assert second["captureData"]["endpointInput"]["encoding"] == "JSON"
    assert second["captureData"]["endpointInput"]["data"] == '{"a": 1}'
    output = second["captureData"]["endpointOutput"]
    assert output["encoding"] == "BASE64"
    assert base64.b64decode(output["data"]) == b'\xff{"a": 1}'
    assert "inferenceId" not in second["eventMetadata"]
    # What is no text is kept whole, whatever its type says.
    assert third["captureData"]["endpointInput"]["encoding"] == "BASE64"
    assert base64.b64decode(third["captureData"]["endpointInput"]["data"]) == b"\xfe,1"


def test_without_lists_of_types_everything_is_base64(hosting: Hosting) -> None:
    """And with the mode Input the answers are left out."""
    place = f"capture-{uuid.uuid4().hex[:6]}"
    name = serve(hosting, place, ("Input",))
    hosting.invoke(name, "1,2")
    (record,) = captured(hosting, place, name)
    assert list(record["captureData"]) == ["endpointInput"]
    assert record["captureData"]["endpointInput"]["encoding"] == "BASE64"
    assert base64.b64decode(record["captureData"]["endpointInput"]["data"]) == b"1,2"


def test_a_share_of_the_requests_is_sampled(hosting: Hosting) -> None:
    """30% within binomial bounds; every record has an event id of its own."""
    place = f"capture-{uuid.uuid4().hex[:6]}"
    name = serve(hosting, place, ("InputAndOutput",), InitialSamplingPercentage=30)
    for _ in range(300):
        hosting.invoke(name)
    found = captured(hosting, place, name)
    assert abs(len(found) - 90) < 4.5 * math.sqrt(300 * 0.3 * 0.7)
    assert len({record["eventMetadata"]["eventId"] for record in found}) == len(found)


def test_an_endpoint_that_is_gone_leaves_nothing_unwritten(hosting: Hosting) -> None:
    """Whoever sees it gone may count its records, or clear them away for good."""
    place = f"capture-{uuid.uuid4().hex[:6]}"
    name = serve(hosting, place, ("Input",))
    hosting.invoke(name)
    hosting.sagemaker.delete_endpoint(EndpointName=name)
    hosting.sagemaker.get_waiter("endpoint_deleted").wait(
        EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    assert len(list(hosting.keys(f"{place}/"))) == 1


@pytest.mark.parametrize("switch", [{"EnableCapture": False}, {"InitialSamplingPercentage": 0}])
def test_what_is_switched_off_captures_nothing(hosting: Hosting, switch: Any) -> None:
    """Neither a disabled configuration nor a share of none leaves an object."""
    place = f"capture-{uuid.uuid4().hex[:6]}"
    name = serve(hosting, place, ("Input",), **switch)
    status = "Stopped" if "EnableCapture" in switch else "Started"
    assert hosting.look(name)["DataCaptureConfig"]["CaptureStatus"] == status
    hosting.invoke(name)
    assert captured(hosting, place, name) == []


def test_capture_that_cannot_be_stored_is_told_in_the_log(hosting: Hosting) -> None:
    """A bucket that does not exist costs no answer; the endpoint's log names it."""
    missing = f"s3://no-such-bucket-{uuid.uuid4().hex[:8]}/x"
    name = serve(hosting, "unused", ("Input",), DestinationS3Uri=missing)
    assert hosting.invoke(name)["Body"].read()
    hosting.cloud.idle()
    lines = hosting.cloud.client("logs").filter_log_events(
        logGroupName=f"/aws/sagemaker/Endpoints/{name}", filterPattern='"Data capture failed"'
    )["events"]
    assert missing.removeprefix("s3://") in lines[0]["message"]
    assert "NoSuchBucket" in lines[0]["message"]
