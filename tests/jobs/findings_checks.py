"""Random rows against plain counts, in the environment of the jobs; prints JSON."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.kept import conflicting
from jobs.leaks import FEWEST_OF_LABEL, FEWEST_ROWS, ROWS_A_VALUE, LeakWatch
from jobs.measures import calibration, residuals


def conflicts(random: np.random.Generator) -> list[Any]:
    """Positions by sorting, and by a dictionary."""
    count = int(random.integers(0, 60))
    rows = random.integers(0, 12, (count, 2)).astype(np.uint64)
    labels = random.integers(0, 2, count)
    seen: dict[tuple[int, ...], set[int]] = defaultdict(set)
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        seen[tuple(row)].add(label)
    plain = [i for i, row in enumerate(rows.tolist()) if len(seen[tuple(row)]) > 1]
    return [conflicting(rows, labels).tolist(), plain]


def leaks(random: np.random.Generator) -> list[Any]:
    """Leaks by the watch, in random cuts, and by a look at all rows."""
    count = int(random.integers(50, 400))
    labels = random.integers(0, int(random.integers(1, 4)), count)
    columns = {
        "noise": random.integers(0, 5, count),
        "code": labels * 3 + random.integers(0, 3, count),
        "same": labels,
        "nearly": np.where(np.arange(count) == count - 1, 99 - labels, labels),
        "id": np.arange(count),
        "sparse": labels * count + random.integers(0, max(count // 9, 1), count),
        "y": labels,
    }
    table = pa.table(columns)
    features = [name for name in columns if name != "y"]
    watch = LeakWatch(features, "y")
    cuts = sorted({0, count, *random.integers(0, count, 3).tolist()})
    for low, high in pairwise(cuts):
        watch.add(table.slice(low, high - low))
    found = [(leak.feature, leak.rule) for leak in watch.find()]
    return [found, _plain(columns, features, count)]


def _plain(columns: dict[str, Any], features: list[str], count: int) -> list[tuple[str, str]]:
    labels = columns["y"].tolist()
    often = [label for label in set(labels) if labels.count(label) >= FEWEST_OF_LABEL]
    found = []
    for name in features:
        values = columns[name].tolist()
        meaning: dict[int, set[int]] = defaultdict(set)
        for value, label in zip(values, labels, strict=True):
            meaning[value].add(label)
        if count < FEWEST_ROWS or len(set(labels)) < 2:
            continue
        if values == labels:
            found.append((name, "equals"))
        elif (
            all(len(each) == 1 for each in meaning.values())
            and len(meaning) * ROWS_A_VALUE <= count
            and len(often) >= 2
        ):
            found.append((name, "determines"))
    return found


def main() -> None:
    """Print everything."""
    random = np.random.default_rng(11)
    shapes, errors = [], []
    for _ in range(20):
        count = int(random.integers(1, 300))
        scores = np.round(random.random(count), 1)
        labels = random.integers(0, 2, count)
        bins = calibration(labels, scores)
        shapes.append([bins, count, float(labels.mean()), float(scores.mean())])
        values = random.normal(size=count)
        errors.append([residuals(values, scores), count, float((scores - values).mean())])
    found = {
        "conflicts": [conflicts(random) for _ in range(200)],
        "leaks": [leaks(random) for _ in range(200)],
        "calibration": shapes,
        "residuals": errors,
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
