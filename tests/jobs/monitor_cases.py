"""Runs in the jobs' environment: every case of the monitors, one result each, as JSON."""

from __future__ import annotations

import base64
import gzip
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from perennial.domain.captured import Scored

from jobs import pair_earlier
from jobs.archives import pack
from jobs.baseline import attribution, model_quality
from jobs.casting import ROW, Caster, TrainingSchema, describe_prepared
from jobs.check_data import write_json
from jobs.engine.checks import Finding
from jobs.evaluate import write_predictions
from jobs.failures import JobError
from jobs.model_quality import statistics
from jobs.monitor_config import MonitorConfig
from jobs.monitor_report import Report
from jobs.pair_earlier import paired
from jobs.truth import Row
from jobs.window_bias import Counts, measure, positive_of
from jobs.window_rows import FILE, LOSS, WindowRows
from tests.jobs.monitor_world import (
    FEATURES,
    HOUR,
    SETTINGS,
    START,
    World,
    csv,
    line,
    lines,
    rows,
    text,
    truth,
)

JSON = {"kind": "application/json", "encoding": "JSON"}
LINE = """
def prepare(frame):
    return frame[["age", "share"]].fillna(0.0)

def predict(model, frame):
    import numpy as np
    score = sum(model[name] * frame[name].to_numpy(float) for name in ("age", "share"))
    return 1 / (1 + np.exp(-score))

def coefficients(model):
    return {"intercept": 0.0, "coefficients": model}

def preprocess_record(record):
    if record["job"] == "driver":
        return None
    return {**record, "age": int(record["age"]) + 40}
"""


def world(folder: Path) -> World:
    """A data-quality baseline of 2,000 rows."""
    return World(folder, rows(2_000))


def calm(folder: Path) -> Any:
    """A window of the same distribution; then the job's files."""
    made = world(folder)
    made.captured(lines(rows(500, 1)))
    report = made.run()
    names = ("statistics", "constraints", "constraint_violations")
    report["files"] = {n: made.output(f"{n}.json") for n in names}
    return report


def drifted(folder: Path, **settings: Any) -> Any:
    """Everybody is 12 years older."""
    made = world(folder)
    made.captured(lines([{**row, "age": row["age"] + 12} for row in rows(500, 1)]))
    report = made.run(settings=settings)
    report["files"] = {"constraint_violations": made.output("constraint_violations.json")}
    return report


def overridden(folder: Path) -> Any:
    """The same drift, with a bound of its own, and watched not at all."""
    kinds = {
        "bound": {"features": {"age": {"distance": 0.4, "method": "simple"}}},
        "off": {"features": {"age": {"evaluate": False}}},
        "all": {"distance": 0.5},
    }
    found = {name: drifted(folder / name, **settings) for name, settings in kinds.items()}
    made = world(folder / "file")
    made.captured(lines([{**row, "age": row["age"] + 12} for row in rows(500, 1)]))
    for spelling in ("monitoring_config_overrides", "monitoringConfigOverrides"):
        document = made.read("baseline/constraints.json")
        document["features"][0][spelling] = {
            "distribution_constraints": {"comparison_threshold": 0.9}
        }
        made.put("baseline/constraints.json", document)
        found[spelling] = made.run()
    return found


def encodings(folder: Path) -> Any:
    """One window in every encoding that capture has: the same figures each time."""
    given = rows(40, 1)
    typed = [{name: row[name] for name in FEATURES} for row in given]
    encode = [base64.b64encode(csv(row).encode()).decode() for row in given]
    forms = {
        "csv": lines(given),
        "csv-header": [line(f"{','.join(FEATURES)}\n{csv(row)}") for row in given],
        "csv-quoted": [line(csv(row).replace("cook", '"cook"')) for row in given],
        "csv-rows": [line("".join(map(csv, given)))],
        "json": [line(json.dumps(row), **JSON) for row in typed],
        "json-instances": [line(json.dumps({"instances": typed}), **JSON)],
        "json-values": [line(json.dumps([list(row.values()) for row in typed]), **JSON)],
        "base64-csv": [line(data, encoding="BASE64") for data in encode],
        "base64-lines": [
            line(
                base64.b64encode("\n".join(map(json.dumps, typed)).encode()).decode(),
                kind="application/jsonlines",
                encoding="BASE64",
            )
        ],
    }
    found = {}
    for name, captured in forms.items():
        made = world(folder / name)
        made.captured(captured)
        found[name] = brief(made)
    return found | datasets(folder, given)


