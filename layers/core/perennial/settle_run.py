"""Settle a run whose ending is recorded: its execution over, its jobs stopped, its signals put
where they belong, the model freed. Each part may be repeated after a crash at any point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from perennial.aws import jobs
from perennial.aws.machine import describe
from perennial.aws.objects import find_json, get_bytes
from perennial.domain import manifest as manifests
from perennial.domain import naming
from perennial.domain.errors import Conflict
from perennial.domain.ledger.book import Book, read_book
from perennial.domain.ledger.rows import Key, RunRow, SignalRow, done_key
from perennial.domain.ledger.settling import Findings, Quarantine, settle
from perennial.domain.ledger.store import read_run, read_signal
from perennial.domain.step_keys import place_of
from perennial.finished_steps import note_steps

if TYPE_CHECKING:
    from perennial.wiring import Ports

MOST_ROUNDS = 1000  # each round settles forty signals a transaction
MOST_BAD_LINES = 5
LONGEST_WORDS = 300


def settle_run(ports: Ports, book: Book) -> RunRow | None:
    """Settle and free the open run; its row as ended, or None while jobs are still stopping.

    Raises `Conflict` when another process settles the same run; read again.
    """
    run = book.run
    if run is None:
        raise Conflict(f"{book.model.model} has no run to settle")
    if not is_quiet(ports, run):
        return None
    if note_steps(ports, run):
        book = _read_again(ports, run)
    findings = read_findings(ports, run)
    for _ in range(MOST_ROUNDS):
        settlement = settle(book, findings, ports.clock())
        if settlement.free:
            ports.ledger.commit(settlement.free)
            return _ended(ports, run)
        for transaction in settlement.transactions:
            ports.ledger.commit(transaction)
        book = _read_again(ports, run)
    raise Conflict(f"the signals of run {run.number} of {run.model} do not come to rest")


def is_quiet(ports: Ports, run: RunRow) -> bool:
    """Say whether nothing of the run is at work any more; ask what is left to stop.

    An execution can still run here when it was started by a slow opener after the run had been
    given up, or was redriven by hand: its jobs would work for nobody.
    """
    if not run.execution:
        return True  # it never came to a claim, so nothing can have been started for it
    execution = describe(run.execution)
    if execution is not None and not execution.is_over:
        ports.machine.stop(run.execution, error="Stopped", cause="its run has ended")
        return False
    of_run = (ports.deployment.stack, run.model, run.number)
    return not jobs.stop_jobs(naming.run_prefix(*of_run), naming.tuning_prefix(*of_run))


def read_findings(ports: Ports, run: RunRow) -> Findings:
    """What the run read and found, from its manifest and its check's report."""
    if run.manifest is None:
        return Findings()
    listed = manifests.read(get_bytes(run.manifest.uri)).ids
    base = f"s3://{ports.deployment.artifact_bucket}/{naming.run_base(run.model, run.number)}"
    checked = place_of(run, "check_data", base)
    report: Mapping[str, Any] = find_json(f"{checked}/check/report.json") or {}
    quarantined = {
        found.id: found
        for found in map(_quarantine, report.get("objects", []))
        if found is not None and found.id in listed
    }
    return Findings(listed, quarantined, _known(ports, run, quarantined), summary(report))


def summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a report that its run's row keeps: whole numbers and short texts."""
    found: dict[str, Any] = {}
    for name in ("rows", "objects"):
        figures = report.get(name)
        # In the report itself `objects` lists them; its counts are in the summary only.
        if isinstance(figures, Mapping):
            found[name] = {key: value for key, value in figures.items() if type(value) is int}
    if isinstance(report.get("objects"), list):
        judged = report["objects"]
        bad = sum(bool(each.get("quarantined")) for each in judged)
        found["objects"] = {"read": len(judged), "good": len(judged) - bad, "quarantined": bad}
    if "refused" in report:
        found["refused"] = bool(report["refused"])
        found["reason"] = str(report.get("reason", ""))[:LONGEST_WORDS]
    return found


def _quarantine(entry: Mapping[str, Any]) -> Quarantine | None:
    if not entry.get("quarantined"):
        return None
    return Quarantine(
        parts=(entry["bucket"], entry["key"], entry["version_id"]),
        reason=str(entry.get("reason", ""))[:LONGEST_WORDS],
        first_bad=tuple(map(_bad_line, entry.get("first_bad", [])[:MOST_BAD_LINES])),
    )


def _bad_line(found: Mapping[str, Any]) -> str:
    """One bad line in words: where, why, and how it reads."""
    column = f", column {found['column']}" if found.get("column") else ""
    text = f": {found['text']}" if found.get("text") else ""
    return f"line {found.get('line')}{column}: {found.get('why')}{text}"[:LONGEST_WORDS]


def _known(
    ports: Ports, run: RunRow, quarantined: Mapping[str, Quarantine]
) -> dict[str, SignalRow]:
    keys: dict[str, Key] = {found: done_key(run.model, found) for found in quarantined}
    rows = {found: read_signal(ports.ledger, key) for found, key in keys.items()}
    return {found: row for found, row in rows.items() if row is not None}


def _read_again(ports: Ports, run: RunRow) -> Book:
    book = read_book(ports.ledger, run.model)
    if book is None or book.run is None or book.run.number != run.number:
        raise Conflict(f"run {run.number} of {run.model} was settled by another process")
    return book


def _ended(ports: Ports, run: RunRow) -> RunRow:
    ended = read_run(ports.ledger, run.key)
    return ended if ended is not None else replace(run, state="ended")
