"""Statistics and suggested constraints of a dataset, in the files of SageMaker Model Monitor.

One pass in bounded memory: numbers go into moments and a KLL sketch, texts into counts of the
commonest values. Layouts are those of Model Monitor's `statistics.json` and `constraints.json`;
the way to a figure is Deequ's, on which Model Monitor rests: population standard deviation, ten
buckets, and for completeness the lower bound of its RetainCompletenessRule. Numpy and the
standard library only.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from jobs.engine.sketch import Array, KllSketch

INTEGRAL, FRACTIONAL, STRING, UNKNOWN = "Integral", "Fractional", "String", "Unknown"
VERSION = 0.0
# Distinct texts that are counted exactly; of more, the commonest are kept.
MOST_VALUES = 10_000
# What statistics.json lists of a feature with very many values.
LISTED_VALUES = 1_000
SMALLEST_HASHES = 4096
COMPARISON_THRESHOLD = 0.1
# Deequ's rule asks for no completeness below a fifth, and else for the lower end of 95 %.
FEWEST_PRESENT = 0.2
NORMAL_95 = 1.96


class NumericSummary:
    """What is known of a numeric feature after some batches.

    `is_integral` says which type the data has; a number that is not finite counts as missing.
    """

    def __init__(self, *, integral: bool) -> None:
        self.is_integral = integral
        self.present = 0
        self.missing = 0
        self.mean = 0.0
        self.total = 0.0
        self.sketch = KllSketch()
        self._squares = 0.0

    def add(self, values: Array, missing: int = 0) -> None:
        """Take a batch: its numbers, and how many rows had none."""
        numbers = np.asarray(values, dtype=np.float64)
        finite = numbers[np.isfinite(numbers)]
        self.missing += missing + len(numbers) - len(finite)
        if not len(finite):
            return
        # Chan, Golub and LeVeque's update: no loss of digits where the mean is far from zero.
        mean = float(finite.mean())
        squares = float(np.sum((finite - mean) ** 2))
        count = self.present + len(finite)
        shift = mean - self.mean
        self._squares += squares + shift * shift * self.present * len(finite) / count
        self.mean += shift * len(finite) / count
        self.total += float(finite.sum())
        self.present = count
        self.sketch.update(finite)

    @property
    def inferred_type(self) -> str:
        """Integral or Fractional; Unknown when no row has a value."""
        if not self.present:
            return UNKNOWN
        return INTEGRAL if self.is_integral else FRACTIONAL

    @property
    def deviation(self) -> float:
        """The standard deviation of the whole, as Deequ has it (divided by n)."""
        return math.sqrt(self._squares / self.present) if self.present else 0.0

    def statistics(self, name: str) -> dict[str, Any]:
        """The feature's entry in statistics.json."""
        if not self.present:
            return unknown_statistics(name, self.missing)
        return {
            "name": name,
            "inferred_type": self.inferred_type,
            "numerical_statistics": {
                "common": {"num_present": self.present, "num_missing": self.missing},
                "mean": self.mean,
                "sum": self.total,
                "std_dev": self.deviation,
                "min": self.sketch.minimum,
                "max": self.sketch.maximum,
                "distribution": {
                    "kll": {"buckets": self.sketch.buckets(), "sketch": self.sketch.to_json()}
                },
            },
        }

    def constraints(self, name: str) -> dict[str, Any]:
        """The feature's entry in constraints.json."""
        entry: dict[str, Any] = {
            "name": name,
            "inferred_type": self.inferred_type,
            "completeness": suggested_completeness(self.present, self.missing),
        }
        if self.present:
            entry["num_constraints"] = {"is_non_negative": self.sketch.minimum >= 0}
        return entry


