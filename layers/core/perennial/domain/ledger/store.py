"""How the ledger is read and written: strongly consistent reads, compare-and-swap transactions.

``perennial.aws.ledger_table`` is the store of production (DynamoDB's TransactWriteItems);
:class:`MemoryStore` keeps the same promises for tests and simulations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from perennial.domain.errors import Conflict
from perennial.domain.ledger.monitor_rows import MonitorRow, WindowRow
from perennial.domain.ledger.rows import (
    Key,
    ModelRow,
    ReleaseRow,
    Row,
    RunRow,
    SettingsRow,
    SignalRow,
    model_key,
    model_pk,
)

#: DynamoDB's limit of one transaction.
MOST_WRITES = 100
#: How many signals one transaction moves: each takes up to two changes.
CHUNK = 40


@dataclass(frozen=True)
class Write:
    """Put ``row`` (or delete, when None) if the stored ``rev`` is ``expect`` (None: no row)."""

    key: Key
    expect: int | None
    row: Row | None


@dataclass(frozen=True)
class Check:
    """Let the transaction pass only if the stored ``rev`` is ``rev`` (None: no row)."""

    key: Key
    rev: int | None


Change: TypeAlias = Write | Check
#: What takes effect whole or not at all; at most :data:`MOST_WRITES` changes, one a key.
Transaction: TypeAlias = tuple[Change, ...]

RowT = TypeVar("RowT", ModelRow, SettingsRow, SignalRow, RunRow, ReleaseRow, MonitorRow, WindowRow)


def create(row: Row, *, after: int = 0) -> Write:
    """Put a row where none is; ``after`` is the last rev that an earlier row of this id had."""
    return Write(row.key, None, replace(row, rev=after + 1))


def change(row: RowT, **fields: Any) -> Write:
    """Put ``row`` with changed fields in the place where it was read."""
    return Write(row.key, row.rev, replace(row, **fields, rev=row.rev + 1))


def drop(row: Row) -> Write:
    """Delete the row as it was read."""
    return Write(row.key, row.rev, None)


def unchanged(row: Row) -> Check:
    """Let the transaction pass only if the row is still as it was read."""
    return Check(row.key, row.rev)


def absent(key: Key) -> Check:
    """Let the transaction pass only if there is no such row."""
    return Check(key, None)


def move(row: SignalRow, **fields: Any) -> tuple[Write, Write]:
    """Settle or reopen a signal: its row leaves ``open#`` for ``done#`` or the other way."""
    moved = replace(row, **fields)
    if moved.key == row.key:
        raise ValueError(f"signal {row.id} does not move: {row.state} to {moved.state}")
    return drop(row), create(moved, after=row.rev)


def in_chunks(groups: Sequence[Transaction], guard: Check | None = None) -> tuple[Transaction, ...]:
    """Join small transactions into as few as may be, each with the guard in front."""
    front: Transaction = (guard,) if guard is not None else ()
    joined: list[Transaction] = []
    for start in range(0, len(groups), CHUNK):
        inner = tuple(each for group in groups[start : start + CHUNK] for each in group)
        joined.append((*front, *inner))
    return tuple(joined)


class Store(Protocol):
    """The ledger table."""

    def get(self, key: Key) -> Row | None:
        """The row at ``key``, as of now."""

    def query(self, pk: str, sk_prefix: str) -> Iterable[Row]:
        """Every row of the partition whose sort key begins so, ordered by it."""

    def commit(self, changes: Sequence[Change]) -> None:
        """Make all changes or none; raises ``Conflict`` if any row is not as expected."""


class MemoryStore:
    """A store in memory. Rows are immutable, so readers share them safely."""

    def __init__(self) -> None:
        # By partition and family of sort keys ("open", "done", …): queries ask for one family.
        self._rows: dict[tuple[str, str], dict[str, Row]] = {}

    def get(self, key: Key) -> Row | None:
        """The row at ``key``."""
        return self._family(key).get(key.sk)

    def query(self, pk: str, sk_prefix: str) -> list[Row]:
        """Every row of the partition whose sort key begins so, ordered by it."""
        rows = self._family(Key(pk, sk_prefix))
        return [rows[sk] for sk in sorted(rows) if sk.startswith(sk_prefix)]

    def commit(self, changes: Sequence[Change]) -> None:
        """Make all changes or none; raises ``Conflict`` if any row is not as expected."""
        keys = [each.key for each in changes]
        if len(keys) > MOST_WRITES or len(set(keys)) < len(keys):
            raise ValueError(f"no transaction: {len(keys)} changes of {len(set(keys))} rows")
        for each in changes:
            row = self._family(each.key).get(each.key.sk)
            expected = each.expect if isinstance(each, Write) else each.rev
            if (row.rev if row else None) != expected:
                raise Conflict(f"{'/'.join(each.key)} is not at revision {expected}")
        for each in changes:
            if isinstance(each, Write):
                self._put(each.key, each.row)

    def _family(self, key: Key) -> dict[str, Row]:
        return self._rows.setdefault((key.pk, key.sk.partition("#")[0]), {})

    def _put(self, key: Key, row: Row | None) -> None:
        if row is None:
            self._family(key).pop(key.sk, None)
        else:
            self._family(key)[key.sk] = row


def read_model(store: Store, model: str) -> ModelRow | None:
    """The model's own row; None also for a model that was removed."""
    row = store.get(model_key(model))
    return row if isinstance(row, ModelRow) and row.removed_ms is None else None


def read_signal(store: Store, key: Key) -> SignalRow | None:
    """The signal's row at an ``open#`` or ``done#`` key."""
    row = store.get(key)
    return row if isinstance(row, SignalRow) else None


def read_run(store: Store, key: Key) -> RunRow | None:
    """The run's row."""
    row = store.get(key)
    return row if isinstance(row, RunRow) else None


def read_release(store: Store, key: Key) -> ReleaseRow | None:
    """The release's row."""
    row = store.get(key)
    return row if isinstance(row, ReleaseRow) else None


def read_signals(store: Store, model: str, sk_prefix: str) -> tuple[SignalRow, ...]:
    """Every signal below ``open#`` or ``done#``."""
    rows = store.query(model_pk(model), sk_prefix)
    return tuple(cast("Iterable[SignalRow]", rows))
