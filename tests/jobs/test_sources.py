"""Labelled traffic and reviews: merged, judged object by object, and told by source."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from perennial.domain.capture import Exchange, captured, file_body, file_key
from perennial.domain.settings import Settings

from tests.jobs.conftest import Done, Workbench, project_settings

SETTINGS = """
problem: binary
label: y
positive: "yes"
facets: {c: {}}
data:
  columns:
    x: {type: float, min: 0}
    c: {type: category, levels: [a, b]}
    y: {type: category, levels: ["no", "yes"], aliases: {"1": "yes", "0": "no"}}
  sources: {landed: 1, labelled-traffic: 1, reviews: 1}
  min_rows: 10
gates: {auc: {min: 0.5}}
"""
MODEL = """
def prepare(frame):
    return frame[["x"]] * 1.0

def train(train, validation, hyperparameters):
    return {"middle": float(train["x"].mean()), "rows": len(train)}

def predict(model, frame):
    return (frame["x"] > model["middle"]) * 1.0
"""
CAPTURE = "capture/small/small-main/main/2026/11/20/10/"
LABELS = "labels/small/2026/11/20/"


def project(folder: Path, model: str = MODEL, settings: str = SETTINGS) -> Path:
    """A small project's folder."""
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(model)
    (folder / "model.yaml").write_text(settings)
    return folder


