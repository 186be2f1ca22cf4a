"""The data-quality monitor: what requests hold, beside the baseline's facts and constraints."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from perennial.domain.settings import Settings

from jobs.captures import Captures, Tally
from jobs.check_data import write_json
from jobs.constraint_rules import Rule, read_rules
from jobs.engine.checks import (
    DRIFT,
    EXTRA,
    LEVEL,
    MISSING,
    Finding,
    Observed,
    Reference,
    check_features,
    read_reference,
)
from jobs.engine.distances import Texts
from jobs.engine.sketch import BUCKETS, KllSketch
from jobs.engine.statistics import NumericSummary, constraints_document, statistics_document
from jobs.engine.tails import surplus
from jobs.failures import SettingsError
from jobs.monitor_config import MonitorConfig
from jobs.monitor_report import Report, violations_document
from jobs.paths import Paths
from jobs.run_step import read_json
from jobs.watched import Watch

# Texts that a picture of a feature shows.
SHOWN_TEXTS = 10


def monitor(paths: Paths, settings: Settings, config: MonitorConfig, hook: Any) -> Report:
    """Compare a window with its baseline; write AWS's three files and answer the report.

    Raises `SettingsError` for a baseline that cannot be read, or constraints that are none.
    """
    rules = read_rules(read_json(config.baseline_file(paths, "constraints.json")), config.settings)
    references = read_references(read_json(config.baseline_file(paths, "statistics.json")))
    report = Report(config)
    watch = Watch(settings.features, settings.data.missing, settings.label)
    with tempfile.TemporaryDirectory(prefix="capture-") as folder:
        captures = Captures(config, [column.name for column in settings.features], Path(folder))
        for table in _tables(captures, settings, hook):
            watch.add(table)
        tell(report, captures.tally, watch)
    report.findings = [
        *check_columns(rules, watch, captures.tally),
        *check_features(rules, references, watch.observed()),
    ]
    _measure(report, rules, references, watch)
    write_files(paths.output("monitor"), settings, watch, report)
    return report


def _tables(captures: Captures, settings: Settings, hook: Any) -> Iterator[pa.Table]:
    if captures.config.format != "capture":
        from jobs.datasets import tables_of  # noqa: PLC0415  # capture needs none of it

        yield from tables_of(captures, settings.data)
        return
    yield from captures.tables() if hook is None else captures.preprocessed(hook)


def read_references(document: Any) -> dict[str, Reference]:
    """The baseline's features; raises `SettingsError` naming one that is damaged."""
    features = document.get("features") if isinstance(document, Mapping) else None
    if not isinstance(features, list):
        raise SettingsError("statistics.json of the baseline has no list of features")
    found = {}
    for number, entry in enumerate(features):
        try:
            found[str(entry["name"])] = read_reference(entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SettingsError(
                f"statistics.json of the baseline: features[{number}] cannot be read: {error!r}. "
                "People edit constraints.json, not this file; restore it from its last version."
            ) from None
    return found


def tell(report: Report, tally: Tally, watch: Watch) -> None:
    """Take over what was read."""
    for name, count in tally.foreign.items():
        watch.note_foreign(name, count)
    for name, count in tally.absent.items():
        watch.features[name].absent += count
    report.rows = watch.rows
    report.is_empty = not watch.rows
    report.broken_lines = tally.broken_lines
    report.notes += tally.notes
    report.counts = {
        "requests": tally.requests,
        "outside_window": tally.outside_window,
        "objects_of_other_endpoints": tally.other_endpoints,
        "other_versions": tally.other_versions,
        "left_out": tally.left_out,
    }


def check_columns(rules: Mapping[str, Rule], watch: Watch, tally: Tally) -> list[Finding]:
    """Columns that are missing from every row, or that the baseline does not have.

    A row of values without names tells neither; rows that are too narrow or too wide count
    against the whole, with room for chance.
    """
    found = []
    watched = [name for name, rule in rules.items() if rule.is_watched]
    for name in watched:
        feature = watch.features.get(name)
        if watch.rows and (feature is None or feature.absent >= watch.rows):
            words = f"`{name}` is missing from all {watch.rows:,} rows"
            found.append(Finding(name, MISSING, 0.0, 1.0, 2.0, True, words, words))
    known = {*rules, *watch.features}
    for name, count in sorted(watch.foreign.items()):
        if name not in known and count:
            words = f"`{name}` is no column of the baseline, but in {count:,} rows"
            fires = count >= watch.rows or surplus(count, watch.rows, 0, watch.rows) <= LEVEL
            found.append(Finding(name, EXTRA, float(count), 0.0, 1.5, fires, words, words))
    for check, count, which in (
        (MISSING, tally.narrow, "fewer values than the baseline has columns"),
        (EXTRA, tally.wide, "more values than the baseline has columns"),
    ):
        rows = watch.rows + count
        if count and (not watch.rows or surplus(count, rows, 0, rows) <= LEVEL):
            words = f"{count:,} requests have {which}"
            found.append(Finding("(row)", check, float(count), 0.0, 1.5, True, words, words))
    return found


def _measure(
    report: Report, rules: Mapping[str, Rule], references: Mapping[str, Reference], watch: Watch
) -> None:
    """Metrics by AWS's names, and the figures of pictures."""
    drift = {finding.name: finding for finding in report.findings if finding.check == DRIFT}
    for name, now in watch.observed().items():
        rule = rules.get(name)
        if rule is None or not rule.emits or not now.rows:
            continue
        report.metric(f"feature_non_null_{name}", float(now.present))
        summary = watch.features[name].summary
        if isinstance(summary, NumericSummary) and summary.present:
            report.metric(f"feature_data_{name}", summary.mean)
        if name in drift:
            report.metric(f"feature_baseline_drift_{name}", drift[name].value)
        if name in references:
            report.figures[name] = {
                **picture(now, references[name]),
                **_judged(drift.get(name)),
                "missing": {"now": 1 - now.present / now.rows, "baseline": _lack(references[name])},
            }


def _judged(finding: Finding | None) -> dict[str, Any]:
    if finding is None:
        return {}
    facts = {"distance": finding.value, "bound": finding.bound, "fires": finding.fires}
    return facts | dict(finding.facts)


def _lack(then: Reference) -> float:
    rows = then.present + then.missing
    return then.missing / rows if rows else 0.0


def picture(now: Observed, then: Reference) -> dict[str, Any]:
    """A feature's distribution beside its baseline's: shares of buckets, or of the main texts."""
    if isinstance(now.values, KllSketch) and isinstance(then.values, KllSketch):
        sides = [each for each in (now.values, then.values) if each.count]
        if not sides:
            return {}
        low, high = min(s.minimum for s in sides), max(s.maximum for s in sides)
        bounds = np.linspace(low, high, BUCKETS + 1)
        return {
            "bounds": bounds.tolist(),
            "now": _shares(now.values, bounds),
            "baseline": _shares(then.values, bounds),
        }
    if isinstance(now.values, Texts) and isinstance(then.values, Texts):
        counts = (now.values.counts, then.values.counts)
        whole = (max(now.values.rows, 1), max(then.values.rows, 1))
        names = sorted(
            {*counts[0], *counts[1]},
            key=lambda t: (-max(counts[i].get(t, 0) / whole[i] for i in (0, 1)), t),
        )[:SHOWN_TEXTS]
        shares = [[counts[i].get(name, 0) / whole[i] for name in names] for i in (0, 1)]
        return {"texts": names, "now": shares[0], "baseline": shares[1]}
    return {}


def _shares(sketch: KllSketch, bounds: Any) -> list[float]:
    if not sketch.count:
        return [0.0] * BUCKETS
    below = sketch.rank(bounds, inclusive=False) / sketch.count
    below[-1] = 1.0
    return [float(share) for share in np.diff(below)]


def write_files(output: Path, settings: Settings, watch: Watch, report: Report) -> None:
    """statistics.json, constraints.json (as the window alone would suggest them) and
    constraint_violations.json, in Model Monitor's layouts."""
    summaries = watch.summaries
    levels = {
        column.name: [*map(str, column.levels)] if column.type == "category" else ["false", "true"]
        for column in settings.features
        if column.type in ("category", "bool")
    }
    write_json(output / "statistics.json", statistics_document(watch.rows, summaries))
    write_json(output / "constraints.json", constraints_document(summaries, levels))
    write_json(output / "constraint_violations.json", violations_document(report.violations))
