"""The example models behind the real server: the evaluation's predictions, and every refusal."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from perennial.pack_project import pack_project

from cli.datasets import synthetic_dataset
from jobs.digests import CODE_VARIABLE, MODEL_VARIABLE, UNVERIFIED_VARIABLE
from tests.jobs.conftest import example
from tests.jobs.model_server import ModelServer, serving
from tests.jobs.test_check_project import check

#: Raw holdout rows and the evaluation's scores of them, where pyarrow is.
ROWS = """
import json, sys
import pyarrow.parquet as pq
kept, most = sys.argv[1], int(sys.argv[2])
rows = pq.read_table(f"{kept}/holdout/rows.parquet").slice(0, most)
scores = pq.read_table(f"{kept}/evaluation/predictions.parquet").slice(0, most)
names = [n for n in scores.column_names if n.startswith("score")]
print(json.dumps({
    "rows": rows.drop_columns([n for n in rows.column_names if n.startswith("__")]).to_pylist(),
    "scores": scores.select(names).to_pandas().to_numpy().tolist(),
}))
"""
MOST = 1000


@dataclass(frozen=True)
class Case:
    """A trained model, the variables that name it, and what its evaluation said of which rows."""

    name: str
    python: Path
    place: Path
    code: Path
    schema: dict[str, Any]
    variables: dict[str, str]
    rows: list[dict[str, Any]]
    scores: list[list[float]]

    @property
    def features(self) -> list[str]:
        """The columns of a request."""
        label = self.schema["label"]
        return [c["name"] for c in self.schema["columns"] if c["name"] != label]

    def line(self, row: dict[str, Any]) -> str:
        """A row as a line of CSV."""
        text = io.StringIO()
        csv.writer(text).writerow(["" if row[n] is None else row[n] for n in self.features])
        return text.getvalue()

    def served(self, **variables: str) -> Any:
        """The server of this model."""
        given = {**self.variables, "PERENNIAL_VERSION": "7", **variables}
        return serving(self.place, self.code, python=self.python, variables=given)


def unpacked(project: Path, code: Path) -> Path:
    """A project's packed code as a server unpacks it."""
    with tarfile.open(fileobj=io.BytesIO(pack_project(project).body)) as archive:
        archive.extractall(code, filter="data")
    return code


def make(name: str, data: Path, place: Path, python: Path) -> Case:
    """Train and evaluate an example model as `perennial check` does, and pack its code."""
    code, _, errors = check(python, example(name), data, "--keep", place)
    assert code == 0, errors
    unpacked(example(name), place / "code")
    found = subprocess.run(
        [python, "-c", ROWS, str(place), str(MOST)], capture_output=True, text=True, check=True
    )
    evaluation = json.loads((place / "evaluation" / "evaluation.json").read_text())
    listing = (place / "code" / "files.sha256").read_bytes()
    schema = json.loads((place / "model" / "schema.json").read_text())
    rows = json.loads(found.stdout)
    return Case(
        name=name,
        python=python,
        place=place,
        code=place / "code",
        schema=schema,
        variables={
            MODEL_VARIABLE: evaluation["perennial"]["model_files"],
            CODE_VARIABLE: sha256(listing).hexdigest(),
        },
        rows=[{n: v for n, v in row.items() if n != schema["label"]} for row in rows["rows"]],
        scores=rows["scores"],
    )


