"""What `bench.monitor` measures, each in a process of its own, in the jobs' environment.

    python -m bench.monitor_measures <what> <folder> [argument]

Prints one JSON object. `seconds` are of the work alone; `peak_mib` is the whole process's.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from perennial.domain.schema import Column
from perennial.domain.settings import Settings, parse_settings

from jobs import data_quality
from jobs.check_data import write_json
from jobs.constraint_rules import read_rules
from jobs.engine.checks import DRIFT, check_features, read_reference
from jobs.engine.distances import SKETCH_DEVIATIONS, numeric_distance
from jobs.engine.sketch import KllSketch
from jobs.engine.statistics import constraints_document, statistics_document
from jobs.model_quality import figures
from jobs.monitor_config import MonitorConfig
from jobs.paths import Paths
from jobs.watched import Watch

ROWS = 1_000_000
LEVELS = (2, 5, 16, 42, 100, 1000, 5000)
NUMBERS = 8
HOUR = 3_600_000
START = 1_795_000_000_000 // HOUR * HOUR
LINES_A_FILE = 100_000
DRIFTS = (0.0, 0.25, 0.5, 1.0)


def columns() -> list[Column]:
    """Eight numbers and seven texts."""
    numbers = [Column(f"number_{i}", "int" if i % 2 else "float", required=False)
               for i in range(NUMBERS)]  # fmt: skip
    return numbers + [Column(f"text_{i}", "category", open=True) for i in range(len(LEVELS))]


def settings() -> Settings:
    """The settings of such rows."""
    document = {
        "problem": "binary",
        "label": "y",
        "positive": "yes",
        "data": {
            "columns": {column.name: column.to_json() for column in columns()}
            | {"y": {"type": "category", "levels": ["no", "yes"]}}
        },
    }
    return parse_settings(document, project="bench")


def write(folder: Path, _: str) -> dict[str, Any]:
    """Two files of a million rows; in the second one column has moved."""
    for seed, name in enumerate(("baseline", "window")):
        random = np.random.default_rng(seed)
        found = {}
        for i in range(NUMBERS):
            values = random.normal(40 + 6 * seed * (i == 0), 12, ROWS)
            kept = values.round().astype(np.int64) if i % 2 else values
            found[f"number_{i}"] = pa.array(kept, mask=random.random(ROWS) < 0.02 * i)
        for i, levels in enumerate(LEVELS):
            names = np.array([f"level {j}" for j in range(levels)], dtype=object)
            found[f"text_{i}"] = pa.array(names[random.integers(0, levels, ROWS)])
        pq.write_table(pa.table(found), folder / f"{name}.parquet")
    return {"rows": ROWS}


def watched(path: Path) -> Watch:
    """A file's features in one pass."""
    watch = Watch(columns(), ("",), "y")
    texts = [f"text_{i}" for i in range(len(LEVELS))]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        for batch in file.iter_batches(50_000):
            watch.add(batch)
    return watch


def baseline(folder: Path, _: str) -> dict[str, Any]:
    """The pass that a version gets once: its statistics and constraints."""
    began = time.perf_counter()
    watch = watched(folder / "baseline.parquet")
    place = Paths(folder / "job").input("baseline")
    place.mkdir(parents=True, exist_ok=True)
    write_json(place / "statistics.json", statistics_document(watch.rows, watch.summaries))
    write_json(place / "constraints.json", constraints_document(watch.summaries, {}))
    return {"seconds": time.perf_counter() - began}


def window(folder: Path, form: str) -> dict[str, Any]:
    """The monitor's own pass over a window: reading, checks, all files."""
    paths = Paths(folder / "job")
    place = folder / "window.parquet" if form == "parquet" else folder / form
    config = MonitorConfig(
        "data-quality", "bench", None, START, START + HOUR, (str(place),),
        format="parquet" if form == "parquet" else "capture",
    )  # fmt: skip
    began = time.perf_counter()
    report = data_quality.monitor(paths, settings(), config, None)
    seconds = time.perf_counter() - began
    drifts = [finding for finding in report.findings if finding.check == DRIFT]
    return {
        "seconds": seconds,
        "rows": report.rows,
        "drifts": len(drifts),
        "fired": [finding.name for finding in drifts if finding.fires],
        "outputs": len(report.findings) + len(report.metrics) + len(report.figures),
    }


