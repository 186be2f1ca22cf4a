"""Statistics and constraints of a million rows of 15 columns, beside pandas' describe.

    .venv/bin/python -m bench.baseline

Eight numeric and seven text columns in one Parquet file. The figure is the whole of it: reading,
sketches, counts, both documents as JSON. The yardstick reads the same file with pandas and calls
`describe(include="all")`, which has neither sketches nor domains. Runs itself in the jobs'
environment.
"""

# ruff: noqa: PLC0415 - what is measured is imported where it is installed: in the jobs' environment

from __future__ import annotations

import importlib.util
import json
import os
import resource
import tempfile
from pathlib import Path

from bench.common import ROOT, report, run, timed

ROWS = 1_000_000
NUMERIC, TEXTS = 8, 7
REPEATS = 3


def start_again() -> None:
    """Run this program in the environment that the jobs run in."""
    from local.sagemaker.container.images import KNOWN, Images

    python = Images(ROOT).environment(KNOWN) / "bin" / "python"
    path = os.pathsep.join(map(str, (ROOT, ROOT / "layers" / "core")))
    environment = {"PYTHONPATH": path}
    print(run(str(python), "-W", "ignore", "-m", "bench.baseline", env=environment), end="")


def write_rows(path: Path) -> None:
    """A million rows: integers, fractions with blanks, and texts of 5 to 100,000 levels."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(0)
    columns = {}
    for i in range(NUMERIC):
        values = random.normal(40, 12, ROWS)
        kept = values.round().astype(np.int64) if i % 2 else values
        columns[f"number_{i}"] = pa.array(kept, mask=random.random(ROWS) < 0.02 * i)
    for i, levels in enumerate((2, 5, 16, 42, 100, 1000, 100_000)):
        names = np.array([f"level {j}" for j in range(levels)], dtype=object)
        columns[f"text_{i}"] = pa.array(names[random.integers(0, levels, ROWS)])
    pq.write_table(pa.table(columns), path)


def measure(path: Path) -> None:
    """Time both."""
    import pandas as pd
    from perennial.domain.schema import Column

    from jobs.engine.statistics import constraints_document, statistics_document
    from jobs.profile import profile

    columns = [
        *(Column(f"number_{i}", "int" if i % 2 else "float") for i in range(NUMERIC)),
        *(Column(f"text_{i}", "string") for i in range(TEXTS)),
    ]
    size = 0

    def ours() -> None:
        nonlocal size
        found = profile([path], columns)
        documents = (
            statistics_document(found.rows, found.features),
            constraints_document(found.features, {}),
        )
        size = sum(len(json.dumps(document)) for document in documents)

    figure = timed(ours, REPEATS)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    beside = timed(lambda: pd.read_parquet(path).describe(include="all"), REPEATS)
    report(
        f"statistics of {ROWS:,} x {len(columns)} in one pass", figure, "pandas describe", beside
    )
    print(f"{size / 1024:,.0f} KiB of JSON; peak memory before pandas {memory:,.0f} MiB")


def main() -> None:
    """Measure here when pyarrow is here, and in the jobs' environment otherwise."""
    if importlib.util.find_spec("pyarrow") is None:
        start_again()
        return
    with tempfile.TemporaryDirectory(prefix="bench-baseline-") as folder:
        path = Path(folder) / "rows.parquet"
        write_rows(path)
        measure(path)


if __name__ == "__main__":
    main()