@pytest.fixture(scope="module", params=["census", "abalone", "salary", "stars"])
def case(
    request: pytest.FixtureRequest, jobs_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Case:
    """Each example model, trained once."""
    name = request.param
    place = tmp_path_factory.mktemp(name)
    data = place / "data.csv"
    if name in ("census", "abalone"):
        data.write_text(request.getfixturevalue("adult" if name == "census" else name))
    else:
        (table,) = synthetic_dataset(name).tables
        data.write_text(table.text())
    return make(name, data, place / "kept", jobs_python)


@pytest.fixture(scope="module")
def server(case: Case) -> Iterator[ModelServer]:
    """Its server."""
    with case.served() as started:
        yield started


def test_every_form_of_a_request_gets_the_evaluations_predictions(
    case: Case, server: ModelServer
) -> None:
    """All rows by a frame, some at once by rows, and one by one as CSV and JSON: the scores of
    the evaluation, to 1e-9 relative, with label, confidence, model and version."""
    for most in (len(case.rows), 60):
        said = server.invoke(json.dumps({"instances": case.rows[:most]}))
        assert said.status == 200, said.body
        document = said.json
        assert (document["model"], document["version"]) == (case.name, 7)
        assert len(document["predictions"]) == most
        for prediction, scores in zip(document["predictions"], case.scores[:most], strict=True):
            check_prediction(case, prediction, scores)
    for row, scores in list(zip(case.rows, case.scores, strict=True))[:40]:
        for body, kind in (
            (json.dumps(row), "application/json"),
            (case.line(row), "text/csv"),
            (json.dumps(row), "application/jsonlines"),
        ):
            (prediction,) = server.invoke(body, kind).json["predictions"]
            check_prediction(case, prediction, scores)


def check_prediction(case: Case, found: dict[str, Any], scores: list[float]) -> None:
    """One prediction beside the evaluation's scores."""
    problem, classes = case.schema["problem"], case.schema["classes"]
    if problem == "regression":
        assert found == {"prediction": pytest.approx(scores[0], rel=1e-9)}
    elif problem == "binary":
        assert found["score"] == pytest.approx(scores[0], rel=1e-9)
        assert found["prediction"] == classes[scores[0] >= 0.5]
        assert found["confidence"] == max(found["score"], 1 - found["score"])
    else:
        assert list(found["scores"]) == classes
        assert list(found["scores"].values()) == pytest.approx(scores, rel=1e-9)
        assert found["prediction"] == classes[scores.index(max(scores))]
        assert found["confidence"] == max(found["scores"].values())


def test_answers_come_in_the_type_that_is_accepted(case: Case, server: ModelServer) -> None:
    """JSON by default; CSV: the prediction and, for classes, its score; JSON lines: a row each."""
    body = json.dumps({"instances": case.rows[:3]})
    whole = server.invoke(body).json["predictions"]
    as_csv = server.invoke(body, accept="text/csv")
    assert as_csv.kind == "text/csv"
    cells = list(csv.reader(io.StringIO(as_csv.body.decode())))
    regression = case.schema["problem"] == "regression"
    if regression:
        assert [float(line[0]) for line in cells] == [each["prediction"] for each in whole]
    else:
        assert [line[0] for line in cells] == [each["prediction"] for each in whole]
        keys = [each.get("score", each["confidence"]) for each in whole]
        assert [float(line[1]) for line in cells] == keys
    lines = server.invoke(body, accept="application/jsonlines")
    assert [json.loads(line) for line in lines.body.splitlines()] == whole
    for accept in ("image/png, */*;q=0.1", "text/*", "application/*;q=0.5"):
        assert server.invoke(body, accept=accept).status == 200
    for accept in ("image/png", "application/json;q=0", "x"):
        refused = server.invoke(body, accept=accept)
        assert refused.status == 406
        assert "answers are application/json" in refused.json["error"]


def test_an_explanation_adds_up_to_the_score(case: Case, server: ModelServer) -> None:
    """Contributions and the expected value sum to the score, in the units that are told."""
    body = json.dumps({"instances": case.rows[:3], "explain": True})
    said = server.invoke(body)
    assert said.status == 200, said.body
    for found in said.json["predictions"]:
        total = sum(found["contributions"].values()) + found["expected"]
        if found["units"] == "label":
            assert total == pytest.approx(found["prediction"], rel=1e-6)
        elif case.schema["problem"] == "binary":
            assert total == pytest.approx(math.log(found["score"] / (1 - found["score"])), rel=1e-6)
        else:
            # Of several classes only differences of log-odds are told: the best one leads.
            assert found["units"] == "log-odds"
            assert math.isfinite(total)
    assert server.invoke(body, accept="text/csv").status == 406
    many = json.dumps({"instances": case.rows[:101], "explain": True})
    assert "at most 100" in server.invoke(many).json["error"]


def test_batch_transform_learns_how_to_send(case: Case, server: ModelServer) -> None:
    """Many rows a request, a request a worker."""
    found = server.ask("GET", "/execution-parameters").json
    assert found == {
        "MaxConcurrentTransforms": 2,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 6,
    }


CENSUS = {
    "age": 39,
    "workclass": "State-gov",
    "fnlwgt": 77516,
    "education": "Bachelors",
    "education_num": 13,
    "marital_status": "Never-married",
    "occupation": "Adm-clerical",
    "relationship": "Not-in-family",
    "race": "White",
    "sex": "Male",
    "capital_gain": 2174,
    "capital_loss": 0,
    "hours_per_week": 40,
    "native_country": "United-States",
}


@pytest.mark.parametrize("case", ["census"], indirect=True)
@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        ({"age": "thirty"}, "age", '"thirty" is not a whole number; expected a whole number from'),
        ({"age": None}, "age", "one is required"),
        ({"age": 131}, "age", "above the maximum 130"),
        ({"age": 10**30}, "age", "is not a whole number"),
        ({"age": 39.5}, "age", "is not a whole number"),
        ({"age": True}, "age", '"true" is not a whole number'),
        ({"age": [39]}, "age", "a list is not a whole number"),
        ({"age": {"x": 1}}, "age", "a dict is not a whole number"),
        ({"fnlwgt": 10**19}, "fnlwgt", "is not a whole number"),
        ({"sex": "Other"}, "sex", "none of the levels Female, Male; expected one of Female, Male"),
        ({"sex": ""}, "sex", "one is required"),
        ({"education": None}, "education", "one is required"),
    ],
)
def test_a_bad_value_is_a_400_with_row_column_and_what_was_expected(
    server: ModelServer, change: dict[str, Any], column: str, words: str
) -> None:
    """One row, the second of two, and the last of so many that they make a frame: same words."""
    bad = {**CENSUS, **change}
    many = [*([CENSUS] * 150), bad]
    for body, number in (
        (bad, 1),
        ({"instances": [CENSUS, bad]}, 2),
        ({"instances": many}, len(many)),
    ):
        said = server.invoke(json.dumps(body))
        assert said.status == 400
        assert (said.json["row"], said.json["column"]) == (number, column)
        assert said.json["error"].startswith(f"row {number}, {column}: ")
        assert words in said.json["error"]
        assert said.json["expected"] in said.json["error"]


