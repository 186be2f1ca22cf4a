"""The smoke test: every check, passing and failing, and its calls against a real HTTP server."""

from __future__ import annotations

import base64
import json
import math
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jobs import smoke_checks
from jobs.failures import ServiceError, SettingsError
from jobs.invoking import NOT_READY, Answer, Caller, Request, read_capture
from jobs.smoke_checks import BAD_REQUESTS, Row, SmokeTest, Target
from tests.jobs.conftest import ROOT

TARGET = Target(
    endpoint="perennial-staging-census",
    variant="main",
    model="census",
    version=7,
    rows=20,
    requests=5,
    latency_p99=100.0,
    memory=0.8,
    capture_bucket="artifacts",
    capture_prefix="capture/census/perennial-live-census/main",
)
SCORE = 0.25
CHECKS = ("errors", "schema", "predictions", "captured", "bad_requests", "latency", "memory")


def rows_of(expected: tuple[float, ...] = (SCORE,), count: int = 20) -> list[Row]:
    """Holdout rows that were all scored alike."""
    body = json.dumps({"instances": [{"age": 30}]}).encode()
    return [Row(Request(body, "application/json"), expected)] * count


def said(prediction: Any, **more: Any) -> str:
    """A server's answer to one row."""
    return json.dumps({"predictions": [prediction], "model": "census", "version": 7, **more})


GOOD = said({"prediction": "<=50K", "confidence": 1 - SCORE, "score": SCORE})


@dataclass
class Endpoint:
    """A stand-in for AWS's side: answers of a good endpoint, which each test spoils in one way."""

    good: Callable[[], Answer] = lambda: Answer(200, GOOD, 0.01)
    bad: Callable[[], Answer] = lambda: Answer(400, '{"error": "no"}', 0.01)
    used: list[float | None] = field(default_factory=lambda: [0.5])
    recent: list[Request] = field(default_factory=list)
    sent: list[Request] = field(default_factory=list)
    targets: set[str] = field(default_factory=set)

    def invoke(
        self, endpoint: str, request: Request, accept: str, target_model: str = ""
    ) -> Answer:
        """The answer to one request."""
        assert (endpoint, accept) == (TARGET.endpoint, "application/json")
        self.sent.append(request)
        self.targets.add(target_model)
        return self.bad() if request in BAD_REQUESTS.values() else self.good()

    def memory(self, endpoint: str, variant: str, since: datetime) -> float | None:
        """The next figure; the last one stays."""
        assert (endpoint, variant) == (TARGET.endpoint, "main")
        assert since <= datetime.now(timezone.utc)
        return self.used.pop(0) if len(self.used) > 1 else self.used[0]

    def captured(self, bucket: str, prefix: str, most: int) -> list[Request]:
        """What the live endpoint was asked."""
        assert (bucket, prefix) == (TARGET.capture_bucket, TARGET.capture_prefix)
        return self.recent[:most]


def outcome(
    endpoint: Endpoint,
    *,
    target: Target = TARGET,
    problem: str = "binary",
    rows: list[Row] | None = None,
) -> dict[str, Any]:
    """Run the test without waiting."""
    found = SmokeTest(endpoint, target, problem, sleep=lambda _: None)
    return found.test(rows_of() if rows is None else rows)


def failed(document: dict[str, Any]) -> list[str]:
    """The names of the checks that did not pass."""
    assert [check["name"] for check in document["checks"]] == list(CHECKS)
    return [check["name"] for check in document["checks"] if not check["passed"]]


def check(document: dict[str, Any], name: str) -> dict[str, Any]:
    """One check of a document."""
    (found,) = [each for each in document["checks"] if each["name"] == name]
    return dict(found)


def test_a_good_endpoint_passes_every_check() -> None:
    """Every row and captured request is sent once, every bad one too; the figures are told."""
    endpoint = Endpoint(recent=[Request(b"1,2", "text/csv")] * 9)
    document = outcome(endpoint)
    assert failed(document) == []
    assert document["passed"] is True
    assert document["words"] == "census 7 passed all 7 checks of its smoke test"
    assert document["figures"] == {
        "rows": 20, "requests": 5, "errors": 0, "p50_us": 10_000, "p99_us": 10_000,
    }  # fmt: skip
    assert len(endpoint.sent) == 20 + 5 + len(BAD_REQUESTS)
    assert endpoint.targets == {""}