class TextSummary:
    """What is known of a text feature after some batches.

    Up to `most` distinct values every figure is exact. Beyond, rare values are dropped as in
    Misra and Gries's summary (a kept count is too small by at most `lost`), and the number of
    distinct values is estimated from the smallest hashes (to about 2 %). Values of fewer than
    `listed_from` rows are not written out: a text of one row may be somebody's own words, and
    moves no distance between distributions.
    """

    def __init__(self, most: int = MOST_VALUES, listed_from: int = 1) -> None:
        self.most = most
        self.listed_from = listed_from
        self.present = 0
        self.missing = 0
        self.lost = 0
        self.counts: dict[str, int] = {}
        self._hashes: set[int] | None = None

    def add(self, counts: Mapping[str, int], missing: int = 0) -> None:
        """Take a batch: how many rows had each text, and how many had none."""
        self.missing += missing
        for text, count in counts.items():
            self.counts[text] = self.counts.get(text, 0) + count
            self.present += count
        if self._hashes is not None:
            self._remember(counts)
        if len(self.counts) > self.most:
            self._shrink()

    @property
    def is_exact(self) -> bool:
        """Say whether every distinct value was counted."""
        return self._hashes is None

    @property
    def inferred_type(self) -> str:
        """String; Unknown when no row has a value."""
        return STRING if self.present else UNKNOWN

    @property
    def distinct(self) -> float:
        """How many different values there are; an estimate when there are too many to keep."""
        if self._hashes is None:
            return float(len(self.counts))
        if len(self._hashes) < SMALLEST_HASHES:
            return float(len(self._hashes))
        # Bar-Yossef and others (2002): the k-th smallest of n hashes lies near k / n of the range.
        return float(round((SMALLEST_HASHES - 1) / (max(self._hashes) / 2**64)))

    def statistics(self, name: str) -> dict[str, Any]:
        """The feature's entry in statistics.json: the commonest values, equal ones by name."""
        if not self.present:
            return unknown_statistics(name, self.missing)
        order = sorted(self.counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return {
            "name": name,
            "inferred_type": STRING,
            "string_statistics": {
                "common": {"num_present": self.present, "num_missing": self.missing},
                "distinct_count": self.distinct,
                "distribution": {
                    "categorical": {
                        "buckets": [
                            {"value": value, "count": count}
                            for value, count in order[:LISTED_VALUES]
                            if count >= self.listed_from
                        ]
                    }
                },
            },
        }

    def constraints(self, name: str, levels: Sequence[str] | None) -> dict[str, Any]:
        """The feature's entry in constraints.json.

        `levels` are those that the model knows beside the ones seen here; None stands for free
        text, whose values are no domain.
        """
        entry: dict[str, Any] = {
            "name": name,
            "inferred_type": self.inferred_type,
            "completeness": suggested_completeness(self.present, self.missing),
        }
        if levels is not None and self.present and self.is_exact:
            entry["string_constraints"] = {"domains": sorted({*levels, *self.counts})}
        return entry

    def _shrink(self) -> None:
        if self._hashes is None:
            self._hashes = set()
            self._remember(self.counts)
        # Half goes, so that many new values do not sort the whole again and again.
        kept = dict(heapq.nlargest(self.most // 2, self.counts.items(), key=lambda pair: pair[1]))
        dropped = (count for text, count in self.counts.items() if text not in kept)
        self.lost += max(dropped, default=0)
        self.counts = kept

    def _remember(self, texts: Mapping[str, int]) -> None:
        hashes = self._hashes or set()
        hashes.update(
            int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") for text in texts
        )
        self._hashes = set(heapq.nsmallest(SMALLEST_HASHES, hashes))


Summary = NumericSummary | TextSummary


def unknown_statistics(name: str, missing: int) -> dict[str, Any]:
    """The entry in statistics.json of a feature that no row has a value of."""
    return {
        "name": name,
        "inferred_type": UNKNOWN,
        "string_statistics": {
            "common": {"num_present": 0, "num_missing": missing},
            "distinct_count": 0.0,
            "distribution": {"categorical": {"buckets": []}},
        },
    }


def suggested_completeness(present: int, missing: int) -> float:
    """The share of rows with a value that a later dataset should have, 0 to 1.

    All present: 1. Else the lower end of the share's 95 % interval, cut to two decimals, and 0
    for a feature that is nearly always empty (Deequ's CompleteIfCompleteRule and
    RetainCompletenessRule): a share that chance alone makes a little smaller is no violation.
    """
    rows = present + missing
    if not missing:
        return 1.0 if rows else 0.0
    share = present / rows
    if share <= FEWEST_PRESENT:
        return 0.0
    low = share - NORMAL_95 * math.sqrt(share * (1 - share) / rows)
    return max(math.floor(low * 100) / 100, 0.0)


def statistics_document(rows: int, features: Mapping[str, Summary]) -> dict[str, Any]:
    """The content of statistics.json over features in their order."""
    return {
        "version": VERSION,
        "dataset": {"item_count": rows},
        "features": [summary.statistics(name) for name, summary in features.items()],
    }


def constraints_document(
    features: Mapping[str, Summary], levels: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The content of constraints.json; `levels` holds the known ones of each category."""
    return {
        "version": VERSION,
        "features": [
            summary.constraints(name)
            if isinstance(summary, NumericSummary)
            else summary.constraints(name, levels.get(name))
            for name, summary in features.items()
        ],
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Enabled",
            "datatype_check_threshold": 1.0,
            "domain_content_threshold": 1.0,
            "distribution_constraints": {
                "perform_comparison": "Enabled",
                "comparison_threshold": COMPARISON_THRESHOLD,
                "comparison_method": "Robust",
                "categorical_comparison_threshold": COMPARISON_THRESHOLD,
                "categorical_drift_method": "LInfinity",
            },
        },
    }
