"""The written judgement of a candidate: JSON for machines, words for people.

verdict.json is the one source of the model card (card.py): what a card shows, the verdict holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from perennial.domain.gates import GateResult, figure

VERSION = 2
LONGEST_WORDS = 1000  # an approval description holds 1,024 characters
HEADLINES = {
    "binary": ("auc", "f1", "accuracy"),
    "multiclass": ("accuracy", "weighted_f1", "log_loss"),
    "regression": ("rmse", "mae", "r2"),
}
NO_CHAMPION = "there is no champion yet"
# What a verdict holds beyond the judgement itself, and what stands where there is nothing.
SECTIONS: Mapping[str, Any] = {
    "comparison": None,
    "compatibility": None,
    "producers": {},
    "bias": {},
    "bias_intervals": {},
    "latency": None,
    "size_mb": None,
    "learning": None,
    "gap": None,
    "calibration": None,
    "residuals": None,
    "curves": None,
    "confusion": None,
    "deviations": {},
    "explanations": None,
    "leaks": [],
    "conflicts": None,
    "settings": {},
    "data": None,
    "tuning": None,
    "changes": [],
    "cost": None,
    "notes": [],
    "evidence": {},
}
# Sections that may go, the least missed first, when a verdict would become too large.
DISPENSABLE = ("learning", "calibration", "residuals", "curves", "bias_intervals", "deviations")
LARGEST_BYTES = 200_000


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
    """The judgement of one candidate; `decided_ms` is the time of the decision.

    `champion` is what production runs (version, run, arn, figures on the same holdout), None when
    nothing is live yet. `sections` hold what is in `SECTIONS`, each as findings.py makes it.
    """

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
    champion: Mapping[str, Any] | None = None
    sections: Mapping[str, Any] = field(default_factory=dict)

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
        if self.champion is None:
            text += f" {NO_CHAMPION[0].upper()}{NO_CHAMPION[1:]}."
        return text if len(text) <= LONGEST_WORDS else text[: LONGEST_WORDS - 1] + "…"

    def to_json(self) -> dict[str, Any]:
        """The content of verdict.json, at most about 200 KB of it."""
        document = {
            "version": VERSION,
            "model": self.model,
            "run": self.run,
            "problem": self.problem,
            "candidate": dict(self.candidate),
            "champion": None if self.champion is None else dict(self.champion),
            "gates": [gate.to_json() for gate in self.gates],
            "passed": self.passed,
            "words": self.words,
            "figures": self.figures,
            "rows": self.rows,
            "metrics": dict(self.metrics),
            "evaluation": self.evaluation.to_json(),
            "manifest": self.manifest.to_json(),
            "decided_ms": self.decided_ms,
            **{name: self.sections.get(name, empty) for name, empty in SECTIONS.items()},
        }
        return _bounded(document)


def _bounded(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is dispensable until the document is small enough, and say so."""
    for name in DISPENSABLE:
        if _size(document) <= LARGEST_BYTES:
            break
        if document[name]:
            note = f"{name} is left out, for the verdict would be too large; see the evidence"
            document[name] = SECTIONS[name]
            document["notes"] = [*document["notes"], note]
    return document


def _size(document: Mapping[str, Any]) -> int:
    return len(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode())


def _gates(count: int) -> str:
    return "1 gate" if count == 1 else f"{count} gates"