SHARED = replace(TARGET, target_model="census/perennial-census-7.tar.gz", capture_prefix="")
LOADING = Answer(429, "still being loaded", 0.5, NOT_READY)


def shared(answers: Iterator[Answer], **more: Any) -> tuple[dict[str, Any], Endpoint, list[float]]:
    """The test of one of several models whose first answers are these; what was waited."""
    endpoint = Endpoint(good=lambda: next(answers, Answer(200, GOOD, 0.01)), **more)
    slept: list[float] = []
    found = SmokeTest(endpoint, SHARED, "binary", sleep=slept.append).test(rows_of())
    return found, endpoint, slept


def test_one_of_several_models_is_asked_by_its_name() -> None:
    """Each request names it, bad ones too; words say that the memory is not its own."""
    document, endpoint, slept = shared(iter([]), used=[0.9])
    assert endpoint.targets == {SHARED.target_model}
    assert failed(document) == ["memory"]
    words = "90% of the memory of the machine, which other models use too, was used"
    assert check(document, "memory")["words"] == f"{words}; wanted 80% at most"
    assert slept == []


def test_a_model_that_is_being_loaded_is_waited_for() -> None:
    """Its first requests are sent again; what they met meanwhile counts for nothing."""
    good = Answer(200, GOOD, 0.01)
    document, endpoint, slept = shared(iter([LOADING] * 3 + [good] * 2 + [LOADING]))
    assert failed(document) == []
    assert document["figures"]["errors"] == 0
    assert len(endpoint.sent) == 20 + 4 + len(BAD_REQUESTS)
    assert slept == [smoke_checks.LOADING_EVERY] * 4


def test_a_model_is_waited_for_a_minute_in_all() -> None:
    """What loads longer, or is dropped after the first requests, does not serve: an error."""
    document, endpoint, slept = shared(iter([LOADING] * 10_000))
    assert failed(document)[0] == "errors"
    assert "0 of 20 holdout rows were answered" in document["words"]
    assert "still being loaded" in document["words"]
    assert sum(slept) == 40.0  # each question took half a second too
    assert len(endpoint.sent) == 20 + 40 + len(BAD_REQUESTS)
    good = Answer(200, GOOD, 0.01)
    document, _, slept = shared(iter([good] * smoke_checks.WARM_UP + [LOADING]))
    assert failed(document) == ["errors", "schema", "predictions"]
    assert document["figures"]["errors"] == 1
    assert slept == []


@pytest.mark.parametrize("status", [0, 400, 500, 503])
def test_one_failed_row_is_one_too_many(status: int) -> None:
    """An error, or no answer at all, to any of the rows fails; the words show the first."""
    answers = iter([Answer(200, GOOD, 0.01)] * 7 + [Answer(status, "it broke\n", 0.01)])
    document = outcome(Endpoint(good=lambda: next(answers, Answer(200, GOOD, 0.01))))
    assert failed(document) == ["errors", "schema", "predictions"]
    words = check(document, "errors")["words"]
    assert words.startswith("19 of 20 holdout rows were answered; the first failure: ")
    assert ("no answer" if status == 0 else f"HTTP {status}") in words
    assert "it broke" in document["words"]


def test_nothing_to_replay_has_not_passed() -> None:
    """Without a single row nothing was seen, so nothing passed."""
    document = outcome(Endpoint(), rows=[])
    assert failed(document) == ["errors", "schema", "predictions", "latency"]
    assert "no request was answered" in check(document, "latency")["words"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (GOOD.replace('"version": 7', '"version": 6'), "census 6 answers, not census 7"),
        (GOOD.replace('"census"', '"abalone"'), "abalone 7 answers, not census 7"),
        (said({"prediction": "<=50K", "score": 1.5}), "is no probability"),
        (said({"prediction": "<=50K", "score": math.nan}), "no finite number"),
        (said({"prediction": None, "score": SCORE}), "holds no prediction"),
        (said({"prediction": "<=50K"}), "is no prediction of a binary model"),
        ('{"predictions": []}', "is no prediction of a binary model"),
        ("0.25\n", "is no prediction of a binary model"),
        ("[]", "is no prediction of a binary model"),
    ],
)
def test_an_answer_of_another_form_fails(body: str, words: str) -> None:
    """Another version, scores that cannot be, no prediction: each by name."""
    document = outcome(Endpoint(good=lambda: Answer(200, body, 0.01)))
    assert "schema" in failed(document)
    assert words in check(document, "schema")["words"]