def datasets(folder: Path, given: list[dict[str, Any]]) -> Any:
    """The same rows as files that are no capture."""
    found = {}
    kinds = {"age": pa.int64(), "share": pa.float64(), "member": pa.bool_()}
    columns = {n: pa.array([row[n] for row in given], kinds.get(n, pa.string())) for n in FEATURES}
    head = ",".join(FEATURES)
    bodies: dict[str, Callable[[Path], Any]] = {
        "csv": lambda path: path.write_text(f"{head}\n" + "".join(map(csv, given))),
        "jsonlines": lambda path: path.write_text(
            "".join(json.dumps({n: row[n] for n in FEATURES}) + "\n" for row in given)
        ),
        "parquet": lambda path: pq.write_table(pa.table(columns), path),
    }
    for form, write in bodies.items():
        made = world(folder / f"file-{form}")
        made.capture.mkdir()
        write(made.capture / "rows")
        found[f"file-{form}"] = brief(made, format=form)
    return found


def brief(made: World, **more: Any) -> Any:
    """What must not depend on the encoding."""
    report = made.run(**more)
    return [report.get("failure"), report["rows"], report["figures"], report["violations"]]


def bad(folder: Path) -> Any:
    """Bad windows, each beside the same baseline."""
    half = [each[: len(each) // 2] for each in lines(rows(10, 2))]
    good = rows(300, 1)
    row = {name: good[0][name] for name in FEATURES}
    wrong = [{**row, "age": "n/a" if i % 3 else row["age"]} for i, row in enumerate(good)]
    cases: dict[str, list[str | bytes]] = {
        "empty": [],
        "one_record": lines(rows(1, 1)),
        "all_missing": [line(",,,\n") for _ in range(300)],
        "unseen_column": [
            line(json.dumps({**{n: r[n] for n in FEATURES}, "shoe": 43}), **JSON) for r in good
        ],
        "lost_column": [
            line(json.dumps({n: r[n] for n in FEATURES if n != "job"}), **JSON) for r in good
        ],
        "too_narrow": [line("1,2,3\n") for _ in range(50)] + list(lines(good)),
        "types": lines(wrong),
        "fractions": lines([{**row, "age": row["age"] + 0.5} for row in good]),
        "infinities": lines([{**row, "share": math.inf if i % 2 else row["share"]}
                             for i, row in enumerate(good)]),
        "unseen_level": lines([{**row, "job": "pilot" if i % 4 else row["job"]}
                               for i, row in enumerate(good)]),
        "one_unseen_level": lines([*good, {**good[0], "job": "pilot"}]),
        "half_lines": [*half, *lines(good)],
        "bytes": [b"\xff\xfe{", *lines(good)],
        "on_the_edge": [
            line(json.dumps(row), at=at, **JSON) for at in (START - 1000, START, START + HOUR)
        ] + lines(good),
        "half_character": [line(json.dumps({**row, "job": "\ud800"}), **JSON),
                           line(json.dumps({**row, "\udfff": 1}), **JSON), *lines(good)],
        "binary": [line("AAECAw==", kind="image/png", encoding="BASE64"), *lines(good)],
    }  # fmt: skip
    found = {}
    for name, captured in cases.items():
        made = world(folder / name)
        made.captured(captured)
        found[name] = made.run()
    found["no_objects"] = world(folder / "nothing").run()
    made = world(folder / "gzip")
    made.captured(lines(good))
    path = next(made.capture.rglob("*.jsonl"))
    path.write_bytes(gzip.compress(path.read_bytes())[:-20])
    found["cut_gzip"] = made.run()
    return found


def many_categories(folder: Path) -> Any:
    """Requests with a category each, far more than are counted one by one."""
    made = world(folder)
    good = rows(1, 1)[0]
    made.captured([line(csv({**good, "job": f"job {i}"})) for i in range(30_000)])
    return made.run()


def places(folder: Path) -> Any:
    """Two endpoints in one prefix, clocks that are off, hours and versions beside the window."""
    made = world(folder)
    made.captured(lines(rows(50, 1)))
    made.captured(lines(rows(70, 2)), place="other/main")
    made.captured(lines(rows(30, 3)), place="ep/challenger")
    made.captured(lines(rows(5, 4)), hour=START + HOUR, name="late")
    made.captured(lines(rows(6, 5), at=START + HOUR), hour=START + HOUR, name="next")
    made.captured(lines(rows(7, 6), at=START - 1000), hour=START - HOUR, name="before")
    made.captured(lines(rows(8, 7)), hour=START + 5 * HOUR, name="far")
    answer = {"answer_kind": "application/json", "answer_encoding": "JSON"}
    told = [
        json.dumps({"predictions": [{"prediction": "no"}], "model": "shop", "version": version})
        for version in (7, 8)
    ]
    for number, said in enumerate(told):
        body = [line(csv(row), answer=said, **answer) for row in rows(10, 8)]
        made.captured(body, name=f"version-{number}")
        slow = [line(json.dumps({n: row[n] for n in FEATURES}), answer=said, **JSON, **answer)
                for row in rows(3, 8)]  # fmt: skip
        made.captured(slow, name=f"version-slow-{number}")
    found = {"whole": made.run()}
    # The job may be handed the variant's own folder, below folders of any name.
    inside = [str(made.capture / "ep" / "main")]
    found["inside"] = made.run(capture=inside)
    found["nobody's"] = made.run(capture=inside, endpoint="")
    return found


def nonsense(folder: Path) -> Any:
    """Constraints that a person broke, one way each."""
    breaks: dict[str, Callable[[dict[str, Any]], Any]] = {
        "completeness": lambda d: d["features"][0].update(completeness="lots"),
        "share": lambda d: d["features"][1].update(completeness=7),
        "list": lambda d: d.update(features={"age": 1}),
        "entry": lambda d: d["features"].__setitem__(0, "age"),
        "twice": lambda d: d["features"].append(d["features"][0]),
        "method": lambda d: d["monitoring_config"]["distribution_constraints"].update(
            comparison_method="Best"
        ),
        "threshold": lambda d: d["monitoring_config"]["distribution_constraints"].update(
            comparison_threshold=True
        ),
        "switch": lambda d: d["monitoring_config"].update(evaluate_constraints="maybe"),
        "domains": lambda d: d["features"][2]["string_constraints"].update(domains="cook"),
        "config": lambda d: d.update(monitoring_config=[]),
    }
    found = {}
    made = world(folder)
    made.captured(lines(rows(20, 1)))
    original = made.read("baseline/constraints.json")
    for name, change in breaks.items():
        document = json.loads(json.dumps(original))
        change(document)
        made.put("baseline/constraints.json", document)
        found[name] = made.run()
    made.paths.input("baseline/constraints.json").write_text("{")
    found["json"] = made.run()
    made.put("baseline/constraints.json", original)
    found["foreign_setting"] = made.run(settings={"features": {"shoe": {"distance": 0.2}}})
    made.put("baseline/statistics.json", {"features": [{"name": "age"}]})
    found["statistics"] = made.run()
    return found


def hook(folder: Path) -> Any:
    """A project's preprocess_record: it leaves drivers out and adds forty years."""
    made = world(folder)
    use_project(folder)
    made.captured(lines(rows(500, 1)))
    found = {"hook": made.run(settings={"preprocess": True})}
    (folder / "project" / "model.py").write_text("def predict(model, frame): ...\n"
                                                 "def train(a, b, c): ...\n"
                                                 "def prepare(frame): ...\n")  # fmt: skip
    found["none"] = made.run(settings={"preprocess": True})
    (folder / "project" / "model.py").write_text(LINE_WITH_TRAIN.replace("return None", "return 3"))
    found["no_row"] = made.run(settings={"preprocess": True})
    return found


LINE_WITH_TRAIN = LINE + "\ndef train(train, validation, hyperparameters):\n    return {}\n"


def use_project(folder: Path) -> None:
    """Let the job find the project's code."""
    (folder / "project").mkdir(parents=True, exist_ok=True)
    (folder / "project" / "model.py").write_text(LINE_WITH_TRAIN)
    os.environ["PERENNIAL_CODE_ROOT"] = str(folder)


def scored(count: int, seed: int, skill: float = 1.5) -> tuple[Any, Any]:
    """Labels and scores of a model of some skill."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    return labels, 1 / (1 + np.exp(-(skill * (2 * labels - 1) + random.normal(size=count))))


def quality_world(folder: Path) -> World:
    """A model-quality baseline of 3,000 rows."""
    made = World(folder, rows(50))
    document = statistics("binary", *scored(3_000, 0), ("no", "yes"), {})
    baseline = model_quality("binary", document)
    made.put("baseline/statistics.json", dict(baseline.facts))
    made.put("baseline/constraints.json", dict(baseline.constraints))
    return made


def answered(labels: Any, scores: Any, *, first: int = 0, score: bool = True) -> list[str]:
    """Captured answers as our server gives them."""
    found = []
    for i, (row, value) in enumerate(zip(rows(len(labels)), scores, strict=True), first):
        told: dict[str, Any] = {"prediction": "yes" if value >= 0.5 else "no"}
        if score:
            told["score"] = float(value)
        said = json.dumps({"predictions": [told], "model": "shop", "version": 7})
        data = json.dumps({n: row[n] for n in FEATURES})
        form = {"answer": said, "answer_kind": "application/json", "answer_encoding": "JSON"}
        found.append(line(data, event=f"e{i}", **JSON, **form))
    return found


def quality(folder: Path) -> Any:
    """Model quality of windows that are good, bad, small, and without scores."""
    found = {}
    cases: dict[str, Any] = {
        "calm": (500, 1.5, {}),
        "worse": (500, 0.4, {}),
        "small": (8, 0.4, {}),
        "unscored": (500, 1.5, {"score": False}),
    }
    for name, (count, skill, form) in cases.items():
        made = quality_world(folder / name)
        labels, scores = scored(count, 1, skill)
        made.captured(answered(labels, scores, **form))
        made.labels({f"e{i}": "yes" if label else "no" for i, label in enumerate(labels)})
        found[name] = made.run("model-quality", labels=[str(made.base / "labels")])
        if name == "calm":
            found["labels_and_scores"] = [labels.tolist(), scores.tolist()]
            found["statistics"] = made.output("statistics.json")
            bounds = {"auc": {"min": 0.9999}}
            more = {"labels": [str(made.base / "labels")], "settings": {"bounds": bounds}}
            found["bounded"] = made.run("model-quality", **more)
            found["violations"] = made.output("constraint_violations.json")
            bad_bound = {"labels": [], "settings": {"bounds": {"speed": {"min": 1}}}}
            found["bad_bound"] = made.run("model-quality", **bad_bound)
            document = made.read("baseline/constraints.json")
            document["binary_classification_constraints"]["auc"]["threshold"] = "high"
            made.put("baseline/constraints.json", document)
            found["nonsense"] = made.run("model-quality", labels=[])
    return found


def kept(folder: Path) -> Any:
    """Labelled rows that are kept for earlier versions, and one that is held against the live one.

    One request has two rows, one no label, one a job that the closed column does not know.
    """
    made = quality_world(folder)
    labels, scores = scored(8, 2)
    told = answered(labels, scores)
    both = {
        "data": json.dumps({"instances": [{n: row[n] for n in FEATURES} for row in rows(2)]}),
        "answer": json.dumps({"predictions": [{"prediction": "yes"}, {"prediction": "no"}]}),
    }
    form = {"answer_kind": "application/json", "answer_encoding": "JSON"}
    told.append(line(both["data"], event="two", answer=both["answer"], **JSON, **form))
    odd = json.dumps({**{n: rows(1)[0][n] for n in FEATURES}, "job": "pilot"})
    one = json.dumps({"predictions": [{"prediction": "yes"}]})
    told.append(line(odd, event="odd", answer=one, **JSON, **form))
    made.captured(told)
    given = {f"e{i}": "yes" if label else "no" for i, label in enumerate(labels[:7])}
    made.labels({**given, "two": "no\nno", "odd": "yes"})
    report = made.run("model-quality", labels=[str(made.base / "labels")], keep_rows=True)
    table = pq.read_table(made.paths.output("rows") / FILE)
    live = table.column(LOSS).to_numpy()
    codes = np.array([1 if each == "yes" else 0 for each in table.column("paid").to_pylist()])
    # The other version is always right but in the first row, and its file has another order.
    other = np.where(np.arange(len(codes)) == 0, 1 - codes, codes).astype(float)
    order = np.argsort(table.column(ROW).to_pylist())
    rows_ = table.column(ROW).take(pa.array(order))
    write_predictions(
        made.paths.output("evaluation") / "predictions.parquet", rows_, codes[order], other[order]
    )
    holdout = made.paths.input("holdout")
    pq.write_table(table, holdout / FILE)
    words = pair_earlier.run(made.paths, made.settings)
    pair = json.loads((made.paths.output("pair") / "pair.json").read_text("utf-8"))
    pq.write_table(table.slice(1), holdout / FILE)
    try:
        pair_earlier.run(made.paths, made.settings)
    except JobError as error:
        words += f" | {error}"
    sample = WindowRows(made.settings, TrainingSchema.of(made.settings, [set()] * 5), most=3)
    list(sample.watch(Row("no", Scored("no"), given_row(i), f"e{i}") for i in range(50)))
    return {
        "report": report,
        "rows": json.loads(table.drop_columns([ROW, LOSS]).to_pandas().to_json(orient="records")),
        "identities": table.column(ROW).to_pylist(),
        "live": live.tolist(),
        "pair": pair,
        "words": words,
        "sample": [len(sample.kept), sample.total, len({row[-2] for row in sample.kept})],
        "values": paired(
            "regression", np.array([0.0, 2.0]), np.array([4.0, 0.0]), np.array([0.0, 2.0])
        ),
        "not_kept": made.run("model-quality", labels=[])["counts"].get("rows_kept"),
    }


def given_row(number: int) -> dict[str, str]:
    """A row's features as texts."""
    return {name: text(rows(50)[number][name]) for name in FEATURES}


def merged(folder: Path) -> Any:
    """Labels that come late, twice, for nobody, with a mistake, and not at all."""
    made = quality_world(folder)
    labels, scores = scored(6, 2)
    both = answered(labels, scores)
    made.captured([*both, both[0]])
    made.labels({"e0": "no", "e1": "yes", "nobody": "yes", "e5": "perhaps"}, name="a")
    made.labels({"e0": "yes"}, hour=START + HOUR, name="b")
    made.labels({"e2": "yes"}, hour=START + 3 * HOUR, name="c")
    made.labels({"e3": "yes"}, hour=START + 9 * HOUR, name="too-late")
    broken = made.base / "labels" / "2026"
    path = next(broken.rglob("a.jsonl"))
    path.write_text(path.read_text() + truth("e4", "yes")[:40] + "\n")
    made.labels({"\ud800": "yes"}, name="half")
    damaged = gzip.compress("".join(truth(f"x{i}", "yes") for i in range(99)).encode())
    path.with_name("damaged.jsonl").write_bytes(damaged[:99] + b"x" * 99 + damaged[198:])
    place = [str(made.base / "labels")]
    told = {"labels": place, "delay_ms": 2 * HOUR, "labels_until_ms": START + 5 * HOUR}
    return {"merged": made.run("model-quality", **told), "alone": alone(folder / "alone")}


def alone(folder: Path) -> Any:
    """Labels without any prediction."""
    made = quality_world(folder)
    made.labels({"e0": "no", "e1": "yes"})
    return made.run("model-quality", labels=[str(made.base / "labels")])


def other_problems(folder: Path) -> Any:
    """Model quality of several classes and of values."""
    found = {}
    columns = SETTINGS["data"]["columns"]
    several = {**SETTINGS, "problem": "multiclass", "data": {"header": True, "columns": {
        **columns, "paid": {"type": "category", "levels": ["a", "b", "c"]}}}}  # fmt: skip
    several.pop("positive")
    several.pop("facets")
    values = {**several, "problem": "regression", "data": {"header": True, "columns": {
        **columns, "paid": {"type": "float"}}}}  # fmt: skip
    random = np.random.default_rng(0)
    for name, noise in (("calm", 0.0), ("worse", 0.6)):
        made = World(folder / f"classes-{name}", rows(50), several)
        codes, base = random.integers(0, 3, 400), random.integers(0, 3, 2_000)
        told = np.where(random.random(400) < 0.2 + noise, (codes + 1) % 3, codes)
        then = np.where(random.random(2_000) < 0.2, (base + 1) % 3, base)
        document = statistics("multiclass", base, np.eye(3)[then], ("a", "b", "c"), {})
        found[f"classes-{name}"] = judged(made, "multiclass", document, [
            ("abc"[code], json.dumps({"predictions": [{"prediction": "abc"[said]}]}))
            for code, said in zip(codes, told, strict=True)])  # fmt: skip
        made = World(folder / f"values-{name}", rows(50), values)
        real, known = random.normal(size=400), random.normal(size=2_000)
        document = statistics("regression", known, known + 0.3 * random.normal(size=2_000), (), {})
        found[f"values-{name}"] = judged(made, "regression", document, [
            (repr(float(value)), json.dumps({"predictions": [{"prediction": float(
                value + (0.3 + noise) * random.normal())}]}))
            for value in real])  # fmt: skip
    return found


def judged(made: World, problem: str, document: Any, pairs: list[tuple[str, str]]) -> Any:
    """Run the model-quality monitor on labels and answers."""
    baseline = model_quality(problem, document)
    made.put("baseline/statistics.json", dict(baseline.facts))
    made.put("baseline/constraints.json", dict(baseline.constraints))
    form = {"answer_kind": "application/json", "answer_encoding": "JSON"}
    made.captured([
        line(csv(row), event=f"e{i}", answer=pairs[i][1], **form)
        for i, row in enumerate(rows(len(pairs)))
    ])  # fmt: skip
    made.labels({f"e{i}": label for i, (label, _) in enumerate(pairs)})
    return made.run("model-quality", labels=[str(made.base / "labels")])


def grouped(count: int, seed: int, gap: float = 0.0) -> list[dict[str, Any]]:
    """Rows whose members are paid more often by `gap`, and a model that is right in 85 %."""
    random = np.random.default_rng(seed)
    found = rows(count, seed)
    for row in found:
        row["paid"] = "yes" if random.random() < 0.3 + gap * row["member"] else "no"
        right = random.random() < 0.85
        row["said"] = row["paid"] if right else "no" if row["paid"] == "yes" else "yes"
    return found


def bias(folder: Path) -> Any:
    """Bias of windows that are fair, unfair, and tiny; a person's own bound; nonsense."""
    made = World(folder, rows(50))
    positive = positive_of(made.settings, {})
    counted = Counts.gather(made.settings, positive, (
        Row(row["paid"], Scored(row["said"]), {n: text(row[n]) for n in FEATURES})
        for row in grouped(3_000, 0)))  # fmt: skip
    document = measure(made.settings, positive, counted).to_json()
    bounds = {key: value for key, value in document.items() if key != "perennial"}
    made.put("baseline/analysis.json", document)
    made.put("baseline/constraints.json", bounds)
    found: dict[str, Any] = {}
    more = {"labels": [str(made.base / "labels")]}
    for name, count, gap in (("calm", 800, 0.0), ("unfair", 800, 0.4), ("tiny", 15, 0.4)):
        window = grouped(count, 1, gap)
        made.captured([line(csv(r), event=f"e{i}", answer=r["said"]) for i, r in enumerate(window)])
        made.labels({f"e{i}": row["paid"] for i, row in enumerate(window)})
        found[name] = made.run("bias", **more)
        found[f"{name}-analysis"] = made.output("analysis.json")
        found[f"{name}-violations"] = made.output("constraint_violations.json")
    made.captured(lines(rows(3)))
    found["unlabelled"] = made.run("bias", labels=[])
    place = bounds["post_training_bias_metrics"]["facets"]["member"][1]["metrics"]
    edited = next(one for one in place if one["name"] == "DPPL")
    edited["value"] = 0.3
    made.put("baseline/constraints.json", bounds)
    window = grouped(800, 1, 0.4)
    made.captured([line(csv(r), event=f"e{i}", answer=r["said"]) for i, r in enumerate(window)])
    made.labels({f"e{i}": row["paid"] for i, row in enumerate(window)})
    found["edited"] = made.run("bias", **more)
    edited["value"] = "much"
    made.put("baseline/constraints.json", bounds)
    found["nonsense"] = made.run("bias", **more)
    return found


def attributed(folder: Path) -> Any:
    """Attribution of windows whose features vary as they did, and otherwise."""
    made = World(folder, rows(50))
    use_project(folder)
    archive = folder / "archive"
    archive.mkdir()
    schema = TrainingSchema.of(made.settings, Caster(made.settings).levels)
    caster = schema.caster()
    given = [caster.cast({n: row[n] for n in FEATURES}) for row in rows(400)]
    frame = schema.frame_of(given)[["age", "share"]].fillna(0.0)
    prepared = {
        **schema.to_json(),
        "prepared": [
            {"name": n, "dtype": d, "levels": list(v)} for n, d, v in describe_prepared(frame)
        ],
    }
    write_json(archive / "schema.json", prepared)
    write_json(archive / "model.json", {"age": 0.1, "share": 0.05})
    pq.write_table(pa.Table.from_pandas(frame.head(32), preserve_index=False),
                   archive / "background.parquet")  # fmt: skip
    made.paths.input("model").mkdir(parents=True)
    pack(archive, made.paths.input("model") / "model.tar.gz")
    values = np.abs(frame - frame.head(32).mean()).mean() * np.array([0.1, 0.05])
    document = {"version": "1.0", "explanations": {"kernel_shap": {"label0": {
        "global_shap_values": values.to_dict(), "expected_value": 0.0}}},
        "perennial": {"method": "linear", "rows": 400, "units": "log-odds"}}  # fmt: skip
    made.put("baseline/constraints.json", dict(attribution(document).constraints))
    found = {}
    calm, wild = rows(600, 1), rows(600, 1)
    for row in wild:
        row["share"] = 500 * (row["share"] or 0.0)
        row["age"] = 45
    for name, window in (("calm", calm), ("wild", wild), ("few", wild[:40])):
        made.captured(lines(window))
        found[name] = made.run("attribution")
        found[f"{name}-violations"] = made.output("constraint_violations.json")
    found["analysis"] = made.output("analysis.json")
    document["explanations"]["kernel_shap"]["label0"]["global_shap_values"]["age"] = "most"
    made.put("baseline/constraints.json", document)
    found["nonsense"] = made.run("attribution")
    return found


def mistakes(folder: Path) -> Any:
    """Configurations that say nothing, and a window that ends before it begins."""
    made = world(folder)
    return {
        "kind": made.run("gossip"),
        "window": made.run(window={"start_ms": 5, "end_ms": 5}),
        "capture": made.run(capture=5),
        "format": made.run("bias", format="csv"),
        "version": made.run(model_version="new"),
    }


def remote(folder: Path) -> Any:
    """Windows of the objects that the test has put into S3."""
    made = world(folder)
    root = "s3://landing/capture/shop"
    found = {
        "model": made.run(capture=[root]),
        "variant": made.run(capture=[f"{root}/ep/main/"]),
        "flat": made.run(capture=["s3://landing/flat"], endpoint=""),
        "nothing": made.run(capture=["s3://landing/nowhere"]),
        "no_bucket": made.run(capture=["s3://no-such-bucket/x"]),
    }
    document = statistics("binary", *scored(300, 0), ("no", "yes"), {})
    baseline = model_quality("binary", document)
    made.put("baseline/statistics.json", dict(baseline.facts))
    made.put("baseline/constraints.json", dict(baseline.constraints))
    labels = ["s3://landing/labels/shop"]
    more = {"capture": [root], "labels": labels, "labels_until_ms": START + 5 * HOUR}
    return found | {"quality": made.run("model-quality", **more)}


def reports(_folder: Path) -> Any:
    """Reports of findings that fire, that chance explains, and that are far from any bound."""
    config = MonitorConfig("data-quality", "shop", 7, 0, 1, ())

    def report(*findings: tuple[str, float, bool]) -> Any:
        made = Report(config, rows=9)
        for name, severity, fires in findings:
            words = f"{name} drifted"
            made.findings.append(Finding(name, "drift", 0.2, 0.1, severity, fires, words, words))
        for value in (0.5, math.nan, math.inf, None):
            made.metric("figure", value)
        return made.to_json()

    return {
        "fired": report(("mild", 1.2, True), ("wild", 9.0, True), ("noise", 20.0, False)),
        "chance": report(("noise", 1.3, False), ("calm", 0.2, False)),
        "calm": report(("calm", 0.2, False), ("calmer", 0.1, False)),
        "nothing": report(),
    }


CASES: Mapping[str, Callable[[Path], Any]] = {
    case.__name__: case
    for case in (
        calm,
        drifted,
        overridden,
        encodings,
        bad,
        many_categories,
        places,
        nonsense,
        hook,
        quality,
        kept,
        merged,
        other_problems,
        bias,
        attributed,
        mistakes,
        reports,
    )
}


def main() -> None:
    """Print the result of every case."""
    with tempfile.TemporaryDirectory(prefix="monitor-") as folder:
        cases = {**CASES, "remote": remote}  # which needs an S3
        found = {name: cases[name](Path(folder) / name) for name in sys.argv[1:] or CASES}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
