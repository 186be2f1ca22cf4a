"""Short ways to write the ledger's rows down in tests."""

from __future__ import annotations

from typing import Any

from perennial.domain.ledger.book import Book
from perennial.domain.ledger.limits import Limits
from perennial.domain.ledger.rows import (
    Champion,
    Ending,
    ManifestRef,
    ModelRow,
    RunRow,
    SettingsRow,
    SignalRow,
)
from perennial.domain.ledger.store import Check, MemoryStore, Transaction, Write
from perennial.domain.signals import ObjectVersion, Signal, data_signal, manual_signal

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOW = 1_800_000_000_000
LIMITS = Limits(quiet_ms=5 * MINUTE, max_wait_ms=HOUR, cool_down_ms=2 * HOUR, max_runs_per_day=3)
EXECUTION = "arn:aws:states:eu-west-1:123456789012:execution:perennial-retrain:perennial-census-7"


def model(**fields: Any) -> ModelRow:
    """A model with settings 3 and data, whose last run was 6."""
    return ModelRow(
        **{"model": "census", "rev": 10, "settings": 3, "last_run": 6, "has_data": True, **fields}
    )


def version(name: str = "a.csv", number: int = 1, *, size: int = 10) -> ObjectVersion:
    """A version of an object of census."""
    return ObjectVersion("landing", f"incoming/census/{name}", f"v{number}", "e", size, NOW)


def row(signal: Signal, **fields: Any) -> SignalRow:
    """A signal's row, admitted ten minutes ago."""
    return SignalRow(
        **{
            "model": signal.model,
            "id": signal.id,
            "kind": signal.kind,
            "parts": signal.parts,
            "evidence": signal.evidence,
            "admitted_ms": NOW - 10 * MINUTE,
            "rev": 1,
            **fields,
        }
    )


def data(name: str = "a.csv", number: int = 1, **fields: Any) -> SignalRow:
    """A data signal."""
    return row(data_signal("census", version(name, number)), **fields)


def manual(token: str = "t1", overrides: dict[str, str] | None = None, **fields: Any) -> SignalRow:
    """A person's request."""
    signal = manual_signal("census", token, by="ann", because="to see", overrides=overrides or {})
    return row(signal, **fields)


def code(settings: int = 3, **fields: Any) -> SignalRow:
    """A push."""
    return row(Signal("census", "code", (str(settings),), {"by": "ann"}), **fields)


def schedule(at: str = "2026-11-20T03:00:00Z", **fields: Any) -> SignalRow:
    """A schedule's time."""
    return row(Signal("census", "schedule", ("nightly", at)), **fields)


def review(number: int = 1, **fields: Any) -> SignalRow:
    """Reviewers' answers."""
    return row(Signal("census", "review", (str(number),), {"answers": 20}), **fields)


def drift(alarm: str = "perennial-monitor-census-bias", **fields: Any) -> SignalRow:
    """An alarm."""
    return row(Signal("census", "drift", (alarm, "2026"), {"reason": "crossed"}), **fields)


def run(**fields: Any) -> RunRow:
    """Run 7 of census, being opened."""
    return RunRow(
        **{
            "model": "census",
            "number": 7,
            "settings": 3,
            "opened_ms": NOW - MINUTE,
            "rev": 5,
            **fields,
        }
    )


def claimed_run(**fields: Any) -> RunRow:
    """Run 7, claimed."""
    given = {
        "state": "claimed",
        "execution": EXECUTION,
        "input": "{}",
        "manifest": ManifestRef("s3://artifacts/manifest", "d", 1, 10),
        **fields,
    }
    return run(**given)


def ended_run(outcome: str, number: int = 7, **fields: Any) -> RunRow:
    """A run that ended."""
    return claimed_run(number=number, state="ended", outcome=outcome, **fields)


def champion(run_number: int = 5, **fields: Any) -> Champion:
    """Version 4 of census, approved an hour ago."""
    return Champion(
        **{
            "version": 4,
            "arn": "arn:4",
            "digest": "d",
            "run": run_number,
            "settings": 3,
            "since_ms": NOW - HOUR,
            **fields,
        }
    )


def book(*signals: SignalRow, run: RunRow | None = None, **fields: Any) -> Book:
    """A model's book; with an open run if one is given."""
    open_run = run.number if run else None
    return Book(model(**{"open_run": open_run, **fields}), signals, run)


def ending_book(ending: Ending, *signals: SignalRow, **fields: Any) -> Book:
    """The book of a model whose run 7 is being settled."""
    run_fields = fields.pop("run_fields", {})
    open_run = claimed_run(ending=ending, state="started", **run_fields)
    return book(*signals, run=open_run, **{"last_run": 7, **fields})


def settings_row(number: int = 3, **fields: Any) -> SettingsRow:
    """Settings 3 of census."""
    return SettingsRow(
        **{
            "model": "census",
            "version": number,
            "code": "s3://artifacts/code/census/abc.tar.gz",
            "code_sha": "abc",
            "settings": "{}",
            "pushed_ms": NOW,
            "pushed_by": "ann",
            **fields,
        }
    )


def written(changes: Transaction) -> list[Any]:
    """The rows that a transaction puts."""
    return [each.row for each in changes if isinstance(each, Write) and each.row is not None]


def deleted(changes: Transaction) -> list[str]:
    """The sort keys that a transaction deletes."""
    return [each.key.sk for each in changes if isinstance(each, Write) and each.row is None]


def checks(changes: Transaction) -> list[Check]:
    """What a transaction checks without writing it."""
    return [each for each in changes if isinstance(each, Check)]


def store(*rows: Any) -> MemoryStore:
    """A store that holds these rows as they are."""
    made = MemoryStore()
    for each in rows:
        made.commit([Write(each.key, None, each)])
    return made
