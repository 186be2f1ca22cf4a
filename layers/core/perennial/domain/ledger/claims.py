"""The claim: which execution may act for a run, and what it may record on the run's row."""

from __future__ import annotations

from perennial.domain.errors import NotClaimed
from perennial.domain.ledger.rows import FinishedStep, ModelRow, RunRow, Verdict, Version
from perennial.domain.ledger.store import Transaction, change


def check_claim(model: ModelRow | None, run: RunRow | None, execution: str) -> None:
    """Raise ``NotClaimed`` unless ``execution`` (an ARN) may act for ``run`` now.

    It may if the run row names it, the run holds its model, and its end is not recorded. So an
    execution that was restarted or redriven by hand, or that started too late, ends here.
    """
    if model is None or run is None:
        raise NotClaimed("its model was removed, or its run never was; nothing is to be done")
    name = f"run {run.number} of {run.model}"
    if run.execution != execution:
        raise NotClaimed(f"{name} belongs to execution {run.execution or '(none)'}")
    if run.state not in ("claimed", "started") or run.ending is not None:
        outcome = run.outcome or (run.ending.outcome if run.ending else run.state)
        raise NotClaimed(
            f"{name} is over ({outcome}); to repeat it: perennial run retry {run.model} "
            f"{run.number}"
        )
    if model.open_run != run.number:
        raise NotClaimed(f"{name} does not hold its model any more")


def record_plan(run: RunRow, plan: str) -> Transaction:
    """Note what the run is going to do; the first plan stays."""
    return () if run.plan else (change(run, plan=plan),)


def record_verdict(run: RunRow, verdict: Verdict) -> Transaction:
    """Note the run's verdict; empty if it is noted already."""
    return () if run.verdict == verdict else (change(run, verdict=verdict),)


def record_version(run: RunRow, version: Version) -> Transaction:
    """Note the model package that the run registered; empty if it is noted already."""
    return () if run.version == version else (change(run, version=version),)


def record_steps(run: RunRow, steps: tuple[FinishedStep, ...]) -> Transaction:
    """Note the steps that the run finished; empty if they are noted already."""
    return () if run.steps == steps else (change(run, steps=steps),)
