"""Several runs of a model side by side: what they were given, what came of it, what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.aws.objects import find_json
from perennial.describe_run import describe_run
from perennial.domain import naming
from perennial.gather_evidence import own_prices
from perennial.sum_costs import RunCost, cost_of_run

if TYPE_CHECKING:
    from perennial.domain.ledger.rows import RunRow
    from perennial.wiring import Ports

CHECKED = ("good", "bad", "training", "holdout")


@dataclass(frozen=True)
class ComparedRun:
    """One run as it stands beside others; what it has not written is empty or None.

    `seconds` is from opening to end. `data` has objects, bytes and counts of rows; `metrics` are
    of the run's own holdout; `gates` says of each whether it was kept.
    """

    run: int
    outcome: str
    version: int | None
    opened_ms: int
    seconds: float | None
    settings: int
    overrides: Mapping[str, str]
    code_sha: str
    champion: int | None
    hyperparameters: Mapping[str, Any]
    data: Mapping[str, int]
    metrics: Mapping[str, float | None]
    gates: Mapping[str, bool]
    cost: RunCost

    @property
    def words(self) -> Mapping[str, Any]:
        """The facts that are no figures, by name."""
        return {
            "outcome": self.outcome,
            "version": self.version,
            "settings": self.settings,
            "for this run only": ", ".join(f"{k}={v}" for k, v in self.overrides.items()) or None,
            "code": self.code_sha[:12] or None,
            "champion then": self.champion,
        }


def compare_runs(ports: Ports, model: str, numbers: Sequence[int]) -> tuple[ComparedRun, ...]:
    """The runs in the order asked for; raises `NotFound` for one that does not exist."""
    rows = [describe_run(ports, model, number) for number in numbers]
    prices = own_prices(ports.deployment.artifact_bucket)
    return tuple(_compared(ports, row, cost_of_run(ports, row, prices)) for row in rows)


def _compared(ports: Ports, run: RunRow, cost: RunCost) -> ComparedRun:
    root = f"s3://{ports.deployment.artifact_bucket}"
    base = f"{root}/{naming.run_base(run.model, run.number)}"
    verdict = find_json(f"{base}/verdict/verdict.json") or {}
    settings = find_json(f"{root}/{naming.settings_key(run.model, run.number)}") or {}
    champion = verdict.get("champion") or {}
    return ComparedRun(
        run=run.number,
        outcome=str(run.outcome or run.state),
        version=run.version.number if run.version else None,
        opened_ms=run.opened_ms,
        seconds=None if run.ended_ms is None else (run.ended_ms - run.opened_ms) / 1000,
        settings=run.settings,
        overrides=run.overrides,
        code_sha=str((verdict.get("candidate") or {}).get("code_digest", "")) or _code_of(run),
        champion=champion.get("version"),
        hyperparameters=_hyperparameters(verdict, settings),
        data=_data(run),
        metrics={
            name: value
            for name, value in (verdict.get("metrics") or verdict.get("figures") or {}).items()
            if ":" not in name
        },
        gates={str(gate["name"]): bool(gate["passed"]) for gate in verdict.get("gates") or ()},
        cost=cost,
    )


def _code_of(run: RunRow) -> str:
    """The digest of the code that the run was started with; empty before its start."""
    return str(json.loads(run.input).get("code_sha", "")) if run.input else ""


def _hyperparameters(verdict: Mapping[str, Any], settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those that the model was trained with: chosen by tuning, else those of the settings."""
    given = (settings.get("train") or {}).get("hyperparameters") or {}
    return {**given, **((verdict.get("settings") or {}).get("hyperparameters") or {})}


def _data(run: RunRow) -> dict[str, int]:
    found: dict[str, int] = {}
    if run.manifest is not None:
        found |= {"objects": run.manifest.objects, "bytes": run.manifest.bytes}
    rows = run.check.get("rows")
    if isinstance(rows, Mapping):
        found |= {f"{name} rows": int(rows[name]) for name in CHECKED if name in rows}
    return found