@pytest.mark.parametrize("case", ["census"], indirect=True)
def test_what_the_schema_allows_is_scored(server: ModelServer) -> None:
    """A level that an open column never saw and a missing optional value are the same; other
    columns are told back; a missing required column is a 400."""
    known = server.invoke(json.dumps(CENSUS)).json["predictions"][0]["score"]
    gone = {name: value for name, value in CENSUS.items() if name != "native_country"}
    scores = [
        server.invoke(json.dumps(row)).json["predictions"][0]["score"]
        for row in (gone, {**CENSUS, "native_country": "Atlantis"}, {**gone, "native_country": "?"})
    ]
    assert len(set(scores)) == 1
    extra = server.invoke(json.dumps({**CENSUS, "zip": 1})).json
    assert extra["ignored"] == ["zip"]
    assert extra["predictions"][0]["score"] == known
    lacking = server.invoke(json.dumps({n: v for n, v in CENSUS.items() if n != "age"}))
    assert (lacking.status, lacking.json["column"]) == (400, "age")


@pytest.mark.parametrize("case", ["census"], indirect=True)
@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("", "application/json", 400),
        ("", "text/csv", 400),
        ("{", "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        ('{"age": NaN}', "application/json", 400),
        ('{"age": 1e999}', "application/json", 400),
        (b"\xff\xfe\x00", "text/csv", 400),
        (b"\xff\xfe\x00", "application/jsonlines", 400),
        ("1,2,3", "text/csv", 400),
        ("x", "image/png", 415),
    ],
)
def test_a_bad_body_is_refused_without_a_stack_trace(
    server: ModelServer, body: str | bytes, kind: str, status: int
) -> None:
    """Words, no traceback, and the next request is served."""
    said = server.invoke(body, kind)
    assert said.status == status
    assert said.json["error"]
    assert b"Traceback" not in said.body
    assert b'File "' not in said.body
    assert server.invoke(json.dumps(CENSUS)).status == 200


@pytest.mark.parametrize("case", ["salary"], indirect=True)
def test_a_server_refuses_what_was_not_judged(case: Case) -> None:
    """Another valid model, or no word of which was judged: every ping fails, the log says why."""
    good = case.place / "model" / "model.json"
    judged = good.read_text()
    changed = json.loads(judged)
    changed["intercept"] += 1
    good.write_text(json.dumps(changed))
    try:
        with serving(
            case.place, case.code, python=case.python, awaits=500, variables=case.variables
        ) as server:
            assert "is not the one that was judged" in server.text()
            assert server.invoke(case.line(case.rows[0]), "text/csv").status == 500
        with serving(case.place, case.code, python=case.python, awaits=500) as server:
            assert f"the variable {MODEL_VARIABLE} is not set" in server.text()
        by_hand = {UNVERIFIED_VARIABLE: "yes"}
        with serving(case.place, case.code, python=case.python, variables=by_hand) as server:
            said = server.invoke(case.line(case.rows[0]), "text/csv")
            assert said.status == 200
            assert said.json["version"] is None
    finally:
        good.write_text(judged)


def test_a_predict_row_that_differs_fails_the_training(jobs_python: Path, tmp_path: Path) -> None:
    """The text shows both scores and the row; the same holds for one that raises."""
    (table,) = synthetic_dataset("salary").tables
    data = tmp_path / table.name
    data.write_text(table.text())
    source = example("salary")
    for number, (body, words) in enumerate(
        [
            ('return model["intercept"]', "predict_row() in model.py of salary answers"),
            ('return row["no such"]', "predict_row() in model.py of salary raised KeyError"),
            ("return [1.0, 2.0]", "predict_row() in model.py of salary returned scores of shape"),
        ]
    ):
        folder = tmp_path / str(number) / "salary"
        folder.mkdir(parents=True)
        (folder / "model.yaml").write_text((source / "model.yaml").read_text())
        model = (source / "model.py").read_text()
        head, tail = model.split("def predict_row", 1)
        rest = tail.split("\n\n\n", 1)[1]
        (folder / "model.py").write_text(
            f"{head}def predict_row(model, row):\n    {body}\n\n\n{rest}"
        )
        code, lines, errors = check(jobs_python, folder, data)
        assert code != 0
        assert words in lines[-1]["words"] + errors
        failed = [line for line in lines if line.get("status") == "failed"]
        assert [line["step"] for line in failed] == ["train"]
