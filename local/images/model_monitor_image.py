"""Stands in for SageMaker Model Monitor's analyzer: data quality of captured requests, and, with
`model_quality_image.py`, model quality of merged answers.

Run without arguments, by the environment of the container contract: reads the captured lines
below `dataset_source` that lie between `start_time` and `end_time`, has each made into rows by the
`record_preprocessor_script`, and holds them against `baseline_constraints` and
`baseline_statistics`. Writes statistics.json and constraint_violations.json to
`output_path`, figures for CloudWatch, and the exit message. Distances are Deequ's, on which the
real analyzer rests. What it does not do fails the job by name: other datasets than capture, other
analyses, and lines without a preprocessor.
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-contract-inputs.html
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

ML = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
INTEGRAL, FRACTIONAL, STRING, UNKNOWN = "Integral", "Fractional", "String", "Unknown"
NUMBERS = (INTEGRAL, FRACTIONAL)
BUCKETS = 10
SKETCH = 2048  # values of one level of a sketch
ROBUST_FACTOR = 1.8


class MonitorError(Exception):
    """What makes the job fail, in words for its exit message."""


def handler_of(path: str) -> Callable[[Any], Any]:
    """The preprocessor's function; raises `MonitorError` where there is none."""
    spec = importlib.util.spec_from_file_location("preprocessor", path)
    if spec is None or spec.loader is None or not Path(path).is_file():
        raise MonitorError(f"there is no record preprocessor at {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getattr(module, "preprocess_handler", None)
    if not callable(found):
        raise MonitorError("the record preprocessor has no preprocess_handler")
    return found  # type: ignore[no-any-return]


def record_of(line: Mapping[str, Any]) -> Any:
    """A captured line as the preprocessor gets it: https://docs.aws.amazon.com/sagemaker/latest/
    dg/model-monitor-pre-and-post-processing.html"""

    def side(name: str) -> Any:
        given = line["captureData"].get(name)
        names = ("encoding", "data", "observedContentType", "mode")
        return None if given is None else SimpleNamespace(**{n: given.get(n) for n in names})

    about = line["eventMetadata"]
    return SimpleNamespace(
        endpoint_input=side("endpointInput"),
        endpoint_output=side("endpointOutput"),
        event_metadata=SimpleNamespace(
            event_id=about.get("eventId"),
            event_time=about.get("inferenceTime"),
            custom_attribute=about.get("customAttributes"),
        ),
        event_dict=line,
    )


def lines_of(environment: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """The lines of the window; raises `MonitorError` for one that is no capture."""
    start, end = (moment(environment[name]) for name in ("start_time", "end_time"))
    for path in sorted(Path(environment["dataset_source"]).rglob("*.jsonl")):
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                line = json.loads(text)
                at = moment(line["eventMetadata"]["inferenceTime"])
            except (ValueError, KeyError, TypeError) as error:
                raise MonitorError(f"{path.name}, line {number} is no capture: {error!r}") from None
            # A line tells its second; a window of the hurrying clock may be shorter.
            if start <= at < end:
                yield line


def rows_of(environment: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """The rows of the window; raises `MonitorError` for rows that are none."""
    script = environment.get("record_preprocessor_script")
    if not script:
        raise MonitorError("the local cloud's analyzer needs a record preprocessor")
    handler = handler_of(script)
    for line in lines_of(environment):
        found = preprocessed(handler, line)
        for row in found if isinstance(found, list) else [found]:
            if not isinstance(row, Mapping):
                raise MonitorError("the record preprocessor answered something else than rows")
            yield row


def preprocessed(handler: Callable[[Any], Any], line: Mapping[str, Any]) -> Any:
    """What the handler makes of a line. AWS's wrapper reads its answers from stdout, so a handler
    that writes there itself spoils them."""
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        found = handler(record_of(line))
    if written.getvalue():
        raise MonitorError("the record preprocessor writes to stdout, where its answers go")
    return json.loads(json.dumps(found))


def moment(text: str) -> float:
    """Epoch seconds of a moment as AWS writes it."""
    return datetime.fromisoformat(text.replace(" ", "").replace("Z", "+00:00")).timestamp()


@dataclass
class Column:
    """A column's values: those of the expected type, and how many are of another or missing."""

    kind: str
    values: list[Any] = field(default_factory=list)
    wrong: int = 0
    missing: int = 0

    @property
    def present(self) -> int:
        """Rows with a value, of whatever type."""
        return len(self.values) + self.wrong

    def add(self, value: Any) -> None:
        """Take one row's value."""
        if value is None:
            self.missing += 1
        elif self.kind in NUMBERS:
            number = number_of(value, self.kind)
            if number is None:
                self.wrong += 1
            else:
                self.values.append(number)
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            self.values.append(text)


def number_of(value: Any, kind: str) -> float | None:
    """A value as a number of that kind; None for what is none."""
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number) or (kind == INTEGRAL and number != int(number)):
        return None
    return number


@dataclass
class Table:
    """All columns of a window, and what rows had beside them."""

    rows: int
    columns: Mapping[str, Column]
    extra: Counter[str]

    @classmethod
    def read(cls, rows: Iterator[Mapping[str, Any]], kinds: Mapping[str, str]) -> Table:
        """Gather the rows by the baseline's columns."""
        columns = {name: Column(kind) for name, kind in kinds.items()}
        extra: Counter[str] = Counter()
        count = 0
        for row in rows:
            count += 1
            for name, column in columns.items():
                column.add(row.get(name))
            extra.update(name for name in row if name not in columns)
        return cls(count, columns, extra)


def weighted(entry: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """The values of a baseline's sketch, sorted, with their weights: 2^h on level h."""
    try:
        levels = entry["numerical_statistics"]["distribution"]["kll"]["sketch"]["data"]
    except (KeyError, TypeError):
        return None
    values = np.array([value for level in levels for value in level], dtype=float)
    weights = np.array([2.0**h for h, level in enumerate(levels) for _ in level])
    order = np.argsort(values, kind="stable")
    return values[order], weights[order]


def numeric_distance(now: Any, then: tuple[Any, Any]) -> float:
    """The largest difference of both distribution functions."""
    mine = np.sort(now)
    values, weights = then
    points = np.union1d(mine, values)
    heights = np.concatenate([[0.0], np.cumsum(weights)]) / weights.sum()
    one = np.searchsorted(mine, points, side="right") / len(mine)
    other = heights[np.searchsorted(values, points, side="right")]
    return float(np.max(np.abs(one - other)))


def text_distance(now: Counter[str], then: Mapping[str, float]) -> float:
    """The largest difference of one text's share."""
    mine, base = now.total(), sum(then.values())
    return max(abs(now[text] / mine - then.get(text, 0) / base) for text in {*now, *then})


def buckets_of(entry: Mapping[str, Any]) -> dict[str, float]:
    """The texts of a baseline's feature with their rows."""
    found = entry.get("string_statistics", {}).get("distribution", {}).get("categorical", {})
    return {str(each["value"]): float(each["count"]) for each in found.get("buckets", [])}


@dataclass(frozen=True)
class Rules:
    """constraints.json, as far as the checks read it."""

    features: Mapping[str, Mapping[str, Any]]
    config: Mapping[str, Any]

    @classmethod
    def read(cls, document: Any) -> Rules:
        """Raises `MonitorError` for a file that is none."""
        try:
            features = {str(each["name"]): each for each in document["features"]}
        except (KeyError, TypeError) as error:
            raise MonitorError(f"constraints.json has no features: {error!r}") from None
        return cls(features, document.get("monitoring_config") or {})

    def is_watched(self, name: str) -> bool:
        """Whether a feature is evaluated."""
        own = self.features[name].get("monitoring_config_overrides") or {}
        general = self.config.get("evaluate_constraints", "Enabled")
        return bool(own.get("evaluate_constraints", general) == "Enabled")

    @property
    def comparison(self) -> Mapping[str, Any]:
        """How distributions are compared."""
        return self.config.get("distribution_constraints") or {}


def violation(name: str, check: str, words: str) -> dict[str, str]:
    """One entry of constraint_violations.json."""
    return {"feature_name": name, "constraint_check_type": check, "description": words}


def check_table(table: Table, rules: Rules, baseline: Mapping[str, Any]) -> list[dict[str, str]]:
    """Every constraint that the window breaks."""
    entries = {str(each["name"]): each for each in baseline.get("features", [])}
    found = []
    for name in filter(rules.is_watched, rules.features):
        column = table.columns[name]
        if table.rows and not column.present:
            words = "There are missing columns in current dataset."
            found.append(violation(name, "missing_column_check", words))
            continue
        found += shares(name, column, table.rows, rules)
        far = drift(column, entries.get(name, {}), rules.comparison)
        if far is not None:
            found.append(violation(name, "baseline_drift_check", far))
    for name in sorted(table.extra):
        words = "There are extra columns in current dataset."
        found.append(violation(name, "extra_column_check", words))
    return found


def shares(name: str, column: Column, rows: int, rules: Rules) -> Iterator[dict[str, str]]:
    """The checks of shares: completeness, type, known texts."""
    feature = rules.features[name]
    complete = column.present / rows if rows else 1.0
    if complete < feature.get("completeness", 0.0):
        words = f"Value: {complete} does not meet the constraint requirement!"
        yield violation(name, "completeness_check", words)
    if not column.present:
        return
    typed = len(column.values) / column.present
    least = rules.config.get("datatype_check_threshold", 1.0)
    if column.kind in NUMBERS and typed < least:
        yield violation(
            name,
            "data_type_check",
            "Data type match requirement is not met. "
            f"Expected data type: {column.kind}, Expected match: {least * 100}%. "
            f"Observed: Only {typed * 100}% of data is {column.kind}.",
        )
    domain = (feature.get("string_constraints") or {}).get("domains")
    if column.kind == STRING and domain is not None:
        known = sum(value in set(domain) for value in column.values) / len(column.values)
        if known < rules.config.get("domain_content_threshold", 1.0):
            words = f"Value: {known} does not meet the constraint requirement!"
            yield violation(name, "categorical_values_check", words)


def drift(column: Column, entry: Mapping[str, Any], how: Mapping[str, Any]) -> str | None:
    """What a column's distance from its baseline breaks, in AWS's words; None: nothing."""
    if how.get("perform_comparison", "Enabled") != "Enabled" or not column.values:
        return None
    bound = how.get("comparison_threshold", 0.1)
    if column.kind in NUMBERS:
        then = weighted(entry)
        if then is None or not len(then[0]):
            return None
        far, rows = numeric_distance(np.array(column.values), then), then[1].sum()
    else:
        base = buckets_of(entry)
        if not base:
            return None
        if how.get("categorical_drift_method") == "ChiSquared":
            raise MonitorError("the local cloud's analyzer does not compare by ChiSquared")
        far, rows = text_distance(Counter(column.values), base), sum(base.values())
        bound = how.get("categorical_comparison_threshold", bound)
    if str(how.get("comparison_method", "Robust")).lower().endswith("robust"):
        count = len(column.values)
        far = max(0.0, far - ROBUST_FACTOR * math.sqrt((count + rows) / (count * rows)))
    words = f"Baseline drift distance: {far} exceeds threshold: {bound}"
    return words if far > bound else None


def statistics(name: str, column: Column) -> dict[str, Any]:
    """A feature's entry in statistics.json."""
    common = {"num_present": column.present, "num_missing": column.missing}
    if not column.values:
        return {"name": name, "inferred_type": UNKNOWN}
    if column.kind not in NUMBERS:
        counts = Counter(column.values)
        buckets = [{"value": text, "count": float(n)} for text, n in counts.most_common()]
        return {
            "name": name,
            "inferred_type": STRING,
            "string_statistics": {
                "common": common,
                "distinct_count": float(len(counts)),
                "distribution": {"categorical": {"buckets": buckets}},
            },
        }
    values = np.sort(np.array(column.values))
    heights, bounds = np.histogram(values, BUCKETS)
    return {
        "name": name,
        "inferred_type": column.kind,
        "numerical_statistics": {
            "common": common,
            "mean": float(values.mean()),
            "sum": float(values.sum()),
            "std_dev": float(values.std()),
            "min": float(values[0]),
            "max": float(values[-1]),
            "distribution": {
                "kll": {
                    "buckets": [
                        {"lower_bound": low, "upper_bound": high, "count": float(count)}
                        for low, high, count in zip(
                            bounds[:-1].tolist(), bounds[1:].tolist(), heights, strict=True
                        )
                    ],
                    "sketch": sketch(values),
                }
            },
        },
    }


def sketch(values: Any) -> dict[str, Any]:
    """Sorted values in a sketch's layout: every 2^h-th on level h, what is left over on level 0."""
    height = max(0, math.ceil(math.log2(len(values) / SKETCH)))
    step = 2**height
    whole = len(values) // step * step
    levels: list[list[float]] = [[] for _ in range(height + 1)]
    levels[height] = values[step // 2 : whole : step].tolist()
    levels[0] = levels[0] + values[whole:].tolist()
    return {"parameters": {"c": 0.64, "k": float(SKETCH)}, "data": levels}


def figures_of(table: Table) -> dict[str, dict[str, Any]]:
    """The features' figures for CloudWatch, by name."""
    found: dict[str, dict[str, Any]] = {}
    for name, column in table.columns.items():
        found[f"feature_non_null_{name}"] = {"Value": float(column.present)}
        if column.kind in NUMBERS and column.values:
            values = np.array(column.values)
            found[f"feature_data_{name}"] = {
                "StatisticValues": {
                    "SampleCount": float(len(values)),
                    "Sum": float(values.sum()),
                    "Minimum": float(values.min()),
                    "Maximum": float(values.max()),
                }
            }
    return found


def write_figures(figures: Mapping[str, Mapping[str, Any]], environment: Mapping[str, str]) -> None:
    """Leave figures for SageMaker to publish."""
    folder = ML / "output" / "metrics" / "cloudwatch"
    folder.mkdir(parents=True, exist_ok=True)
    dimensions = [
        {"Name": "Endpoint", "Value": environment["sagemaker_endpoint_name"]},
        {"Name": "MonitoringSchedule", "Value": environment["sagemaker_monitoring_schedule_name"]},
    ]
    lines = [{"MetricName": n, "Dimensions": dimensions, **v} for n, v in figures.items()]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "cloudwatch_metrics.jsonl").write_text(text, encoding="utf-8")


Found = tuple[dict[str, Any], list[dict[str, str]], dict[str, dict[str, Any]]]


def analyse_data(environment: Mapping[str, str]) -> Found:
    """Data quality: statistics, violations, figures."""
    if "sagemakerCaptureJson" not in environment.get("dataset_format", ""):
        raise MonitorError("the local cloud's analyzer reads the capture of endpoints only")
    rules = Rules.read(read_json(environment["baseline_constraints"]))
    baseline = read_json(environment["baseline_statistics"])
    kinds = {name: each.get("inferred_type", UNKNOWN) for name, each in rules.features.items()}
    table = Table.read(rows_of(environment), kinds)
    document = {
        "version": 0.0,
        "dataset": {"item_count": table.rows},
        "features": [statistics(name, column) for name, column in table.columns.items()],
    }
    return document, check_table(table, rules, baseline), figures_of(table)


def analyse_quality(environment: Mapping[str, str]) -> Found:
    """Model quality, by the file beside this one."""
    place = Path(__file__).with_name("model_quality_image.py")
    spec = importlib.util.spec_from_file_location("model_quality_image", place)
    if spec is None or spec.loader is None:
        raise MonitorError(f"{place} is missing")
    quality = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(quality)
    constraints = read_json(environment["baseline_constraints"])
    try:
        rows = quality.rows_of(lines_of(environment), environment)
        document, broken, figures = quality.documents(
            environment["problem_type"], rows, constraints
        )
    except (quality.QualityError, ValueError, KeyError, TypeError) as error:
        raise MonitorError(f"the merged answers cannot be judged: {error}") from None
    return document, broken, {name: {"Value": value} for name, value in figures.items()}


def analyse(environment: Mapping[str, str]) -> str:
    """Judge the window and write everything; the exit message."""
    kinds = {"": analyse_data, "DATA_QUALITY": analyse_data, "MODEL_QUALITY": analyse_quality}
    kind = environment.get("analysis_type", "")
    if kind not in kinds:
        raise MonitorError(f"the local cloud has no analysis {kind}")
    document, violations, figures = kinds[kind](environment)
    output = Path(environment["output_path"])
    output.mkdir(parents=True, exist_ok=True)
    files = {"statistics": document, "constraint_violations": {"violations": violations}}
    for name, content in files.items():
        (output / f"{name}.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
    if environment.get("publish_cloudwatch_metrics") == "Enabled":
        write_figures(figures, environment)
    if violations:
        count = len(violations)
        return f"CompletedWithViolations: Job completed successfully with {count} violations."
    return "Completed: Job completed successfully with no violations."


def read_json(path: str) -> Any:
    """A JSON file; raises `MonitorError` naming it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MonitorError(f"{path} cannot be read: {error}") from None


def here(value: str) -> str:
    """A path of the container's, where it lies on a machine that gives jobs no /opt/ml."""
    return f"{ML}{value.removeprefix('/opt/ml')}" if value.startswith("/opt/ml/") else value


def main() -> int:
    """Analyse; 0, or 1 with the reason in the log and in the job's exit message."""
    code = 0
    try:
        message = analyse({name: here(value) for name, value in os.environ.items()})
    except MonitorError as error:
        message, code = f"Error: {error}", 1
    sys.stdout.write(f"Model Monitor (local stand-in): {message}\n")
    place = ML / "output" / "message"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(message, encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
