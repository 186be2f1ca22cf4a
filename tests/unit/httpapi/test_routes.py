"""The pure parts of the local cloud's HTTP APIs: routes, throttle, payloads, OpenAPI bodies."""

from __future__ import annotations

import contextlib
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.httpapi.imports import ImportRefusedError, function_of, read_body
from local.httpapi.payload import BadAnswerError, answer_of
from local.httpapi.routes import check_route_key, find_route
from local.httpapi.throttle import Throttle

KEYS = [
    "$default",
    "ANY /models/{proxy+}",
    "GET /models/{model}",
    "ANY /models/{model}",
    "GET /models/census",
    "POST /models/{model}/predictions",
]
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"


@pytest.mark.parametrize(
    ("method", "path", "key", "variables"),
    [
        ("GET", "/models/census", "GET /models/census", {}),
        ("GET", "/models/other", "GET /models/{model}", {"model": "other"}),
        ("PUT", "/models/census", "ANY /models/{model}", {"model": "census"}),
        ("POST", "/models/a%2Fb/predictions", "POST /models/{model}/predictions", {"model": "a/b"}),
        ("GET", "/models/a/predictions", "ANY /models/{proxy+}", {"proxy": "a/predictions"}),
        ("GET", "/models/", "$default", {}),
        ("GET", "/", "$default", {}),
    ],
)
def test_the_most_specific_route_wins(
    method: str, path: str, key: str, variables: dict[str, str]
) -> None:
    """Full before greedy before $default; literal before variable; a method before ANY."""
    assert find_route(KEYS, method, path) == (key, variables)


def test_no_route_is_none() -> None:
    """Neither another method nor a longer path is taken."""
    assert find_route(["GET /a/{b}"], "POST", "/a/b") is None
    assert find_route(["GET /a/{b}"], "GET", "/a/b/c") is None
    assert find_route(["GET /a/{b}"], "GET", "/a/") is None


@given(value=st.text(min_size=1, max_size=20).filter(lambda t: max(t) < "\ud800"))
def test_variables_come_back_decoded(value: str) -> None:
    """Whatever a client puts into a segment is what the function reads."""
    found = find_route(["GET /a/{b}/c"], "GET", f"/a/{quote(value, safe='')}/c")
    assert found == ("GET /a/{b}/c", {"b": value})


@pytest.mark.parametrize(
    "key", ["GET a", "get /a", "FETCH /a", "/a", "GET /a{b}", "GET /{a+}/b", "$other", ""]
)
def test_malformed_route_keys_are_refused(key: str) -> None:
    """In words that hold the key."""
    assert repr(key) in check_route_key(key)


def test_good_route_keys_pass() -> None:
    """All of the above."""
    assert [check_route_key(key) for key in KEYS] == [""] * len(KEYS)


@given(
    rate=st.floats(0.5, 100),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 1), min_size=1, max_size=200),
)
def test_a_bucket_admits_its_burst_and_its_rate(
    rate: float, burst: int, pauses: list[float]
) -> None:
    """Never more than burst plus rate times the time, and never less than one a token."""
    throttle, now, admitted = Throttle(), 0.0, 0
    settings = {"throttlingRateLimit": rate, "throttlingBurstLimit": burst}
    for pause in pauses:
        now += pause
        admitted += throttle.admits(("a", "s", "r"), settings, now)
    assert min(burst, len(pauses)) <= admitted <= burst + rate * now + 1e-6
    assert throttle.admits(("a", "s", "other"), settings, now)


@pytest.mark.parametrize(
    ("given_answer", "status", "body"),
    [
        ({"statusCode": 204}, 204, b""),
        ({"statusCode": "404", "body": "no"}, 404, b"no"),
        ({"statusCode": 200, "body": None}, 200, b""),
        ({"statusCode": 200, "body": "AP8=", "isBase64Encoded": True}, 200, b"\x00\xff"),
        ({"a": 1}, 200, b'{"a": 1}'),
        ("text", 200, b"text"),
        (None, 200, b"null"),
    ],
)
def test_answers_of_functions(given_answer: Any, status: int, body: bytes) -> None:
    """With a status, and without one."""
    answer = answer_of(json.dumps(given_answer).encode())
    assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize(
    "given_answer",
    [
        {"statusCode": 99},
        {"statusCode": None},
        {"statusCode": 200, "headers": [1]},
        {"statusCode": 200, "body": {}},
        {"statusCode": 200, "body": "%", "isBase64Encoded": True},
    ],
)
def test_answers_that_cannot_be_sent(given_answer: Any) -> None:
    """Each is a defect of the function."""
    with pytest.raises(BadAnswerError):
        answer_of(json.dumps(given_answer).encode())


def test_functions_are_found_in_both_forms() -> None:
    """A plain ARN, and API Gateway's own path around it."""
    around = f"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/{ARN}/invocations"
    assert [function_of(uri) for uri in (ARN, around, "https://x", "")] == [ARN, ARN, "", ""]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(body=JSON)
def test_a_body_that_is_no_openapi_is_refused(body: Any) -> None:
    """By words, never by a crash."""
    with pytest.raises(ImportRefusedError):
        read_body(body)


@given(paths=JSON, components=JSON, info=JSON)
def test_a_malformed_body_is_read_or_refused(paths: Any, components: Any, info: Any) -> None:
    """Whatever stands in the place of its parts."""
    body = {"openapi": "3.0.1", "paths": paths, "components": components, "info": info}
    with contextlib.suppress(ImportRefusedError):
        assert read_body(body).routes == ()
