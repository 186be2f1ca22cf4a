"""Approve a candidate that won, if the model's policy lets a machine do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.aws import registry
from perennial.describe_model import known_model, parsed_settings, read_settings
from perennial.describe_run import known_run
from perennial.domain.ledger.rows import ModelRow, RunRow, SettingsRow
from perennial.domain.settings import Release

if TYPE_CHECKING:
    from perennial.wiring import Ports

# Whoever may ask for a run must not thereby choose what the policy approves: neither by what a
# candidate is judged (a larger machine also answers faster) nor which code trains it.
JUDGED_BY = ("gates.", "data.", "bias.", "jobs.evaluate")
TRAINED_BY = ("train.algorithm", "train.image")
TRAINER = "what trained it was"


@dataclass(frozen=True)
class Approval:
    """Whether the version was approved, and why or why not, in words."""

    approved: bool
    words: str


def approve_candidate(ports: Ports, model: str, run: int, arn: str) -> Approval:
    """Decide by the policy of the run's settings, and approve in the registry if it says so.

    What the caller says of the verdict is not looked at: the ledger knows it. Again is harmless.
    """
    row = known_model(ports.ledger, model)
    run_row = known_run(ports.ledger, model, run)
    version = registry.describe_version(arn)
    if version.status == registry.APPROVED:
        return Approval(True, f"approved before: {version.approval_words}")
    settings = read_settings(ports.ledger, row, run_row.settings)
    approval = decide_approval(
        arn, run_row, version.status, settings, _champion_settings(ports, row)
    )
    if approval.approved:
        registry.update_approval(arn, registry.APPROVED, approval.words)
    return approval


def decide_approval(
    arn: str,
    run: RunRow,
    status: str,
    settings: SettingsRow,
    champions: SettingsRow | None,
) -> Approval:
    """What the policy says of a run's version; pure.

    `champions` are the settings that the champion was trained with, None without a champion.
    """
    objection = _unfit(arn, run, status) or _by_policy(run, settings, champions)
    if objection:
        return Approval(False, f"left for a person: {objection}")
    return Approval(True, f"approved by policy: {run.verdict.words if run.verdict else ''}")


def _unfit(arn: str, run: RunRow, status: str) -> str:
    """Why no policy could approve this version; empty: one could."""
    name = f"run {run.number} of {run.model}"
    if run.version is None or run.version.arn != arn:
        return f"{name} did not register {arn}"
    if run.verdict is None or not run.verdict.passed:
        return f"{name} has no verdict that passed"
    return "" if status == registry.PENDING else f"the version is {status}"


def _by_policy(run: RunRow, settings: SettingsRow, champions: SettingsRow | None) -> str:
    """Why the model's policy leaves the version for a person; empty: it does not."""
    policy: Release = parsed_settings(settings.settings, run.model).release
    if policy.approval != "policy":
        return "release.approval is person"
    return _by_overrides(run) or (
        "" if policy.approve_code_changes else code_objection(settings, champions)
    )


def _by_overrides(run: RunRow) -> str:
    for keys, what in ((JUDGED_BY, "the settings it was judged by were"), (TRAINED_BY, TRAINER)):
        given = [key for key in sorted(run.overrides) if key.startswith(keys)]
        if given:
            return f"{what} given for this run only ({given[0]})"
    return ""


def code_objection(settings: SettingsRow, champions: SettingsRow | None) -> str:
    """Why its code is new to the policy; empty: the champion was made by the same.

    The archive holds model.yaml too, so another algorithm or image is other code.
    """
    rule = "release.approve_code_changes is false"
    if champions is None:
        return f"there is no champion yet, so nobody has approved its code, and {rule}"
    if champions.code_sha != settings.code_sha:
        return (
            f"its code (settings {settings.version}) is not the champion's "
            f"(settings {champions.version}), and {rule}"
        )
    return ""


def _champion_settings(ports: Ports, model: ModelRow) -> SettingsRow | None:
    if model.champion is None:
        return None
    return read_settings(ports.ledger, model, model.champion.settings)
