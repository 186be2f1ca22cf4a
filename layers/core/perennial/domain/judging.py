"""Every gate of a candidate, in the order in which a verdict names them.

First the bounds of the settings, then `champion`, `schema` and `producer_share`. A gate whose
evidence is missing fails and says what is missing: nothing passes unseen. Only where there is
nothing to compare with, for no version is live yet, are the gates `champion` and `schema` left
out; the verdict's notes say so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from perennial.domain.comparison import judge_champion
from perennial.domain.findings import sentence
from perennial.domain.gates import BIAS_METRICS, OPERATORS, Gate, GateResult, figure, judge_gate
from perennial.domain.settings import Settings

SCHEMA = "schema"
PRODUCER_SHARE = "producer_share"
MOST_WORDS = 3


@dataclass(frozen=True)
class Evidence:
    """What the gates are judged by. None is evidence that is missing; `failures` say why.

    `champion` names the version in production (`census 7`), "" when there is none.
    `incompatible` are the champion's requests that the candidate does not take, in words, and
    `bias_remark` is what a reader of any bias figure must know.
    """

    metrics: Mapping[str, float | None]
    champion: str = ""
    comparison: Mapping[str, Any] | None = None
    bias: Mapping[str, float | None] | None = None
    bias_remark: str = ""
    incompatible: Sequence[str] | None = None
    producers: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)


def judge(settings: Settings, evidence: Evidence) -> tuple[GateResult, ...]:
    """Judge every gate that the settings ask for."""
    results = [_absolute(gate, evidence) for gate in settings.gates]
    if evidence.champion and settings.comparison is not None:
        results.append(_champion(settings, evidence))
    if evidence.champion and settings.compatible_schema:
        results.append(_schema(evidence))
    if settings.producer_share is not None:
        results.append(_producers(settings.producer_share, evidence.producers))
    return tuple(results)


def is_bias(metric: str) -> bool:
    """Say whether a figure, `DPPL:sex=Female`, is one of the bias job's."""
    return metric.partition(":")[0] in BIAS_METRICS


def _absolute(gate: Gate, evidence: Evidence) -> GateResult:
    if not is_bias(gate.metric):
        return judge_gate(gate, evidence.metrics)
    wanted = f"wanted {OPERATORS[gate.operator]} {figure(gate.bound)}"
    if evidence.bias is None:
        why = _because("bias was not measured", evidence.failures.get("measure_bias", ""))
        return GateResult(gate, None, False, f"{gate.metric} is unknown, {why}; {wanted}")
    if gate.metric not in evidence.bias:
        return GateResult(gate, None, False, f"{gate.metric} is not in the bias report; {wanted}")
    value = evidence.bias[gate.metric]
    if value is None or not math.isfinite(value):
        return GateResult(gate, None, False, f"{gate.metric} has no finite value; {wanted}")
    result = judge_gate(gate, evidence.bias)
    remark = f" ({evidence.bias_remark})" if evidence.bias_remark else ""
    return replace(result, words=f"{result.words}{remark}")


def _because(what: str, why: str) -> str:
    return f"{what}: {sentence(why)}" if why else what


def _champion(settings: Settings, evidence: Evidence) -> GateResult:
    assert settings.comparison is not None  # noqa: S101 - the caller asked
    result = judge_champion(evidence.comparison, settings.comparison)
    if evidence.comparison is not None:
        return result
    failures = evidence.failures
    why = failures.get("evaluate_champion", "") or failures.get("compare", "")
    what = f"{evidence.champion} could not be scored beside the candidate"
    return replace(result, words=_because(what, why))


def _schema(evidence: Evidence) -> GateResult:
    gate = Gate(SCHEMA, "max", 0.0)
    lost = evidence.incompatible
    if lost is None:
        words = f"what {evidence.champion} accepts is unknown, for its schema is not there"
        return GateResult(gate, None, False, words)
    if not lost:
        return GateResult(gate, 0.0, True, f"takes every request that {evidence.champion} takes")
    more = f"; and {len(lost) - MOST_WORDS:,} more" if len(lost) > MOST_WORDS else ""
    words = f"does not take what {evidence.champion} takes: {'; '.join(lost[:MOST_WORDS])}{more}"
    return GateResult(gate, float(len(lost)), False, words)


def _producers(most: float, shares: Mapping[str, float]) -> GateResult:
    gate = Gate(PRODUCER_SHARE, "max", most)
    if not shares:
        return GateResult(gate, None, False, "the rows of each producer were not counted")
    name = max(shares, key=lambda each: shares[each])
    result = judge_gate(gate, {PRODUCER_SHARE: shares[name]})
    return replace(result, words=f"producer {name} has the largest share of rows; {result.words}")
