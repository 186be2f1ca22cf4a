"""The written judgement of a candidate: JSON for machines, words and a card for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perennial.domain.gates import GateResult, figure
from perennial.domain.text import markdown, printable

VERSION = 1
LONGEST_WORDS = 1000  # an approval description holds 1,024 characters
HEADLINES = {
    "binary": ("auc", "f1", "accuracy"),
    "multiclass": ("accuracy", "weighted_f1", "log_loss"),
    "regression": ("rmse", "mae", "r2"),
}


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on: an object in S3 and the SHA-256 of its bytes."""

    uri: str
    digest: str

    def to_json(self) -> dict[str, str]:
        """The pair as verdict.json holds it."""
        return {"uri": self.uri, "digest": self.digest}


@dataclass(frozen=True)
class Verdict:
    """The judgement of one candidate; `decided_ms` is the time of the decision."""

    model: str
    run: int
    problem: str
    candidate: Mapping[str, str]
    gates: tuple[GateResult, ...]
    metrics: Mapping[str, float | None]
    rows: int
    evaluation: Evidence
    manifest: Evidence
    decided_ms: int

    @property
    def passed(self) -> bool:
        """Say whether every gate was kept; without gates there is nothing to fail."""
        return all(gate.passed for gate in self.gates)

    @property
    def figures(self) -> dict[str, float]:
        """The headline figures of the problem that the evaluation has."""
        return {
            name: value
            for name in HEADLINES[self.problem]
            if (value := self.metrics.get(name)) is not None
        }

    @property
    def words(self) -> str:
        """The verdict in one paragraph of at most 1,000 characters."""
        failed = [gate for gate in self.gates if not gate.passed]
        where = f"on {self.rows:,} holdout rows"
        if failed:
            reasons = "; ".join(gate.words for gate in failed)
            text = (
                f"Run {self.run} of {self.model} fails {len(failed)} of "
                f"{_gates(len(self.gates))} {where}: {reasons}."
            )
        elif self.gates:
            reasons = "; ".join(gate.words for gate in self.gates)
            text = (
                f"Run {self.run} of {self.model} passes {_gates(len(self.gates))} "
                f"{where}: {reasons}."
            )
        else:
            shown = ", ".join(f"{name} {figure(value)}" for name, value in self.figures.items())
            text = f"Run {self.run} of {self.model} has no gate to pass; {where} it has {shown}."
        return text if len(text) <= LONGEST_WORDS else text[: LONGEST_WORDS - 1] + "…"

    def to_json(self) -> dict[str, Any]:
        """The content of verdict.json."""
        return {
            "version": VERSION,
            "model": self.model,
            "run": self.run,
            "problem": self.problem,
            "candidate": dict(self.candidate),
            "champion": None,
            "gates": [gate.to_json() for gate in self.gates],
            "passed": self.passed,
            "words": self.words,
            "figures": self.figures,
            "rows": self.rows,
            "evaluation": self.evaluation.to_json(),
            "manifest": self.manifest.to_json(),
            "decided_ms": self.decided_ms,
        }


def _gates(count: int) -> str:
    return "1 gate" if count == 1 else f"{count} gates"


def model_card(
    verdict: Verdict,
    *,
    settings: Mapping[str, Any],
    objects: int,
    deviations: Mapping[str, float | None] | None = None,
) -> str:
    """The verdict as a Markdown card: what was judged, on what, gate by gate, group by group.

    `settings` is the document of the run's settings, `objects` how many data objects the run
    read, `deviations` the standard deviations of the figures where they are known.
    """
    overall = {name: value for name, value in verdict.metrics.items() if ":" not in name}
    lines = [
        f"# {verdict.model}, run {verdict.run}: {'passed' if verdict.passed else 'rejected'}",
        "",
        markdown(verdict.words),
        "",
        f"- Problem: {verdict.problem}; predicts {_code(settings.get('label'))}",
        f"- Judged on {verdict.rows:,} holdout rows of a dataset of {objects:,} objects",
        *(f"- {name}: `{value}`" for name, value in sorted(verdict.candidate.items())),
        f"- evaluation: `{verdict.evaluation.uri}` (`{verdict.evaluation.digest}`)",
        f"- manifest: `{verdict.manifest.uri}` (`{verdict.manifest.digest}`)",
        "",
        "## Gates",
        "",
    ]
    lines += _gate_table(verdict.gates)
    lines += ["", "## Figures", "", "| figure | value | standard deviation |", "|---|---|---|"]
    lines += [
        f"| {markdown(name)} | {_shown(value)} | {_shown((deviations or {}).get(name))} |"
        for name, value in overall.items()
    ]
    lines += _group_table(verdict.metrics)
    lines += _parameter_table(settings)
    return "\n".join(lines) + "\n"


def _gate_table(gates: Sequence[GateResult]) -> list[str]:
    if not gates:
        return ["The settings name no gate, so nothing could fail."]
    return [
        "| gate | result | in words |",
        "|---|---|---|",
        *(
            f"| {markdown(gate.gate.name)} | {'pass' if gate.passed else '**fail**'} "
            f"| {markdown(gate.words)} |"
            for gate in gates
        ),
    ]


def _group_table(metrics: Mapping[str, float | None]) -> list[str]:
    groups: dict[str, dict[str, float | None]] = {}
    for name, value in metrics.items():
        metric, separator, group = name.partition(":")
        if separator:
            groups.setdefault(group, {})[metric] = value
    if not groups:
        return []
    columns = list(dict.fromkeys(metric for values in groups.values() for metric in values))
    return [
        "",
        "## Groups",
        "",
        f"| group | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
        *(
            f"| {' | '.join([markdown(group), *(_shown(values.get(m)) for m in columns)])} |"
            for group, values in groups.items()
        ),
    ]


def _parameter_table(settings: Mapping[str, Any]) -> list[str]:
    parameters = settings.get("train", {}).get("hyperparameters", {})
    if not parameters:
        return []
    return [
        "",
        "## Hyperparameters",
        "",
        "| name | value |",
        "|---|---|",
        *(f"| {name} | {_code(value)} |" for name, value in sorted(parameters.items())),
    ]


def _code(value: Any) -> str:
    """A value as code in a table's cell, where a bar or a back-tick would end it."""
    text = printable(str(value)).replace("`", "'").replace("|", "\\|")
    return f"`{text}`"


def _shown(value: float | None) -> str:
    return "-" if value is None else figure(value)
