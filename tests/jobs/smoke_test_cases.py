"""What the smoke test's job makes of its files, as JSON; runs in the jobs' environment."""

from __future__ import annotations

import json
import math
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from perennial.domain.settings import Settings, parse_settings

from jobs.failures import SettingsError
from jobs.paths import Paths
from jobs.smoke_test import holdout_rows, run

SETTINGS: Settings = parse_settings(
    {
        "problem": "binary",
        "label": "income",
        "positive": "yes",
        "data": {
            "columns": {
                "age": {"type": "int"},
                "hours": {"type": "float", "required": False},
                "born": {"type": "date"},
                "income": {"type": "category", "levels": ["no", "yes"]},
            }
        },
    },
    project="census",
)


def holdout(count: int) -> pa.Table:
    """Holdout rows as the check of the data writes them."""
    numbers = list(range(count))
    return pa.table(
        {
            "__row": [f"{n:032x}" for n in numbers],
            "__landed": numbers,
            "age": numbers,
            "hours": [math.nan if n == 0 else n / 4 for n in numbers],
            "born": [(datetime(1990, 1, 1) + timedelta(days=n)).date() for n in numbers],
            "income": ["no"] * count,
        }
    )


def predictions(count: int, problem: str = "binary") -> pa.Table:
    """What the evaluation writes of them."""
    scores = [n / 1000 for n in range(count)]
    columns = {"score": scores}
    if problem == "multiclass":
        columns = {"score_0": scores, "score_1": [1 - score for score in scores]}
    rows = [f"{n:032x}" for n in range(count)]
    return pa.table({"__row": rows, "label": [0] * count, **columns})


def sent(most: int, count: int, problem: str = "binary") -> list[Any]:
    """The rows' requests and what is expected of them."""
    rows = holdout_rows(holdout(count), predictions(count, problem), SETTINGS, most)
    return [[json.loads(row.request.body)["instances"], row.expected] for row in rows]


def foreign() -> str:
    """What is said of predictions that belong to other rows."""
    try:
        holdout_rows(holdout(3), predictions(4).slice(1), SETTINGS, 3)
    except SettingsError as error:
        return str(error)
    return ""


def job(folder: Path, target: dict[str, Any]) -> dict[str, Any]:
    """A whole job on its files, against whatever AWS_ENDPOINT_URL names."""
    paths = Paths(folder)
    for name in ("target", "holdout", "evaluation"):
        paths.input(name).mkdir(parents=True)
    (paths.input("target") / "target.json").write_text(json.dumps(target))
    pq.write_table(holdout(4), paths.input("holdout") / "rows.parquet")
    pq.write_table(predictions(4), paths.input("evaluation") / "predictions.parquet")
    words = run(paths, SETTINGS)
    written = json.loads((paths.output("smoke_test") / "smoke_test.json").read_text())
    return {"words": words, "written": written}


if __name__ == "__main__":
    found = {
        "all": sent(10, 3),
        "some": sent(5, 101),
        "classes": sent(2, 2, "multiclass"),
        "foreign": foreign(),
        "job": job(Path(sys.argv[1]), json.loads(sys.argv[2])),
    }
    # The job prints its checks before.
    sys.stdout.write(f"\n{json.dumps(found)}\n")
