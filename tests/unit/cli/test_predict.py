"""`perennial predict`: rows from the command line and from files, answers, errors in words."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from perennial.ask_predictions import error_of
from perennial.aws import stacks
from perennial.aws.predictions_api import ApiAnswer

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cloud

BY = {"model": "census", "version": 7, "variant": "main", "request_id": "r-1"}


@dataclass
class Api:
    """The API: what it was asked, and what it answers (status, document, headers)."""

    answer: Callable[[str, Any], tuple[int, Any, dict[str, str]]]
    url: str = ""
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)


def predicting(_: str, document: Any) -> tuple[int, Any, dict[str, str]]:
    """A prediction a row, or what a request must hold."""
    if document is None:
        inputs = [{"name": "age", "expected": "a whole number"}]
        return 200, {"model": "census", "version": 7, "predicts": "income", "inputs": inputs}, {}
    each = {"prediction": ">50K", "confidence": 0.8125, "contributions": {"age": 0.5, "job": -2.0}}
    return 200, {"predictions": [each] * len(document["instances"]), **BY}, {}


@pytest.fixture
def api(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """An API that the target's stack names."""
    made = Api(predicting)

    class Handler(BaseHTTPRequestHandler):
        """One request."""

        def do_POST(self) -> None:
            """Answer as the test says."""
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            document = json.loads(body) if body else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.asked.append((self.command, self.path, headers, document))
            status, found, more = made.answer(self.path, document)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(found if isinstance(found, bytes) else json.dumps(found).encode())

        do_GET = do_POST  # noqa: N815 - as the base class wants it

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    describe = stacks.describe_stack

    def with_api(name: str) -> Any:
        stack = describe(name)
        assert stack is not None
        stack.outputs["PredictionsUrl"] = made.url
        return stack

    monkeypatch.setattr(stacks, "describe_stack", with_api)
    yield made
    server.shutdown()
    server.server_close()


def test_a_row_is_asked_for_with_a_signature(cloud: Cloud, api: Api) -> None:
    """The answer is a line of a table; the request is signed for the API."""
    result = cloud.run("predict", "census", "--row", '{"age": 39}', "--row", '{"age": 40}')
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].split() == ["2", ">50K", "0.812", "7", "main"]
    method, path, headers, document = api.asked[0]
    assert (method, path) == ("POST", "/models/census/predictions")
    assert "/eu-west-1/execute-api/aws4_request" in headers["authorization"]
    assert document == {"instances": [{"age": 39}, {"age": 40}]}


def test_explanations_name_what_moved_the_prediction_most(cloud: Cloud, api: Api) -> None:
    """The largest first, with its sign."""
    result = cloud.run("predict", "census", "--row", '{"age": 39}', "--explain")
    assert "job -2, age +0.5" in result.stdout
    assert api.asked[0][1].endswith("?explain=true")


def test_a_token_takes_the_place_of_the_signature(cloud: Cloud, api: Api) -> None:
    """For APIs that were deployed with an issuer."""
    cloud.run("predict", "census", "--row", "{}", "--token", "abc")
    assert api.asked[0][2]["authorization"] == "Bearer abc"


def test_without_rows_it_tells_what_a_row_must_hold(cloud: Cloud, api: Api) -> None:
    """Version, label and every column."""
    result = cloud.run("predict", "census")
    assert "census 7 is live and predicts income" in result.stdout
    assert "a whole number" in result.stdout
    assert api.asked[0][:2] == ("GET", "/models/census")
    told = json.loads(cloud.run("predict", "census", "--json").stdout)
    assert told["version"] == 7


