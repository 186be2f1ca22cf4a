"""Requests for predictions: what is answered, with what status, and what the endpoint gets."""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from collections.abc import Callable
from math import comb
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from perennial import predict
from perennial.domain.errors import Denied
from perennial.domain.ledger.rows import Live
from perennial.domain.prediction_request import LARGEST_BODY

from tests.unit.usecases.asking import (
    COLUMNS,
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
from tests.unit.usecases.model_server import Reply, Runtime, failure, model_error, predicting
from tests.unit.world import MODEL, START_MS, World


def test_one_object_is_answered_with_one_prediction(live: World, runtime: Runtime) -> None:
    """Prediction, confidence, version, variant and request id; the capture carries the id."""
    status, said, headers = ask(live)
    assert status == 200
    assert said == {
        "prediction": ">50K", "confidence": 0.75, "score": 0.75, "model": MODEL, "version": 7,
        "variant": "main", "request_id": ID,
    }  # fmt: skip
    assert headers["content-type"] == "application/json"
    path, sent, body = runtime.requests[0]
    assert path == f"/endpoints/{ENDPOINT}/invocations"
    assert sent["x-amzn-sagemaker-inference-id"] == ID
    assert json.loads(body) == {"instances": [ROW]}


def test_a_list_is_answered_in_its_order(live: World, runtime: Runtime) -> None:
    """A prediction a row, and once who answered."""
    runtime.reply = lambda document: Reply(
        body=json.dumps(
            {"predictions": [{"prediction": row["age"]} for row in document["instances"]]}
        ).encode()
    )
    rows = [{**ROW, "age": age} for age in range(100)]
    status, said, _ = ask(live, {"instances": rows})
    assert status == 200
    assert [each["prediction"] for each in said["predictions"]] == list(range(100))
    assert (said["version"], said["variant"]) == (7, "")


def test_explanations_are_asked_for_by_a_parameter(live: World, runtime: Runtime) -> None:
    """`?explain=true` brings the features' contributions, and nothing else does."""
    _, said, _ = ask(live, queryStringParameters={"explain": "true"})
    assert said["contributions"] == {"age": 0.5}
    assert json.loads(runtime.requests[-1][2])["explain"] is True
    _, said, _ = ask(live, queryStringParameters={"explain": "false"})
    assert "contributions" not in said


def test_during_a_release_the_server_tells_its_own_version(live: World, runtime: Runtime) -> None:
    """Both fleets answer then; a server that tells no version is the confirmed one."""
    new = {"predictions": [{"prediction": 1}], "version": 8}
    runtime.reply = lambda _: Reply(body=json.dumps(new).encode())
    assert ask(live)[1]["version"] == 8
    runtime.reply = lambda _: Reply(body=b'{"predictions": [{"prediction": 1}]}')
    assert ask(live)[1]["version"] == 7


def test_columns_that_nobody_knows_are_named_and_not_sent(live: World, runtime: Runtime) -> None:
    """As in training: extra columns, the label among them, are ignored with a notice."""
    status, said, _ = ask(live, {**ROW, "income": ">50K", "colour": "red"})
    assert (status, said["ignored"]) == (200, ["income", "colour"])
    assert json.loads(runtime.requests[-1][2]) == {"instances": [ROW]}


BAD_BODIES: list[tuple[Any, str]] = [
    ("", "the body is empty; expected {\"instances\": [{\"age\": …}, …]}"),
    ("  \n", "the body is empty"),
    ("{", "the body is not JSON"),
    ("[1]", "the body holds a list; expected"),
    ("null", "the body holds null"),
    ("3", "the body holds a number"),
    ('"x"', "the body holds a text"),
    ('{"age": NaN, "job": "nurse"}', "NaN is not a JSON value"),
    ('{"age": 1, "age": 2, "job": "nurse"}', "the key 'age' is there twice"),
    ("{" + '"a":1,' * 300_000 + '"a":2}', "the key 'a' is there twice"),
    ("[" * 100_000, "nested too deeply"),
    ("1" * 5000, "the body is not JSON"),
    ({"instances": []}, "instances holds a list with no row"),
    ({"instances": ROW}, "instances holds an object"),
    ({"instances": [ROW, 3]}, "row 2 is a number; expected an object by column name"),
    ({"instances": [ROW], "explain": True}, "the key 'explain' beside instances"),
    ({}, "row 1, age: no value, but one is required; expected a whole number of at least 0 and"),
    ({"age": "old", "job": "nurse"}, 'row 1, age: "old" is not a whole number'),
    ({"age": 39.5, "job": "nurse"}, "is not a whole number"),
    ({"age": True, "job": "nurse"}, "is not a whole number"),
    ({"age": [39], "job": "nurse"}, "a list is not a whole number"),
    ({"age": 121, "job": "nurse"}, "121 is above the maximum 120"),
    ({"age": 10**30, "job": "nurse"}, "is not a whole number"),
    ({"age": 39, "job": "king"}, 'row 1, job: "king" is none of the levels nurse, clerk; expected'),
    ({"age": 39, "job": "?"}, "row 1, job: no value, but one is required"),
    ({"instances": [ROW, {**ROW, "age": None}]}, "row 2, age: no value"),
    ('{"age": 39, "job": "nurse", "town": 1e999}', "a number is too large"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "words"), BAD_BODIES, ids=[w[:40] for _, w in BAD_BODIES])
def test_a_bad_body_is_400_and_says_what_was_expected(
    live: World, runtime: Runtime, body: Any, words: str
) -> None:
    """The endpoint is not asked."""
    status, said, _ = ask(live, body)
    assert status == 400
    assert words in said["message"]
    assert said["request_id"] == ID
    assert runtime.requests == []


def test_a_bad_value_is_told_in_parts_too(live: World) -> None:
    """Programs find row, column and what was expected beside the words."""
    _, said, _ = ask(live, {"instances": [ROW, {"age": 39, "job": "king"}]})
    assert (said["row"], said["column"], said["expected"]) == (2, "job", "one of nurse, clerk")


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"headers": {"content-type": "text/csv"}}, 415, "content type text/csv cannot be read"),
        ({"queryStringParameters": {"explain": "yes"}}, 400, "expected true or false"),
        ({"queryStringParameters": {"colour": "1"}}, 400, "the parameter 'colour' is not known"),
        ({"isBase64Encoded": True, "body": "%"}, 400, "the body is not base64"),
        ({"isBase64Encoded": True, "body": base64.b64encode(b"\xff{}").decode()}, 400, "not UTF-8"),
        ({"body": " " * (LARGEST_BODY + 1)}, 413, "the body has 4,194,305 bytes; at most"),
        ({"model": "unknown"}, 404, "there is no model 'unknown'"),
        ({"model": "../x"}, 404, "there is no model '../x'"),
        ({"headers": {"content-type": "application/json", "idempotency-key": ""}}, 400,
         "the Idempotency-Key has 0 characters"),
        ({"headers": {"content-type": "application/json", "idempotency-key": "k" * 256}}, 400,
         "the Idempotency-Key has 256 characters"),
    ],
)  # fmt: skip
def test_requests_that_are_refused(
    live: World, runtime: Runtime, more: dict[str, Any], status: int, words: str
) -> None:
    """Each with its status and in words; the endpoint is not asked."""
    answered, said, _ = ask(live, **more)
    assert (answered, words in said["message"]) == (status, True), said
    assert runtime.requests == []