@pytest.fixture(scope="module")
def bench(jobs_python: Path, s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Jobs of the small project."""
    folder = tmp_path_factory.mktemp("sources")
    return Workbench(jobs_python, s3, folder, project(folder / "small"))


@pytest.fixture(scope="module")
def settings(bench: Workbench) -> Settings:
    """Its settings."""
    return project_settings(bench.project)


def capture(
    event: str,
    data: str,
    *,
    kind: str = "text/csv",
    encoding: str = "CSV",
    inference: str | None = None,
) -> str:
    """A line of SageMaker's data capture."""
    metadata = {"eventId": event, "inferenceTime": "2026-11-20T10:00:00Z"}
    if inference is not None:
        metadata["inferenceId"] = inference
    answer = {"observedContentType": kind, "mode": "OUTPUT", "data": "0.5", "encoding": "CSV"}
    asked = {"observedContentType": kind, "mode": "INPUT", "data": data, "encoding": encoding}
    both = {"endpointInput": asked, "endpointOutput": answer}
    return json.dumps({"captureData": both, "eventMetadata": metadata, "eventVersion": "0"})


def truth(event: str, data: str, encoding: str = "CSV") -> str:
    """A line of ground truth."""
    return json.dumps(
        {
            "groundTruthData": {"data": data, "encoding": encoding},
            "eventMetadata": {"eventId": event},
            "eventVersion": "0",
        }
    )


def review(x: Any, c: str, label: Any, **more: Any) -> str:
    """A line of a label set."""
    return json.dumps({"row": {"x": x, "c": c}, "label": label, **more})


def text(*lines: str) -> bytes:
    """The lines of a file."""
    return ("\n".join(lines) + "\n").encode()


def land(bench: Workbench, key: str, body: bytes, at_ms: int = 0) -> dict[str, Any]:
    """Put an object; its entry with the source that its key says."""
    source = {"capture": "labelled-traffic", "labels": "labelled-traffic", "reviews": "reviews"}
    entry = bench.land(key, body)
    entry["source"] = source.get(key.partition("/")[0], "landed")
    if at_ms:
        entry["last_modified_ms"] = at_ms
    return entry


def base_rows(first: int = 0, count: int = 40) -> bytes:
    """Landed rows, half of them hits."""
    rows = [f"{first + i},{'ab'[i % 2]},{'yes' if i % 2 else 'no'}" for i in range(count)]
    return text("x,c,y", *rows)


def table(bench: Workbench, done: Done) -> list[dict[str, Any]]:
    """All rows of holdout, and of training with their facets."""
    code = (
        "import json,sys,pyarrow as a,pyarrow.parquet as q;"
        "h=q.read_table(sys.argv[1]+'/holdout/rows.parquet');"
        "t=q.read_table(sys.argv[1]+'/training/rows.parquet');"
        "f=q.read_table(sys.argv[1]+'/training/facets.parquet');"
        "assert f.column('__row')==t.column('__row');"
        "t=t.drop_columns(['y']).append_column('y',f.column('y'))"
        ".append_column('c',f.column('c')).append_column('__landed',f.column('__landed'));"
        "print(json.dumps([h.to_pylist(),t.to_pylist(),f.column_names]))"
    )
    found = subprocess.run(
        [bench.python, "-c", code, str(done.base / "processing/output")],
        capture_output=True,
        check=True,
        text=True,
    )
    held, trained, names = json.loads(found.stdout)
    assert names == ["__row", "y", "c", "__landed", "__source"]
    assert all({"__landed", "__source", "__producer"} <= set(row) for row in held)
    return [*held, *trained]


def objects(done: Done) -> dict[str, dict[str, Any]]:
    """The report's objects by key."""
    return {entry["key"]: entry for entry in done.json("check/report.json")["objects"]}


#: A request as `predict` captures it, where SageMaker captures nothing; delivered twice.
OURS = Exchange(
    model="small",
    endpoint="small-next",
    variant="main",
    request_id="11111111-2222-3333-4444-555555555555",
    at_ms=1_795_168_800_000,
    sent=json.dumps({"instances": [{"x": 1012, "c": "a"}]}).encode(),
    sent_type="application/json",
    answered=b'{"predictions": [{"prediction": "no"}]}',
    answered_type="application/json",
)
OUR_LINES = [("m1", captured(OURS)), ("m2", captured(OURS))]
OUR_FILE = file_key(OUR_LINES)


@pytest.fixture(scope="module")
def merged(bench: Workbench, settings: Settings) -> Done:
    """Every encoding of captured requests, with labels before, after and twice."""
    lines = base64.b64encode
    requests = [
        capture("e1", "1001,a\n"),
        capture("e2", "x,c\n1002,b"),
        capture("e3", "1003,a", inference="mine"),
        capture("e4", json.dumps({"x": 1004, "c": "b"}), kind="application/json", encoding="JSON"),
        capture(
            "e5",
            lines(
                json.dumps({"instances": [{"c": "a", "x": 1005}, [1006, "b"]]}).encode()
            ).decode(),
            kind="application/json",
            encoding="BASE64",
        ),
        capture("e6", lines(b"1007,a\n").decode(), kind="text/csv", encoding="BASE64"),
        capture(
            "e7",
            lines(b'{"x": 1008, "c": "b"}\n{"x": 1009, "c": "a"}\n').decode(),
            kind="application/jsonlines",
            encoding="BASE64",
        ),
        capture("e8", json.dumps([1010, "b"]), kind="application/json", encoding="JSON"),
        capture("nobody", "1011,a"),
        capture("e1", "1001,a"),
    ]
    entries = [
        land(bench, "incoming/small/acme/eu/data.csv", base_rows(), 5_000),
        land(bench, "incoming/small/plain.csv", base_rows(100, 20), 5_000),
        land(bench, CAPTURE + "one.jsonl", text(*requests), 9_000),
        land(bench, OUR_FILE, file_body(OUR_LINES), 9_500),
        land(bench, LABELS + "10/a.jsonl", text(truth("e1", "0"), truth("e2", "1")), 2_000),
        land(
            bench,
            LABELS + "11/b.jsonl.gz",
            gzip.compress(
                text(
                    truth("e1", "1"),
                    truth("mine", json.dumps("yes"), "JSON"),
                    truth("e4", lines(b"no").decode(), "BASE64"),
                    truth("e5", json.dumps(["yes", "no"]), "JSON"),
                    truth("e6", "1"),
                    truth("e7", "1\n0\n"),
                    truth("e8", "1"),
                    truth(OURS.request_id, "1"),
                    truth("never captured", "1"),
                )
            ),
            3_000,
        ),
        land(
            bench,
            "reviews/small/set-1.jsonl",
            text(review(2001, "a", "yes", reviewed_ms=1_500), review("2002", "b", 0)),
            4_000,
        ),
    ]
    done = bench.check(settings, entries, name="merged")
    assert done.code == 0, done.log
    return done


def test_every_encoding_of_a_request_is_read(bench: Workbench, merged: Done) -> None:
    """CSV, JSON and BASE64; one row or several; by inferenceId, else by eventId."""
    rows = {row["x"]: row for row in table(bench, merged) if row["__source"] == "labelled-traffic"}
    assert {x: row["y"] for x, row in sorted(rows.items())} == {
        1001: "yes",
        1002: "yes",
        1003: "yes",
        1004: "no",
        1005: "yes",
        1006: "no",
        1007: "yes",
        1008: "yes",
        1009: "no",
        1010: "yes",
        1012: "yes",
    }
    # A row is as old as its label: e2's came with the first file, all others with the second.
    assert {x for x, row in rows.items() if row["__landed"] == 2_000} == {1002}
    assert all(row["__landed"] == 3_000 for x, row in rows.items() if x != 1002)


def test_the_report_counts_what_was_merged(merged: Done) -> None:
    """The newest label wins; a request without a label and a label without one are told."""
    report = merged.json("check/report.json")
    assert report["traffic"] == {
        "labels": 11,
        "replaced": 1,
        "unlabelled": 1,
        "unmatched": 1,
        "repeated": 2,
    }
    found = objects(merged)
    assert found[OUR_FILE]["notices"] == ["captured twice, counted once: 1"]
    assert found[CAPTURE + "one.jsonl"]["notices"] == [
        "captured requests without a label: 1",
        "captured twice, counted once: 1",
    ]
    assert found[LABELS + "10/a.jsonl"]["notices"] == []
    assert found[LABELS + "11/b.jsonl.gz"]["notices"] == ["labels without a captured request: 1"]
    assert not any(entry["quarantined"] for entry in found.values())


def test_the_report_counts_sources_and_producers(merged: Done) -> None:
    """Good rows by source, and by the folders below the model's prefix."""
    report = merged.json("check/report.json")
    assert report["sources"] == {"landed": 60, "labelled-traffic": 11, "reviews": 2}
    assert report["producers"] == {
        "acme/eu": 40,
        "": 20,
        "(labelled-traffic)": 11,
        "(reviews)": 2,
    }
    assert report["labels"] == {"oldest_ms": 2_000, "newest_ms": 5_000}
    assert merged.json("check/summary.json")["rows"]["good"] == 73


def test_reviews_are_rows_like_others(bench: Workbench, merged: Done) -> None:
    """Typed or as text, with labels by their aliases; they landed when their set did."""
    rows = [row for row in table(bench, merged) if row["__source"] == "reviews"]
    assert sorted((row["x"], row["c"], row["y"], row["__landed"]) for row in rows) == [
        (2001, "a", "yes", 4_000),
        (2002, "b", "no", 4_000),
    ]


BAD = {
    CAPTURE + "broken.jsonl": (text(capture("b1", "1,a"), '{"captureData": '), "no JSON"),
    CAPTURE + "other.jsonl": (text('{"some": "thing"}'), "captureData.endpointInput is missing"),
    CAPTURE + "nobody.jsonl": (
        text(json.dumps({"captureData": {"endpointInput": {}}})),
        "neither an inferenceId nor an eventId",
    ),
    CAPTURE + "wide.jsonl": (text(capture("b1", "1,a,2")), "has 3 values; expected 2"),
    CAPTURE + "two.jsonl": (text(capture("b1", "1,a\n2,b")), "has 2 rows, its ground truth 1"),
    CAPTURE + "range.jsonl": (text(capture("b1", "-1,a")), "-1.0 is below the minimum 0"),
    CAPTURE + "kind.jsonl": (
        text(capture("b1", base64.b64encode(b"\x89PNG").decode(), encoding="BASE64", kind="image")),
        "no BASE64 of UTF-8 text",
    ),
    CAPTURE + "pickle.jsonl": (
        text(capture("b1", "YQ==", encoding="BASE64", kind="application/x-npy")),
        "content type application/x-npy cannot be read",
    ),
    CAPTURE + "empty.jsonl": (b"", "the file holds no rows"),
    CAPTURE + "binary.jsonl": (b"\0\1", "holds binary data"),
    LABELS + "broken.jsonl": (text(truth("b2", "1"), "{"), "no JSON"),
    LABELS + "level.jsonl": (text(truth("b2", "2")), "none of the levels"),
    LABELS + "none.jsonl": (text(truth("b2", "")), "groundTruthData holds no label"),
    LABELS + "several.jsonl": (text(truth("b2", "1,0")), "more than one value a line"),
    LABELS + "encoding.jsonl": (text(truth("b2", "1", "XML")), "none of CSV, JSON, BASE64"),
    LABELS + "object.jsonl": (text(truth("b2", '{"a": 1}', "JSON")), "a dict, no single value"),
    "reviews/small/broken.jsonl": (text("not json"), "no JSON"),
    "reviews/small/form.jsonl": (text('{"x": 1, "c": "a", "y": 1}'), "it takes row"),
    "reviews/small/when.jsonl": (text(review(1, "a", 1, reviewed_ms="now")), "no time in whole"),
    "reviews/small/label.jsonl": (text(review(1, "a", "maybe")), "none of the levels"),
    "reviews/small/feature.jsonl": (text(review(None, "a", 1)), "no value, but one"),
}


@pytest.fixture(scope="module")
def damaged(bench: Workbench, settings: Settings) -> Done:
    """Every damaged object beside good ones."""
    entries = [
        land(bench, "incoming/small/data.csv", base_rows(), 5_000),
        land(bench, CAPTURE + "good.jsonl", text(capture("b2", "3001,a")), 5_000),
        # b2 is labelled here and, later, in objects that are refused: those must not count.
        land(bench, LABELS + "a.jsonl", text(truth("b1", "1"), truth("b2", "0")), 5_000),
        *(land(bench, key, body, 6_000) for key, (body, _) in BAD.items()),
    ]
    done = bench.check(settings, entries, name="damaged")
    assert done.code == 0, done.log
    return done


@pytest.mark.parametrize("key", BAD)
def test_a_damaged_object_is_quarantined(key: str, damaged: Done) -> None:
    """With its reason, as landed ones are."""
    entry = objects(damaged)[key]
    assert entry["quarantined"]
    assert BAD[key][1] in entry["reason"], entry["reason"]


def test_what_is_refused_leaves_nothing_behind(bench: Workbench, damaged: Done) -> None:
    """Labels of a refused object do not count, and a refused capture uses up no label."""
    found = objects(damaged)
    good = {key for key, entry in found.items() if not entry["quarantined"]}
    assert good == {"incoming/small/data.csv", CAPTURE + "good.jsonl", LABELS + "a.jsonl"}
    rows = [row for row in table(bench, damaged) if row["__source"] == "labelled-traffic"]
    assert [(row["x"], row["y"]) for row in rows] == [(3001, "no")]
    assert found[LABELS + "a.jsonl"]["notices"] == ["labels without a captured request: 1"]


def test_a_few_bad_lines_are_dropped_when_the_settings_say_so(bench: Workbench) -> None:
    """`max_bad_rows` holds for captures and labels too; the good lines stay."""
    lenient = project_settings(bench.project, data__max_bad_rows=1)
    entries = [
        land(bench, "incoming/small/data.csv", base_rows()),
        land(bench, CAPTURE + "c.jsonl", text("{", capture("c1", "4001,a"))),
        land(bench, LABELS + "c.jsonl", text("[]", truth("c1", "1"))),
    ]
    done = bench.check(lenient, entries, name="lenient")
    assert [entry["bad_rows"] for entry in objects(done).values()] == [0, 1, 1]
    assert done.json("check/report.json")["sources"] == {"landed": 40, "labelled-traffic": 1}


def test_a_later_review_replaces_an_earlier_one(bench: Workbench) -> None:
    """With an identity, the moment of the review decides, not where it stands; no clock that
    runs ahead outdoes a row that landed later."""
    named = project_settings(bench.project, data__identity=["x"])
    entries = [
        land(bench, "incoming/small/data.csv", base_rows(), 1_000),
        land(
            bench,
            "reviews/small/a.jsonl",
            text(
                review(0, "a", "yes", reviewed_ms=8_000),
                review(0, "b", "no", reviewed_ms=7_000),
                review(1, "a", "no", reviewed_ms=99_000),
            ),
            9_000,
        ),
        land(bench, "incoming/small/late.csv", text("x,c,y", "1,b,yes"), 10_000),
    ]
    done = bench.check(named, entries, name="reviewed")
    rows = {row["x"]: row for row in table(bench, done)}
    assert (rows[0]["y"], rows[0]["c"]) == ("yes", "a")
    assert (rows[1]["y"], rows[1]["c"], rows[1]["__source"]) == ("yes", "b", "landed")
    assert done.json("check/summary.json")["rows"]["replaced"] == 4


def test_unequal_weights_need_a_train_that_takes_them(bench: Workbench) -> None:
    """Else they would be lost without a word."""
    unequal = project_settings(bench.project, data__sources={"landed": 1, "reviews": 3})
    entries = [
        land(bench, "incoming/small/data.csv", base_rows()),
        land(bench, "reviews/small/a.jsonl", text(review(5, "a", "yes"))),
    ]
    checked = bench.check(unequal, entries, name="unequal")
    done = bench.train(unequal, checked, name="unequal-train")
    assert done.code == 1
    assert done.failure.startswith("ModelError: train() in model.py of small takes no weights")
    assert "landed 1, reviews 3" in done.failure


def test_weights_reach_train_by_source(bench: Workbench, tmp_path: Path) -> None:
    """A Series beside the rows to learn from; sources of one weight need none."""
    weighing = MODEL.replace("hyperparameters):", "hyperparameters, *, weights):").replace(
        "len(train)}",
        'len(train), "weights": weights.value_counts().to_dict(), '
        '"aligned": bool((weights.index == train.index).all())}',
    )
    own = Workbench(bench.python, bench.s3, tmp_path, project(tmp_path / "small", weighing))
    unequal = project_settings(own.project, data__sources={"landed": 1, "reviews": 2.5})
    entries = [
        land(own, "incoming/small/data.csv", base_rows()),
        land(own, "reviews/small/a.jsonl", text(*(review(i, "a", "yes") for i in range(50, 70)))),
    ]
    checked = own.check(unequal, entries, name="weighed")
    done = own.train(unequal, checked, name="weighed-train")
    assert done.code == 0, done.log
    model = json.loads((done.base / "model" / "model.json").read_text())
    metadata = json.loads((done.base / "model" / "metadata.json").read_text())
    counts = metadata["sources"]
    assert model["weights"] == {"1.0": counts["landed"], "2.5": counts["reviews"]}
    assert model["aligned"]
    assert sum(counts.values()) == model["rows"] == metadata["rows"]["training"]
