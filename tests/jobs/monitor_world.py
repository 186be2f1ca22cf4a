"""A small world for monitors, in the jobs' environment: rows, their baseline, capture, windows."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from perennial.domain.settings import parse_settings

from jobs import monitor
from jobs.baseline import data_quality
from jobs.casting import Caster, TrainingSchema
from jobs.check_data import write_json
from jobs.failures import JobError
from jobs.paths import Paths

HOUR = 3_600_000
START = 1_795_000_000_000 // HOUR * HOUR
LEVELS = ("cook", "driver", "baker")
SETTINGS: dict[str, Any] = {
    "problem": "binary",
    "label": "paid",
    "positive": "yes",
    "facets": ["member"],
    "data": {
        "header": True,
        "columns": {
            "age": {"type": "int"},
            "share": {"type": "float", "required": False},
            "job": {"type": "category", "levels": list(LEVELS), "required": False},
            "member": {"type": "bool"},
            "paid": {"type": "category", "levels": ["no", "yes"]},
        },
    },
}
FEATURES = ("age", "share", "job", "member")


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """So many rows of one distribution; a twentieth lacks its share."""
    random = np.random.default_rng(seed)
    age = random.integers(20, 70, count)
    share = random.normal(0, 1, count).round(4)
    job = random.choice(len(LEVELS), count, p=(0.6, 0.3, 0.1))
    lacks = random.random(count) < 0.05
    member = random.random(count) < 0.4
    paid = random.random(count) < 1 / (1 + np.exp(-(share + (age - 45) / 10)))
    return [
        {
            "age": int(age[i]),
            "share": None if lacks[i] else float(share[i]),
            "job": LEVELS[job[i]],
            "member": bool(member[i]),
            "paid": "yes" if paid[i] else "no",
        }
        for i in range(count)
    ]


def text(value: Any) -> str:
    """A cell as a CSV request has it."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def stamp(moment: int) -> str:
    """Milliseconds as SageMaker writes a time."""
    return datetime.fromtimestamp(moment / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def line(  # a capture line's parts
    data: str,
    *,
    event: str = "",
    kind: str = "text/csv",
    encoding: str = "CSV",
    at: int = START + 1000,
    answer: str = "no,0.1",
    answer_kind: str = "text/csv",
    answer_encoding: str = "CSV",
) -> str:
    """A line of capture."""
    sides = {
        f"endpoint{mode.title()}": {
            "observedContentType": kind,
            "mode": mode,
            "data": data,
            "encoding": encoding,
        }
        for mode, kind, data, encoding in (
            ("INPUT", kind, data, encoding),
            ("OUTPUT", answer_kind, answer, answer_encoding),
        )
    }
    about = {"eventId": event or f"e-{hash(data)}", "inferenceTime": stamp(at)}
    return json.dumps({"captureData": sides, "eventMetadata": about, "eventVersion": "0"})


def csv(row: Mapping[str, Any], features: Sequence[str] = FEATURES) -> str:
    """A row as a CSV request."""
    return ",".join(text(row[name]) for name in features) + "\n"


def lines(found: Iterable[Mapping[str, Any]], **more: Any) -> list[str]:
    """Plain CSV requests of some rows."""
    return [line(csv(row), **more) for row in found]


def truth(event: str, label: str) -> str:
    """A line of ground truth."""
    given = {"data": label, "encoding": "CSV"}
    about = {"eventId": event}
    return json.dumps({"groundTruthData": given, "eventMetadata": about, "eventVersion": "0"})


def hour_folder(hour: int) -> str:
    """`yyyy/mm/dd/hh` of a moment."""
    return datetime.fromtimestamp(hour / 1000, timezone.utc).strftime("%Y/%m/%d/%H")


class World:
    """The job's folder with a baseline of some rows."""

    def __init__(
        self, base: Path, baseline: Sequence[Mapping[str, Any]], settings: Any = None
    ) -> None:
        base.mkdir(parents=True, exist_ok=True)
        self.base = base
        self.paths = Paths(base)
        self.settings = parse_settings(settings or SETTINGS, project="shop")
        schema = TrainingSchema.of(self.settings, Caster(self.settings).levels)
        holdout = self.paths.input("holdout")
        holdout.mkdir(parents=True, exist_ok=True)
        kinds = {"age": pa.int64(), "share": pa.float64(), "member": pa.bool_()}
        table = {
            n: pa.array([r[n] for r in baseline], kinds.get(n, pa.string())) for n in baseline[0]
        }
        pq.write_table(pa.table(table), holdout / "rows.parquet")
        made = data_quality(schema, self.paths)
        self.put("baseline/statistics.json", dict(made.facts))
        self.put("baseline/constraints.json", dict(made.constraints))
        self.capture = base / "capture"

    def put(self, name: str, document: Any) -> None:
        """Write an input of the job."""
        path = self.paths.input(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, document)

    def read(self, name: str) -> Any:
        """An input of the job."""
        return json.loads(self.paths.input(name).read_text(encoding="utf-8"))

    def output(self, name: str) -> Any:
        """A file that the job wrote."""
        path = self.paths.output("monitor") / name
        return json.loads(path.read_text(encoding="utf-8"))

    def labels(self, found: Mapping[str, str], *, hour: int = START, name: str = "a") -> None:
        """Write ground truth that was collected in an hour."""
        folder = self.base / "labels" / hour_folder(hour)
        folder.mkdir(parents=True, exist_ok=True)
        body = [truth(event, label) for event, label in found.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(body) + "\n")

    def captured(
        self,
        found: Sequence[str | bytes],
        place: str = "ep/main",
        hour: int = START,
        name: str = "a",
    ) -> None:
        """Write a capture file of some lines."""
        folder = self.capture / place / hour_folder(hour)
        folder.mkdir(parents=True, exist_ok=True)
        body = b"\n".join(each if isinstance(each, bytes) else each.encode() for each in found)
        (folder / f"{name}.jsonl").write_bytes(body + b"\n")

    def run(self, kind: str = "data-quality", **more: Any) -> dict[str, Any]:
        """Run a monitor over the captured hour; its report, or the failure under `failure`."""
        config = {
            "kind": kind, "model": "shop", "model_version": 7,
            "window": {"start_ms": START, "end_ms": START + HOUR},
            "capture": [str(self.capture)], "endpoint": "ep", "variant": "main", **more,
        }  # fmt: skip
        self.put("config/monitor.json", config)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                message = monitor.run(self.paths, self.settings)
        except JobError as error:
            return {"failure": str(error), "error": type(error).__name__}
        return {**self.output("report.json"), "message": message}