def test_a_body_that_grows_beyond_the_limit_is_413(live: World, runtime: Runtime) -> None:
    """Numbers and texts may be longer as they are sent on than as they came."""
    row = '{"age":1e2,"job":"nurse","town":"x"}'
    rows = ",".join([row] * ((LARGEST_BODY - 20) // (len(row) + 1)))
    status, said, _ = ask(live, f'{{"instances":[{rows}]}}')
    assert (status, runtime.requests) == (413, [])
    assert "Send fewer rows" in said["message"]


def test_half_a_surrogate_pair_reaches_the_server_as_it_came(live: World, runtime: Runtime) -> None:
    """JSON may write what UTF-8 cannot."""
    status, _, _ = ask(live, '{"age": 39, "job": "nurse", "town": "\\ud800"}')
    assert status == 200
    assert json.loads(runtime.requests[0][2])["instances"][0]["town"] == "\ud800"


def reply_of(status: int, code: str, **body: Any) -> Callable[[Any], Reply]:
    """A runtime that always fails like this."""
    return lambda _: failure(status, code, **body)


ENDS: list[tuple[Callable[[Any], Reply], int, str, bool]] = [
    (lambda _: model_error(500, '{"error": "the model failed at this request"}'), 424,
     "the model census failed (its server answered 500): the model failed at this request", False),
    (lambda _: model_error(0, "Your invocation timed out"), 424, "server answered nothing", False),
    (lambda _: model_error(400, '{"error": "row 1, age: no"}'), 400,
     "the model census does not take the request: row 1, age: no", False),
    (reply_of(400, "ThrottlingException"), 429, "ThrottlingException", True),
    (reply_of(429, "TooManyRequests"), 429, "TooManyRequests", True),
    (reply_of(400, "ValidationError", Message=f"Endpoint {ENDPOINT} of account 1 not found."), 503,
     f"the endpoint {ENDPOINT} of census is not there", False),
    (reply_of(503, "ServiceUnavailable"), 503, "ServiceUnavailable", True),
    (reply_of(500, "InternalFailure"), 503, "InternalFailure", True),
    (reply_of(530, "InternalDependencyException"), 503, "InternalDependency", True),
    (reply_of(429, "ModelNotReadyException"), 503, "still loading the model", True),
    (lambda _: Reply(body=b"no json"), 424, "holds no predictions", False),
    (lambda _: Reply(body=b"[0.5]"), 424, "holds no predictions", False),
    (lambda _: Reply(body=b'{"predictions": []}'), 424, "answered 0 predictions to 1 rows", False),
    (lambda _: Reply(close=True), 503, "AWS did not answer", True),
]  # fmt: skip


@pytest.mark.parametrize("end", ENDS, ids=[f"{e[1]} {e[2][:40]}" for e in ENDS])
def test_failures_of_the_endpoint_have_their_status(
    live: World, runtime: Runtime, end: tuple[Any, int, str, bool]
) -> None:
    """In words, with Retry-After where another try may help."""
    runtime.reply, status, words, later = end
    answered, said, headers = ask(live)
    assert (answered, words in said["message"]) == (status, True), said
    assert ("retry-after" in headers) is later


def test_a_connection_that_went_stale_costs_nobody_an_answer(live: World, runtime: Runtime) -> None:
    """A function that slept finds its connection closed, and takes a new one."""
    replies = iter([Reply(close=True)])
    runtime.reply = lambda document: next(replies, None) or predicting(document)
    assert ask(live)[0] == 200
    assert len(runtime.requests) == 2


def test_a_slow_model_is_504(
    live: World, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer comes before the API gives up; the client is not asked to try again."""
    monkeypatch.setattr(predict, "ALL_SECONDS", 1.2)
    runtime.reply = lambda _: Reply(seconds=3)
    status, said, headers = ask(live)
    assert status == 504
    assert "did not answer within 1 s" in said["message"]
    assert "retry-after" not in headers
    monkeypatch.setattr(predict, "ALL_SECONDS", 0.5)
    assert ask(live)[:1] == (504,)


def test_what_only_we_can_repair_raises(live: World, runtime: Runtime) -> None:
    """A missing right is counted as the function's error, which sounds an alarm."""
    runtime.reply = reply_of(403, "AccessDeniedException")
    with pytest.raises(Denied):
        ask(live)


def test_nothing_live_is_503_with_the_next_step(world: World, runtime: Runtime) -> None:
    """Never released, and champion without an endpoint, are told apart."""
    predict.forget(world.ports, MODEL)
    world.push()
    assert "no version of census is released yet" in ask(world)[1]["message"]
    go_live(world, live=None)
    status, said, _ = ask(world)
    assert (status, "perennial release census" in said["message"]) == (503, True)


def test_what_is_live_is_believed_for_a_while(live: World, runtime: Runtime) -> None:
    """Half a minute; at once again when the endpoint is not there."""
    assert ask(live)[1]["version"] == 7
    moved = Live("perennial-live-other", "config", 2, 8, "arn:8", START_MS, settings=1)
    go_live(live, live=moved)
    ask(live)
    assert ENDPOINT in runtime.requests[-1][0]
    live.clock.now_ms += predict.BELIEVED_MS
    ask(live)
    assert "perennial-live-other" in runtime.requests[-1][0]
    go_live(live)
    runtime.reply = reply_of(400, "ValidationError", Message="Endpoint x not found.")
    assert ask(live)[0] == 503
    runtime.reply = predicting
    ask(live)
    assert ENDPOINT in runtime.requests[-1][0]


def gone_at(*endpoints: str) -> Callable[[dict[str, Any]], Reply]:
    """A runtime that knows none of these endpoints; `server` must be the test's runtime."""

    def reply(document: dict[str, Any]) -> Reply:
        if any(f"/{each}/" in reply.server.requests[-1][0] for each in endpoints):  # type: ignore[attr-defined]
            return failure(400, "ValidationError", Message="Endpoint of account 1 not found.")
        return plain(document)

    return reply


@pytest.mark.parametrize("permille", [100, 500])
def test_each_request_is_drawn_by_the_share_of_a_move(
    live: World, runtime: Runtime, permille: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 300 requests the new endpoint gets a binomial number, and each answer says which one."""
    go_live(live, **moving(permille))
    runtime.reply = plain
    monkeypatch.setattr(predict.random, "random", random.Random(permille).random)
    told = Counter(ask(live)[1]["version"] for _ in range(300))
    asked = Counter(path.split("/")[2] for path, _, _ in runtime.requests)
    assert told == {7: asked[ENDPOINT], 8: asked[TARGET]}
    share = permille / 1000
    chances = [comb(300, n) * share**n * (1 - share) ** (300 - n) for n in range(301)]
    assert sum(chances[: told[8] + 1]) > 0.001
    assert sum(chances[told[8] :]) > 0.001


def test_a_move_is_read_again_after_seconds(live: World, runtime: Runtime) -> None:
    """A share that is taken back counts sooner than a release without a move."""
    runtime.reply = plain
    go_live(live, **moving(1000))
    assert ask(live)[1]["version"] == 8
    go_live(live, **moving(0, turned_back=True, step=1))
    live.clock.now_ms += predict.MOVING_MS
    assert ask(live)[1]["version"] == 7
    go_live(live)
    assert predict.MOVING_MS < predict.BELIEVED_MS


def test_each_version_is_asked_by_its_own_columns(live: World, runtime: Runtime) -> None:
    """A row that only the new version takes is good there, and 400 at the old one."""
    columns = {**COLUMNS, "pets": {"type": "int"}}
    live.push(code_sha="b" * 64, data={"columns": columns, "select": ["*.csv"]})
    runtime.reply = plain
    go_live(live, **moving(1000, settings=2))
    row = {**ROW, "pets": 2}
    assert ask(live, row)[1]["version"] == 8
    assert json.loads(runtime.requests[-1][2]) == {"instances": [row]}
    assert ask(live)[1]["column"] == "pets"
    go_live(live, **moving(0, settings=2))
    predict.forget(live.ports, MODEL)
    assert ask(live, row)[1]["ignored"] == ["pets"]


@pytest.mark.parametrize(
    ("permille", "gone", "answered"),
    [(1000, TARGET, 7), (1, ENDPOINT, 8), (1, TARGET, 7), (0, ENDPOINT, None)],
)
def test_an_endpoint_that_is_gone_is_answered_for_once(
    live: World, runtime: Runtime, permille: int, gone: str, answered: int | None
) -> None:
    """By the other one; never by one that has no share, for its release was turned back."""
    go_live(live, **moving(permille))
    runtime.reply = reply = gone_at(gone)
    reply.server = runtime  # type: ignore[attr-defined]
    status, said, _ = ask(live)
    assert (status, said.get("version")) == ((200, answered) if answered else (503, None))


def test_both_endpoints_gone_is_503_after_one_look_at_each(live: World, runtime: Runtime) -> None:
    """Nobody waits for a third."""
    go_live(live, **moving(500))
    runtime.reply = reply = gone_at(ENDPOINT, TARGET)
    reply.server = runtime  # type: ignore[attr-defined]
    assert ask(live)[0] == 503
    assert len(runtime.requests) == 2


def test_a_request_that_meets_the_end_of_a_move_is_answered(live: World, runtime: Runtime) -> None:
    """What was believed is over: the ledger is read again, and the row held against the new
    version's columns."""
    columns = {name: COLUMNS[name] for name in ("age", "income")}
    live.push(code_sha="b" * 64, data={"columns": columns, "select": ["*.csv"]})
    runtime.reply = reply = gone_at(ENDPOINT)
    reply.server = runtime  # type: ignore[attr-defined]
    predict.served(live.ports, MODEL)
    go_live(live, live=Live(TARGET, "config-2", 2, 8, "arn:8", START_MS, settings=2))
    status, said, _ = ask(live)
    assert (status, said["version"], said["ignored"]) == (200, 8, ["job"])


def test_a_first_release_that_moves_answers_once_it_has_a_share(
    live: World, runtime: Runtime
) -> None:
    """Before that nothing is live; then all requests are its own."""
    runtime.reply = plain
    go_live(live, live=None, champion=None, **moving(0))
    assert ask(live)[0] == 503
    go_live(live, live=None, champion=None, **moving(1000))
    assert ask(live)[1]["version"] == 8
    assert ask(live, "", method="GET")[1]["version"] == 8


def test_a_get_tells_of_a_move(live: World) -> None:
    """Which version takes how much; without a move there is nothing to tell."""
    assert "moving" not in ask(live, "", method="GET")[1]
    go_live(live, **moving(100))
    predict.forget(live.ports, MODEL)
    said = ask(live, "", method="GET")[1]
    assert (said["version"], said["moving"]) == (7, {"version": 8, "share": 0.1})


def test_the_columns_are_those_of_the_live_version(live: World, runtime: Runtime) -> None:
    """Settings that were pushed since then do not count."""
    columns = {**COLUMNS, "pets": {"type": "int"}}
    live.push(code_sha="b" * 64, data={"columns": columns, "select": ["*.csv"]})
    assert ask(live)[0] == 200


def test_a_get_tells_what_a_request_must_hold(live: World) -> None:
    """The version that is live, and each feature in words; the label is none."""
    status, said, _ = ask(live, "", method="GET")
    assert status == 200
    assert (said["version"], said["problem"], said["predicts"]) == (7, "binary", "income")
    assert said["inputs"] == [
        {"name": "age", "type": "int", "required": True,
         "expected": "a whole number of at least 0 and at most 120"},
        {"name": "job", "type": "category", "required": True, "expected": "one of nurse, clerk"},
        {"name": "town", "type": "category", "required": False,
         "expected": "a level, such as Ulm, or nothing"},
    ]  # fmt: skip
    assert ask(live, "", method="GET", model="nobody")[0] == 404


def test_the_same_key_gets_the_same_answer(live: World, runtime: Runtime) -> None:
    """The model is asked once, also when its answer would differ now; a day later it is asked
    again."""
    first = ask(live, **keyed("k"))
    runtime.reply = lambda _: Reply(body=b'{"predictions": [{"prediction": "other"}]}')
    again = ask(live, **keyed("k"))
    assert again[:2] == first[:2]
    assert again[2]["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first[2]
    assert len(runtime.requests) == 1
    assert ask(live, **keyed("l"))[1]["prediction"] == "other"
    live.clock.now_ms += 24 * 3600 * 1000 + 1000
    assert ask(live, **keyed("k"))[1]["prediction"] == "other"


def test_a_key_with_another_body_is_422(live: World, runtime: Runtime) -> None:
    """Other values, an explanation more, or a list in the place of one object."""
    assert ask(live, **keyed("k"))[0] == 200
    status, said, _ = ask(live, {**ROW, "age": 40}, **keyed("k"))
    assert (status, "another request" in said["message"]) == (422, True)
    explained = ask(live, queryStringParameters={"explain": "true"}, **keyed("k"))
    assert explained[0] == 422
    assert ask(live, {"instances": [ROW]}, **keyed("k"))[0] == 422
    assert len(runtime.requests) == 1


def test_a_key_is_for_what_was_sent_whoever_answers(live: World, runtime: Runtime) -> None:
    """Also when the version that is drawn next takes other columns."""
    columns = {name: COLUMNS[name] for name in ("age", "income")}
    live.push(code_sha="b" * 64, data={"columns": columns, "select": ["*.csv"]})
    runtime.reply = plain
    go_live(live, **moving(1000, settings=2))
    assert ask(live, **keyed("k"))[1]["version"] == 8
    go_live(live, **moving(0, settings=2))
    predict.forget(live.ports, MODEL)
    status, said, _ = ask(live, **keyed("k"))
    assert (status, said["version"]) == (200, 8)


def test_a_key_belongs_to_its_caller(live: World, runtime: Runtime) -> None:
    """Nobody finds another's answer."""
    assert ask(live, **keyed("k", "ann"))[0] == 200
    status, _, headers = ask(live, {**ROW, "age": 40}, **keyed("k", "bob"))
    assert (status, "idempotency-replayed" in headers) == (200, False)
    assert len(runtime.requests) == 2


def test_a_request_under_way_is_409(live: World, runtime: Runtime) -> None:
    """A second one with its key is told to come back, until the claim has run out."""

    def during(_: Any) -> Reply:
        found.append(ask(live, **keyed("k")))
        return predicting({"instances": [ROW]})

    found: list[Any] = []
    runtime.reply = during
    assert ask(live, **keyed("k"))[0] == 200
    assert (found[0][0], found[0][2]["retry-after"]) == (409, "1")


def test_a_claim_of_a_function_that_died_runs_out(live: World, runtime: Runtime) -> None:
    """Whoever held the key for longer than any request lives holds it no more."""

    def die(_: Any) -> Reply:
        raise SystemExit

    runtime.reply = predicting
    kept = predict.KeptAnswers(live.ports.deployment.ledger_table, MODEL)
    caller = "arn:aws:iam::1:user/ann"
    assert kept.claim(caller, "k", "f", "dead", live.clock.now_ms) is None
    assert ask(live, **keyed("k"))[0] == 422
    live.clock.now_ms += 36_000
    assert ask(live, **keyed("k"))[0] == 200


def test_a_failure_is_not_kept(live: World, runtime: Runtime) -> None:
    """The same key may be tried again at once."""
    runtime.reply = reply_of(503, "ServiceUnavailable")
    assert ask(live, **keyed("k"))[0] == 503
    runtime.reply = predicting
    assert ask(live, **keyed("k"))[0] == 200


def test_an_answer_too_large_to_keep_is_413(live: World, runtime: Runtime) -> None:
    """It says so, and the key is free again."""
    noise = [f"{number:x}" for number in range(10**6, 10**6 + 60_000)]
    mixed = "".join(word[::-1] + str(hash(word)) for word in noise)
    huge = {"predictions": [{"prediction": mixed}]}
    runtime.reply = lambda _: Reply(body=json.dumps(huge).encode())
    status, said, _ = ask(live, **keyed("k"))
    assert (status, "send fewer rows, or no key" in said["message"]) == (413, True)
    runtime.reply = predicting
    assert ask(live, **keyed("k"))[0] == 200


def test_the_body_is_never_logged(
    live: World, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither of a good request, nor of a bad one, nor of one the model failed at."""
    caplog.set_level("DEBUG")
    ask(live, {**ROW, "town": "Geheimnis"})
    ask(live, {**ROW, "job": "Geheimnis"})
    runtime.reply = lambda _: model_error(500, '{"error": "no Geheimnis"}')
    ask(live, {**ROW, "town": "Geheimnis"})
    told = [vars(r) for r in caplog.records if not r.name.startswith(("botocore", "urllib3"))]
    assert [each["status"] for each in told] == [200, 400, 424]
    assert "Geheimnis" not in repr(told)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["age", "job", "town", "instances", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
BODIES = (
    st.text(max_size=60)
    | st.binary(max_size=60).map(lambda octets: octets.decode("latin-1"))
    | JSON_VALUES.map(json.dumps)
    | st.lists(JSON_VALUES, max_size=3).map(lambda rows: json.dumps({"instances": rows}))
    | st.fixed_dictionaries(
        {"age": st.integers(-5, 130) | JSON_VALUES, "job": st.sampled_from(["nurse", "x", 1])},
        optional={"town": JSON_VALUES},
    ).map(json.dumps)
)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=BODIES, encoded=st.booleans(), explain=st.sampled_from(["true", "false", "", "1"]))
@example(body='{"age": 39, "job": "nurse", "town": "\\ud800"}', encoded=False, explain="true")
def test_no_body_whatever_makes_anything_but_200_or_4xx(
    live: World, runtime: Runtime, body: str, encoded: bool, explain: str
) -> None:
    """A body that passes reaches the endpoint as JSON with rows; every other is the client's."""
    text = base64.b64encode(body.encode("utf-8", "surrogatepass")).decode() if encoded else body
    asked = len(runtime.requests)
    status, said, _ = ask(
        live, text, isBase64Encoded=encoded, queryStringParameters={"explain": explain}
    )
    assert status == 200 or 400 <= status < 500
    assert (len(runtime.requests) - asked) == (status == 200)
    assert status == 200 or said["message"]