@pytest.mark.parametrize(
    ("expected", "same"),
    [(SCORE * (1 + 5e-7), True), (SCORE * (1 + 2e-6), False), (0.75, False), (math.nan, False)],
)
def test_predictions_must_be_the_evaluations(expected: float, same: bool) -> None:
    """One part in a million may differ; a swapped model is noticed."""
    rows = [*rows_of(count=19), *rows_of((expected,), count=1)]
    document = outcome(Endpoint(), rows=rows)
    assert failed(document) == ([] if same else ["predictions"])
    if not same:
        words = "19 of 20 predictions equal the evaluation's; is it the model that was registered?"
        assert check(document, "predictions")["words"] == words


def test_scores_of_several_classes_are_compared_in_order() -> None:
    """Each class's score, in the order of the evaluation's columns; a missing one differs."""
    scores = {"a": 0.5, "b": 0.3, "c": 0.2}
    body = said({"prediction": "a", "confidence": 0.5, "scores": scores})
    endpoint = Endpoint(good=lambda: Answer(200, body, 0.01))
    document = outcome(endpoint, problem="multiclass", rows=rows_of((0.5, 0.3, 0.2)))
    assert failed(document) == []
    for other in ((0.3, 0.5, 0.2), (0.5, 0.5)):
        document = outcome(endpoint, problem="multiclass", rows=rows_of(other))
        assert failed(document) == ["predictions"]


def test_values_need_be_no_probabilities() -> None:
    """A regression's prediction is compared itself."""
    endpoint = Endpoint(good=lambda: Answer(200, said({"prediction": 9.5}), 0.01))
    assert failed(outcome(endpoint, problem="regression", rows=rows_of((9.5,)))) == []


def test_captured_requests_must_be_answered() -> None:
    """What production answered lately the new version may not refuse."""
    endpoint = Endpoint(recent=[Request(b"x,y", "text/csv")])
    answers = iter([Answer(200, GOOD, 0.01)] * 20 + [Answer(400, "unknown column", 0.01)])
    endpoint.good = lambda: next(answers)
    document = outcome(endpoint)
    assert failed(document) == ["captured"]
    assert "0 of 1 captured requests" in check(document, "captured")["words"]


def test_no_live_endpoint_has_no_captured_requests() -> None:
    """The first release replays its holdout alone."""
    document = outcome(Endpoint(), target=replace(TARGET, capture_prefix="", capture_bucket=""))
    assert failed(document) == []
    assert check(document, "captured")["words"] == "there are no captured requests to replay"


@pytest.mark.parametrize("status", [200, 500, 0])
def test_a_bad_request_must_be_refused_as_such(status: int) -> None:
    """A server that answers nonsense, breaks or hangs at it does not pass."""
    document = outcome(Endpoint(bad=lambda: Answer(status, "hm", 0.01)))
    assert failed(document) == ["bad_requests"]
    assert "0 of 4 bad requests were refused" in check(document, "bad_requests")["words"]


def test_slow_answers_fail_and_the_first_ones_do_not_count() -> None:
    """p99 against the bound, without the first five requests, which warm the server up."""
    times = iter([5.0] * 5 + [0.05] * 14 + [0.3] + [0.01] * 99)
    document = outcome(Endpoint(good=lambda: Answer(200, GOOD, next(times))))
    assert failed(document) == ["latency"]
    found = check(document, "latency")
    assert found["bound"] == 100.0
    assert 250 < found["figure"] <= 300
    times = iter([5.0] * 5 + [0.05] * 99)
    assert failed(outcome(Endpoint(good=lambda: Answer(200, GOOD, next(times))))) == []


def test_too_much_memory_fails() -> None:
    """The largest share that CloudWatch tells, against the bound."""
    document = outcome(Endpoint(used=[None, None, 0.9]))
    assert failed(document) == ["memory"]
    assert check(document, "memory")["words"] == "90% of the memory was used; wanted 80% at most"