FILES = {
    "rows.csv": 'age,job\n39,"a, b"\n40,c\n',
    "rows.jsonl": '{"age": "39", "job": "a, b"}\n\n{"age": "40", "job": "c"}\n',
    "rows.json": '{"instances": [{"age": "39", "job": "a, b"}, {"age": "40", "job": "c"}]}',
    "list.json": '[{"age": "39", "job": "a, b"}, {"age": "40", "job": "c"}]',
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_every_kind_are_read(cloud: Cloud, api: Api, tmp_path: Path, name: str) -> None:
    """A table with a header, JSON lines, one document."""
    path = tmp_path / name
    path.write_text(FILES[name])
    result = cloud.run("predict", "census", "--file", str(path), "--json")
    assert result.exit_code == 0, result.output
    rows = [{"age": "39", "job": "a, b"}, {"age": "40", "job": "c"}]
    assert api.asked[0][3] == {"instances": rows}
    found = json.loads(result.stdout)
    assert [each["row"] for each in found] == [1, 2]
    assert {**BY, "prediction": ">50K"}.items() <= found[0].items()


def test_many_rows_go_in_several_requests(cloud: Cloud, api: Api, tmp_path: Path) -> None:
    """Each row once and in order; the screen shows the first ones and counts the rest."""
    path = tmp_path / "rows.csv"
    path.write_text("age\n" + "".join(f"{age}\n" for age in range(1201)))
    result = cloud.run("predict", "census", "--file", str(path))
    sent = [row["age"] for asked in api.asked for row in asked[3]["instances"]]
    assert sent == [str(age) for age in range(1201)]
    assert [len(asked[3]["instances"]) for asked in api.asked] == [500, 500, 201]
    assert "and 1,151 further rows" in result.stdout


BAD_FILES = {
    "x.csv": ("age,job\n1\n", "line 2 has 1 values; its first line names 2 columns"),
    "y.csv": ("age,age\n1,2\n", "names a column twice"),
    "z.csv": ("", "holds no row"),
    "q.csv": ('age\n"1', "is not CSV"),
    "x.jsonl": ('{"a": 1}\n{\n', "line 2 is not JSON"),
    "y.jsonl": ("3\n", "line 1 is no JSON object"),
    "x.json": ("{", "is not JSON"),
    "y.json": ("[1]", "holds no list of JSON objects"),
    "x.txt": ("age\n1\n", "ends neither in .csv nor in .json or .jsonl"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_read_is_a_mistake_of_usage(
    cloud: Cloud, api: Api, tmp_path: Path, name: str
) -> None:
    """It names file and line, and nothing is asked."""
    path, (text, words) = tmp_path / name, BAD_FILES[name]
    path.write_text(text)
    result = cloud.run("predict", "census", "--file", str(path))
    assert (result.exit_code, api.asked) == (2, [])
    assert words in result.stderr
    assert name in result.stderr


def test_rows_that_are_no_objects_are_mistakes_of_usage(
    cloud: Cloud, api: Api, tmp_path: Path
) -> None:
    """Broken JSON, a list, text that is not UTF-8, and two sources at once."""
    assert cloud.run("predict", "census", "--row", "{").exit_code == 2
    assert cloud.run("predict", "census", "--row", "[1]").exit_code == 2
    path = tmp_path / "x.csv"
    path.write_bytes(b"age\n\xff\n")
    assert "is not UTF-8" in cloud.run("predict", "census", "--file", str(path)).stderr
    both = cloud.run("predict", "census", "--file", str(path), "--row", "{}")
    assert (both.exit_code, "Give one of them" in both.stderr) == (2, True)
    assert api.asked == []


REFUSALS = [
    (400, {"message": "row 1, age: no", "request_id": "r"}, {}, 5, "row 1, age: no"),
    (404, {"message": "there is no model 'x'", "request_id": "r"}, {}, 4, "there is no model"),
    (404, {"message": "Not Found"}, {}, 5, "Not Found"),
    (403, {"message": "Forbidden"}, {}, 5, "execute-api:Invoke"),
    (401, {"message": "Unauthorized"}, {}, 5, "a token"),
    (424, {"message": "the model failed", "request_id": "r"}, {}, 1, "the model failed"),
    (504, {"message": "did not answer", "request_id": "r"}, {}, 1, "did not answer"),
    (500, {"message": "Internal Server Error"}, {}, 1, "Internal Server Error"),
    (503, {"message": "no endpoint serves it", "request_id": "r"}, {}, 4, "no endpoint serves it"),
    (200, b"<html>", {}, 3, "no JSON: is it the API's address?"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=[f"{r[0]} {r[4]}" for r in REFUSALS])
def test_errors_have_words_and_exit_codes(
    cloud: Cloud, api: Api, refusal: tuple[int, Any, dict[str, str], int, str]
) -> None:
    """What the API says is what people read; scripts read the exit code."""
    status, document, headers, code, words = refusal
    api.answer = lambda *_: (status, document, headers)
    result = cloud.run("predict", "census", "--row", "{}")
    assert (result.exit_code, words in result.stderr) == (code, True), result.output
    assert len(api.asked) == 1


def test_a_throttled_request_is_made_again(cloud: Cloud, api: Api) -> None:
    """As Retry-After asks; API Gateway's own 429 has none and is repeated too."""
    later = {"Retry-After": "1"}
    answers = iter([(429, {"message": "Too Many Requests"}, {}), (503, {"message": "m"}, later)])
    api.answer = lambda path, document: next(answers, None) or predicting(path, document)
    assert cloud.run("predict", "census", "--row", "{}").exit_code == 0
    assert len(api.asked) == 3


def test_a_refusal_says_where_its_request_began(cloud: Cloud, api: Api, tmp_path: Path) -> None:
    """Rows are counted within their request."""
    path = tmp_path / "rows.csv"
    path.write_text("age\n" + "1\n" * 600)
    refused = 400, {"message": "row 3, age: no", "request_id": "r"}, {}
    api.answer = lambda path, document: (
        predicting(path, document) if len(document["instances"]) == 500 else refused
    )
    result = cloud.run("predict", "census", "--file", str(path))
    assert "row 3, age: no (counted from row 501)" in result.stderr


def test_every_status_stands_for_an_error() -> None:
    """Also those that nobody expects; an answer without words says its status."""
    for status in range(300, 600):
        assert str(error_of(ApiAnswer(status, {})))