def capture(folder: Path, lines: str) -> dict[str, Any]:
    """Capture files of plain CSV requests: one file of 100,000 lines under many names."""
    place = folder / f"capture-{lines}"
    place.mkdir()
    rows = next(pq.ParquetFile(folder / "window.parquet").iter_batches(LINES_A_FILE))
    texts = pd.DataFrame(rows.to_pandas()).to_csv(index=False, header=False).splitlines()
    first = place / "lines-000.jsonl"
    with first.open("w") as file:
        for number, text in enumerate(texts):
            kinds = {"observedContentType": "text/csv", "encoding": "CSV"}
            sides = {
                "endpointInput": {**kinds, "mode": "INPUT", "data": f"{text}\n"},
                "endpointOutput": {**kinds, "mode": "OUTPUT", "data": "no,0.1\n"},
            }
            about = {"eventId": f"e{number}", "inferenceTime": "2026-11-18T11:20:00Z"}
            json.dump({"captureData": sides, "eventMetadata": about, "eventVersion": "0"}, file)
            file.write("\n")
    for number in range(1, int(lines) // LINES_A_FILE):
        os.link(first, place / f"lines-{number:03}.jsonl")
    return {"bytes": first.stat().st_size * int(lines) // LINES_A_FILE}


def exact(folder: Path, _: str) -> dict[str, Any]:
    """Distances beside scipy's on all rows, and model quality beside scikit-learn's."""
    from scipy.stats import ks_2samp  # noqa: PLC0415  # no other measure needs it
    from sklearn import metrics  # noqa: PLC0415

    worst, room = 0.0, math.inf
    for i in range(NUMBERS):
        sides, sketches = [], []
        for name in ("window", "baseline"):
            column = pq.read_table(folder / f"{name}.parquet", columns=[f"number_{i}"]).column(0)
            values = column.drop_null().to_numpy().astype(float)
            sketch = KllSketch()
            for part in np.array_split(values, 20):
                sketch.update(part)
            sides.append(values)
            sketches.append(sketch)
        found = numeric_distance(*sketches)
        worst = max(worst, abs(found - ks_2samp(*sides, method="asymp").statistic))
        room = min(room, sum(SKETCH_DEVIATIONS * s.deviation / s.count for s in sketches))
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 100_000)
    scores = np.clip(0.3 * labels + 0.7 * random.random(100_000), 0, 1).round(4)
    ours = figures("binary", labels, scores)
    said = scores >= 0.5
    theirs = {
        "auc": metrics.roc_auc_score(labels, scores),
        "accuracy": metrics.accuracy_score(labels, said),
        "precision": metrics.precision_score(labels, said),
        "recall": metrics.recall_score(labels, said),
        "f1": metrics.f1_score(labels, said),
        "log_loss": metrics.log_loss(labels, scores),
        "brier": metrics.brier_score_loss(labels, scores),
    }
    off = max(abs((ours[name] or 0.0) - value) for name, value in theirs.items())
    return {"distance_off": worst, "allowed": room, "quality_off": off, "figures": len(theirs)}


def stream(name: str) -> pd.DataFrame:
    """The features of a genuine stream, in the order in which they happened."""
    folder = Path(os.environ["PERENNIAL_DATA_MIRROR"]) / "streams"
    text = gzip.decompress((folder / f"{name}.csv.gz").read_bytes()).decode()
    frame = pd.read_csv(io.StringIO(text))
    gone = ["class", "instant", "dteday", "yr", "casual", "registered", "cnt"]
    return frame.drop(columns=[each for each in gone if each in frame])


def cut(folder: Path, name: str) -> dict[str, Any]:
    """A stream's shuffled rows as a baseline and windows, calm and with a column that moves."""
    frame = stream(name).astype(float)
    random = np.random.default_rng(1)
    rows = frame.sample(frac=1.0, random_state=1).to_numpy()
    base, size = rows[:3000], 250
    rest = rows[3000:]
    count = min(len(rest) // size, 50)
    calm = np.stack([rest[i * size : (i + 1) * size] for i in range(count)])
    moving = frame.columns.get_loc({"elec2": "nswdemand", "bike-hour": "temp"}[name])
    saved = {"baseline": base, "calm": calm}
    for drift in DRIFTS[1:]:
        moved = np.stack([rest[random.choice(len(rest), size)] for _ in range(20)])
        moved[:, :, moving] += drift * base[:, moving].std()
        saved[f"moved-{drift}"] = moved
    np.savez(folder / f"{name}.npz", names=np.array(list(frame.columns)), **saved)
    return {"windows": count, "rows": size, "columns": rows.shape[1]}


def alarms(folder: Path, name: str) -> dict[str, Any]:
    """Which windows of a cut stream fire: ours, and a KS test of any column at 5 %."""
    from scipy.stats import ks_2samp  # noqa: PLC0415

    saved = np.load(folder / f"{name}.npz")
    names = [str(each) for each in saved["names"]]
    given = [Column(each, "float") for each in names]

    def watch(rows: Any) -> Watch:
        found = Watch(given, ("",), "y")
        found.add(pa.table({each: rows[:, i] for i, each in enumerate(names)}))
        return found

    base = watch(saved["baseline"])
    rules = read_rules(constraints_document(base.summaries, {}))
    statistics = statistics_document(base.rows, base.summaries)
    references = {each["name"]: read_reference(each) for each in statistics["features"]}
    found: dict[str, Any] = {"ours": {}, "ks": {}}
    for key in saved.files:
        if key in ("names", "baseline"):
            continue
        found["ours"][key] = [
            any(f.fires for f in check_features(rules, references, watch(rows).observed()))
            for rows in saved[key]
        ]
        found["ks"][key] = [
            any(
                ks_2samp(rows[:, i], saved["baseline"][:, i]).pvalue < 0.05
                for i in range(len(names))
            )
            for rows in saved[key]
        ]
    return found


MEASURES: dict[str, Callable[[Path, str], dict[str, Any]]] = {
    each.__name__: each for each in (write, baseline, window, capture, exact, cut, alarms)
}


def main() -> None:
    """Measure one thing."""
    what, folder, *more = sys.argv[1:]
    began = time.process_time()
    found = MEASURES[what](Path(folder), *(more or [""]))
    found["processor"] = time.process_time() - began
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps(found, default=bool))


if __name__ == "__main__":
    main()