def test_memory_that_nobody_tells_has_not_passed() -> None:
    """Asked for five minutes; no figure is no pass, unless the settings bound nothing."""
    slept: list[float] = []
    found = SmokeTest(Endpoint(used=[None]), TARGET, "binary", sleep=slept.append)
    document = found.test(rows_of())
    assert failed(document) == ["memory"]
    assert sum(slept) == smoke_checks.MEMORY_SECONDS
    assert "had no MemoryUtilization of perennial-staging-census" in document["words"]
    unbounded = replace(TARGET, memory=None, latency_p99=None)
    assert failed(outcome(Endpoint(used=[None]), target=unbounded)) == []


def test_a_target_of_another_kind_is_refused() -> None:
    """target.json is ours; whatever else lies there ends the job."""
    documents: list[Any] = [{"endpoint": "x"}, [], {**vars(TARGET), "colour": "blue"}]
    for document in documents:
        with pytest.raises(SettingsError, match=r"target\.json is not"):
            Target.from_json(document)


def capture_line(body: str, *, encoding: str = "JSON", **output: Any) -> str:
    """A line of a capture file."""
    given = {"data": body, "encoding": encoding, "observedContentType": "application/json"}
    return json.dumps({"captureData": {"endpointInput": given, **output}, "eventVersion": "0"})


def test_captured_requests_are_read_newest_first() -> None:
    """All encodings; what was not answered, or cannot be read, is left out."""
    answered: dict[str, Any] = {"endpointOutput": {"data": "{}", "encoding": "JSON"}}
    lines = [
        capture_line('{"a": 1}', **answered),
        capture_line("never answered"),
        "no json",
        json.dumps({"captureData": None}),
        capture_line("%%%", encoding="BASE64", **answered),
        capture_line(base64.b64encode(b"\xff1").decode(), encoding="BASE64", **answered),
    ]
    found = read_capture("\n".join(lines))
    assert [request.body for request in found] == [b"\xff1", b'{"a": 1}']


