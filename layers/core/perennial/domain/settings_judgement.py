"""The sections by which a candidate is judged: `gates`, `bias`, `explain`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from perennial.domain.gates import (
    BIAS_METRICS,
    CONDITIONAL_BIAS,
    METRICS,
    OPERATORS,
    SERVING,
    Gate,
    facet_metric,
)
from perennial.domain.schema import Column
from perennial.domain.settings import (
    BiasSettings,
    Comparison,
    DataSettings,
    ExplainSettings,
    Facet,
)
from perennial.domain.settings_reader import Reader, one_of, shown
from perennial.domain.verdict import HEADLINES

OWN_GATES = ("champion", "schema", "producer_share")
# Figures without an upper bound; a margin of 1 or more is possible only for them.
UNBOUNDED = ("log_loss", "mae", "mse", "rmse", "r2")
MISSING_GROUP = "missing"  # what an evaluation calls the rows without a value


@dataclass(frozen=True)
class Judgement:
    """What the section `gates` says: absolute bounds, and the three gates of their own."""

    gates: tuple[Gate, ...]
    comparison: Comparison | None
    compatible_schema: bool
    producer_share: float | None


@dataclass(frozen=True)
class Judged:
    """What there is to judge: the problem, the facets with their columns, and how bias is done."""

    problem: str
    facets: tuple[Facet, ...]
    columns: Mapping[str, Column]
    bias: BiasSettings


def read_gates(gates: Reader, judged: Judged) -> Judgement:
    """Every gate of the settings; a name that no figure has is a mistake, not a gate."""
    read: list[Gate] = []
    for metric in gates:
        if metric in OWN_GATES:
            continue
        _check_metric(gates, metric, judged)
        read += _bounds(gates, metric)
    return Judgement(
        gates=tuple(read),
        comparison=_comparison(gates, judged.problem),
        compatible_schema=gates.text("schema", "compatible", choices=("compatible", "any"))
        == "compatible",
        producer_share=_producer_share(gates),
    )


def _bounds(gates: Reader, metric: str) -> list[Gate]:
    entry = gates.section(metric)
    bounds = [
        Gate(metric, operator, entry.number(operator, 0.0))
        for operator in OPERATORS
        if entry.has(operator)
    ]
    if not bounds and isinstance(gates.raw(metric), dict):
        gates.mistake(metric, "min or max, like {min: 0.9}")
    if len(bounds) == len(OPERATORS) and bounds[0].bound > bounds[1].bound:
        entry.mistake("min", f"at most max, which is {bounds[1].bound:g}")
    for elsewhere in ("champion", "margin", "significance"):
        if entry.has(elsewhere):
            entry.mistake(elsewhere, "no such key: the comparison stands under gates.champion")
    entry.done()
    return bounds


def _check_metric(gates: Reader, metric: str, judged: Judged) -> None:
    """A gate on a figure that no evaluation has would never pass: name it now."""
    known = METRICS.get(judged.problem, ())
    name, colon, group = metric.partition(":")
    if name in BIAS_METRICS:
        _check_bias(gates, metric, name, judged)
    elif known and name not in (*known, *SERVING):
        near = difflib.get_close_matches(name, [*known, *SERVING, *OWN_GATES, *BIAS_METRICS], 1)
        hint = f"{near[0]}?" if near else one_of([*known, *SERVING, *OWN_GATES])
        gates.mistake_at(gates.at(metric), "no figure of this problem", hint)
    elif name in SERVING and colon:
        gates.mistake_at(gates.at(metric), "a figure of one group", f"{name}, of the whole model")
    if colon and name not in SERVING:
        _check_group(gates, metric, group, judged)


def _check_bias(gates: Reader, metric: str, name: str, judged: Judged) -> None:
    path = gates.at(metric)
    methods = judged.bias.methods
    if ":" not in metric:
        gates.mistake_at(path, "no group", f"the group that it measures: {name}:sex=Female")
    if name in CONDITIONAL_BIAS and not judged.bias.group:
        gates.mistake_at(path, "no bias.group", f"bias.group, the column that {name} splits by")
    if "all" not in methods and name not in methods:
        gates.mistake_at(path, "no bias method", f"bias.methods with {name}, or all")


def _check_group(gates: Reader, metric: str, group: str, judged: Judged) -> None:
    """A group must be one that the facet can have, as far as the settings know them."""
    name = metric.partition(":")[0]
    column_name, _, value = group.partition("=")
    facet = next((facet for facet in judged.facets if facet.column == column_name), None)
    if facet is None or not value:
        like = facet_metric(name, "sex", "Female")
        gates.mistake_at(gates.at(metric), "a group of no facet", f"a name like {like}")
        return
    column = judged.columns.get(column_name)
    closed = column is not None and column.type == "category" and not column.open
    groups = facet.groups() or (column.levels if column is not None and closed else ())
    if groups and value not in (*groups, MISSING_GROUP):
        near = difflib.get_close_matches(value, groups, 1)
        hint = f"{near[0]}?" if near else one_of(groups[:10])
        gates.mistake_at(gates.at(metric), f"no group of {column_name}: {shown(value)}", hint)


def _comparison(gates: Reader, problem: str) -> Comparison | None:
    """The comparison with the champion: on unless it is `off` (which YAML reads as false)."""
    value = gates.raw("champion")
    default = HEADLINES.get(problem, ("accuracy",))[0]
    if value is False or value == "off":
        return None
    if value is None or value is True or value == "on":
        return Comparison(default)
    if not isinstance(value, Mapping):
        gates.mistake("champion", "off, or keys with values, like {margin: 0.002}")
        return None
    entry = gates.section("champion")
    known = tuple(name for name in METRICS.get(problem, (default,)) if name != "rows")
    metric = entry.text("metric", default, choices=known)
    open_ended = metric in UNBOUNDED
    read = Comparison(
        metric=metric,
        margin=entry.number(
            "margin",
            0.0,
            accept=lambda x: x >= 0 and (x < 1 or open_ended),
            expected="a number of at least 0" + ("" if open_ended else f", below 1 for {metric}"),
        ),
        significance=entry.number(
            "significance",
            0.05,
            accept=lambda x: 0.001 <= x <= 0.5,
            expected="a share, 0.001 to 0.5",
        ),
        windows=entry.integer("windows", 5, least=1, most=5),
        draws=entry.integer("draws", 10_000, least=100, most=100_000),
    )
    entry.done()
    return read


def _producer_share(gates: Reader) -> float | None:
    if gates.raw("producer_share") in (None, False, "off"):
        return None
    entry = gates.section("producer_share")
    if isinstance(gates.raw("producer_share"), Mapping) and entry.raw("max") is None:
        entry.mistake("max", "a share, more than 0 and at most 1")
    share = entry.number(
        "max", 1.0, accept=lambda x: 0 < x <= 1, expected="a share, more than 0 and at most 1"
    )
    entry.done()
    return share


def read_bias(
    bias: Reader, providers: Reader, data: DataSettings, facets: tuple[Facet, ...], label: str
) -> BiasSettings:
    """How bias is measured, and by whom."""
    group = bias.raw("group")
    columns = {column.name: column for column in data.columns}
    if group is not None:
        column = columns.get(group) if isinstance(group, str) else None
        if column is None or group == label or column.type == "float":
            bias.mistake("group", "the name of a feature column with few values, not a float one")
        elif not facets:
            bias.mistake("group", "no group, as there are no facets to measure")
    methods = bias.names("methods", ("all",))
    unknown = next((name for name in methods if name not in (*BIAS_METRICS, "all")), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown.upper(), BIAS_METRICS, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        bias.mistake("methods", f"all, or some of {', '.join(BIAS_METRICS)}{hint}")
    elif not methods or ("all" in methods and len(methods) > 1):
        bias.mistake("methods", "all alone, or a list of metrics")
    for name in CONDITIONAL_BIAS:
        if name in methods and group is None:
            bias.mistake("methods", f"bias.group, the column that {name} splits by")
    provider = providers.text("bias", "perennial", choices=("perennial", "sagemaker"))
    if provider == "sagemaker" and not facets:
        providers.mistake("bias", "perennial, as there are no facets to measure")
    positive, threshold = _outcome(bias, columns.get(label))
    bias.done()
    return BiasSettings(
        group=group if isinstance(group, str) else "",
        methods=methods,
        provider="sagemaker" if provider == "sagemaker" else "perennial",
        positive=positive,
        threshold=threshold,
    )


def _outcome(bias: Reader, label: Column | None) -> tuple[tuple[str, ...], float | None]:
    """Which outcome is the favourable one, where the label has more than two."""
    positive, threshold = bias.names("positive"), bias.number("threshold", None)
    levels = set() if label is None else set(label.levels)
    if bias.has("positive") and (len(levels) < 3 or not positive or not set(positive) < levels):
        bias.mistake("positive", "some, not all, of the classes of a label with three or more")
    if threshold is not None and (label is None or not label.numeric):
        bias.mistake("threshold", "no threshold: the label is no number")
    return positive, threshold


def read_explain(root: Reader) -> ExplainSettings:
    """How many rows are explained; `explain: off` (which YAML reads as false) for none."""
    value = root.raw("explain")
    if value is False or value == "off":
        return ExplainSettings(enabled=False)
    if value is True or value == "on":
        return ExplainSettings()
    explain = root.section("explain")
    read = ExplainSettings(
        rows=explain.integer("rows", 2000, least=1, most=100_000),
        seed=explain.integer("seed", 0, least=0, most=2**31 - 1),
        enabled=explain.flag("enabled", True),
    )
    explain.done()
    return read