class Amazon(BaseHTTPRequestHandler):
    """Speaks SageMaker's runtime, CloudWatch's and S3's protocols, as far as the job calls them."""

    def do_GET(self) -> None:
        """S3: the listing of a day, and an object."""
        today = datetime.now(timezone.utc).strftime("%Y/%m/%d")
        if "list-type=2" in self.path:
            key = f"{TARGET.capture_prefix}/{today}/10/x.jsonl"
            is_today = today.replace("/", "%2F") in self.path
            entry = (
                f"<Contents><Key>{key}</Key><LastModified>2026-11-20T10:00:00.000Z</LastModified>"
                "<Size>1</Size></Contents>"
            )
            body = f"<ListBucketResult>{entry if is_today else ''}</ListBucketResult>"
            self._say(200, body, "application/xml")
        else:
            line = capture_line('{"a": 1}', endpointOutput={"data": "{}", "encoding": "JSON"})
            self._say(200, "\n".join([line] * 30), "application/json")

    def do_POST(self) -> None:
        """Invocations by the endpoint's name; CloudWatch else."""
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.path.startswith("/endpoints/"):
            self._statistics()
        elif "good" in self.path:
            self._say(200, sent.decode(), "application/json")
        elif "refuses" in self.path:
            self._error(424, "ModelError", OriginalStatusCode=400, OriginalMessage="bad row")
        elif "loading" in self.path:
            target = self.headers["X-Amzn-SageMaker-Target-Model"]
            self._error(429, "ModelNotReadyException", message=f"{target} is being loaded")
        elif "busy" in self.path:
            self._error(503, "ServiceUnavailable")
        elif "gone" in self.path:
            self._error(400, "ValidationError")
        else:
            self.close_connection = True

    def _statistics(self) -> None:
        kind = self.headers.get("Content-Type", "")
        if "cbor" in kind:
            # {"Datapoints": [{"Maximum": 42.5}]} in CBOR
            body = b"\xa1\x6aDatapoints\x81\xa1\x67Maximum\xfb\x40\x45\x40\x00\x00\x00\x00\x00"
            self.send_response(200)
            self.send_header("smithy-protocol", "rpc-v2-cbor")
            self.send_header("Content-Type", "application/cbor")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        elif "json" in kind:
            self._say(200, '{"Datapoints": [{"Maximum": 42.5}]}', kind)
        else:
            found = "<member><Maximum>42.5</Maximum></member>"
            result = f"<GetMetricStatisticsResult><Datapoints>{found}</Datapoints>"
            self._say(200, f"<R>{result}</GetMetricStatisticsResult></R>", "text/xml")

    def _error(self, status: int, code: str, **members: Any) -> None:
        body = json.dumps({"Message": "it says no", **members})
        self._say(status, body, "application/json", code)

    def _say(self, status: int, body: str, kind: str, error: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body.encode())))
        if error:
            self.send_header("x-amzn-ErrorType", error)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def caller(monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
    """The job's own client, whose AWS is a server in this process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Amazon)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    yield Caller()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("endpoint", "status", "body"),
    [
        ("good", 200, '{"a": 1}'),
        ("refuses", 400, "bad row"),
        ("busy", 503, "ServiceUnavailable"),
        ("breaks", 0, "onnection"),
    ],
)
def test_an_invocation_tells_what_the_model_said(
    endpoint: str, status: int, body: str, caller: Caller
) -> None:
    """The container's own status and words, and no status for a connection that broke."""
    answer = caller.invoke(endpoint, Request(b'{"a": 1}', "application/json"), "application/json")
    assert answer.status == status
    assert body in answer.body
    assert answer.seconds > 0


def test_a_model_that_is_being_loaded_is_told_by_its_code(caller: Caller) -> None:
    """SageMaker itself answers then; the request names the model."""
    answer = caller.invoke("loading", Request(b"{}", "application/json"), "x/y", "census/7.tar.gz")
    assert (answer.status, answer.code) == (429, NOT_READY)
    assert "census/7.tar.gz is being loaded" in answer.body


def test_a_refused_call_ends_the_job(caller: Caller) -> None:
    """No endpoint, or no right to call it, says nothing of the model."""
    with pytest.raises(ServiceError, match="ValidationError at endpoint gone"):
        caller.invoke("gone", Request(b"{}", "application/json"), "application/json")


def test_memory_is_a_share(caller: Caller) -> None:
    """CloudWatch tells percent."""
    assert caller.memory("good", "main", datetime.now(timezone.utc)) == 0.425


def test_captured_requests_are_found(caller: Caller) -> None:
    """The newest files of the newest days, until there are enough requests."""
    found = caller.captured("artifacts", TARGET.capture_prefix, 7)
    assert [request.body for request in found] == [b'{"a": 1}'] * 7


@pytest.fixture
def cases(
    jobs_python: Path, tmp_path: Path, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Everything that smoke_test_cases.py prints; its AWS is the server in this process."""
    assert caller
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'layers' / 'core'}")
    target = replace(TARGET, endpoint="good", memory=None)
    done = subprocess.run(
        [jobs_python, ROOT / "tests/jobs/smoke_test_cases.py", tmp_path, json.dumps(vars(target))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_job_reads_its_rows_and_writes_what_it_found(cases: dict[str, Any]) -> None:
    """Rows as a client sends them, evenly from the whole holdout; a failed check fails no job."""
    assert cases["all"] == [
        [[{"age": 0, "hours": None, "born": "1990-01-01"}], [0.0]],
        [[{"age": 1, "hours": 0.25, "born": "1990-01-02"}], [0.001]],
        [[{"age": 2, "hours": 0.5, "born": "1990-01-03"}], [0.002]],
    ]
    assert [rows[0]["age"] for rows, _ in cases["some"]] == [0, 25, 50, 75, 100]
    assert [expected for _, expected in cases["some"]] == [[0.0], [0.025], [0.05], [0.075], [0.1]]
    assert [expected for _, expected in cases["classes"]] == [[0.0, 1.0], [0.001, 0.999]]
    assert "predictions are not of this holdout's rows" in cases["foreign"]
    written = cases["job"]["written"]
    # This endpoint answers every request, also a bad one, with itself.
    assert failed(written) == ["schema", "predictions", "bad_requests"]
    assert written["passed"] is False
    assert cases["job"]["words"] == written["words"]
    assert written["figures"]["rows"] == 4
    assert written["figures"]["requests"] == 5
