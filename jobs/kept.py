"""Which good rows a run works on: the latest of each identity, within the data window.

Decided once, on 40 bytes a row: its identity, its time, its object, a number for its label.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from perennial.domain.holdout import bound
from perennial.domain.settings import Settings

from jobs.casting import OBJECT, ORDER, ROW
from jobs.readers import shown
from jobs.spool import Spool

PASS_ROWS = 50_000
FIRST_CONFLICTS = 5

Array = np.ndarray[Any, Any]


class Kept:
    """The spooled rows that count, as training and holdout."""

    def __init__(self, spool: Spool, settings: Settings) -> None:
        self.spool = spool
        self.settings = settings
        identities, order, labels = self._read()
        self.mask = np.ones(len(identities), dtype=bool)
        if settings.data.identity:
            self.mask = last_of_each(identities, order)
        self.replaced = int((~self.mask).sum())
        older = self._cut(order)
        self.outside = len(older)
        self.outside_by_object = self._count_objects(older)
        self.held = identities[:, 0] < np.uint64(bound(settings.data.holdout))
        self.conflicts = self._conflicts(identities, labels)

    def _read(self) -> tuple[Array, Array, Array]:
        """The two halves of every row's identity, its time, and a number for its label."""
        parts = [np.empty((0, 2), dtype=np.uint64)]
        times, labels = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        codes: dict[str, int] = {}
        for table in self.spool.tables(PASS_ROWS, [ROW, ORDER, self.settings.label]):
            raw = bytes.fromhex("".join(table.column(ROW).to_pylist()))
            parts.append(np.frombuffer(raw, dtype=">u8").reshape(-1, 2).astype(np.uint64))
            times.append(table.column(ORDER).to_numpy())
            labels.append(_numbers(table.column(self.settings.label), codes))
        return np.concatenate(parts), np.concatenate(times), np.concatenate(labels)

    def _cut(self, order: Array) -> Array:
        """Leave only the newest rows, if the window is a number of them; those that went."""
        window = self.settings.data.window
        kept = np.flatnonzero(self.mask)
        if window.kind != "rows" or len(kept) <= window.rows:
            return kept[:0]
        by_age = kept[np.argsort(order[kept], kind="stable")]
        older = by_age[: len(by_age) - window.rows]
        self.mask[older] = False
        return older

    def _count_objects(self, rows: Array) -> dict[int, int]:
        """How many of some rows came with each object."""
        if not len(rows):
            return {}
        parts = [
            table.column(OBJECT).to_numpy() for table in self.spool.tables(PASS_ROWS, [OBJECT])
        ]
        numbers, counts = np.unique(np.concatenate(parts)[rows], return_counts=True)
        return dict(zip(numbers.tolist(), counts.tolist(), strict=True))

    def _conflicts(self, identities: Array, labels: Array) -> dict[str, Any]:
        """The rows whose identity came with different labels, and the first few of them."""
        found = conflicting(identities, labels)
        first = [
            {"row": row, "labels": {label: int(n) for label, n in sorted(counts.items())}}
            for row, counts in self._labels_of(identities, found[: 50 * FIRST_CONFLICTS]).items()
        ]
        count = len(np.unique(identities[found], axis=0)) if len(found) else 0
        return {"rows": len(found), "identities": count, "first": first[:FIRST_CONFLICTS]}

    def _labels_of(self, identities: Array, rows: Array) -> dict[str, dict[str, int]]:
        """The labels, in words, that came with the identities of the first of some rows."""
        wanted: dict[str, dict[str, int]] = {}
        for row in rows:
            if len(wanted) < FIRST_CONFLICTS:
                wanted.setdefault(f"{identities[row, 0]:016x}{identities[row, 1]:016x}", {})
        if not wanted:
            return {}
        for table in self.spool.tables(PASS_ROWS, [ROW, self.settings.label]):
            part = table.filter(pc.is_in(table.column(ROW), pa.array(list(wanted))))
            pairs = (part.column(name).to_pylist() for name in (ROW, self.settings.label))
            for row, label in zip(*pairs, strict=True):
                words = shown(str(label))
                wanted[row][words] = wanted[row].get(words, 0) + 1
        return wanted

    def sets(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Training and holdout rows, table by table."""
        position = 0
        for table in self.spool.tables(PASS_ROWS):
            rows = slice(position, position + len(table))
            position = rows.stop
            mask, held = self.mask[rows], self.held[rows]
            given = table.drop_columns([ORDER, OBJECT])
            yield given.filter(pa.array(mask & ~held)), given.filter(pa.array(mask & held))


def _numbers(column: pa.ChunkedArray, codes: dict[str, int]) -> Array:
    """A number for each label: equal labels have equal ones; `codes` are those of texts so far."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        values = pc.cast(column, pa.float64(), safe=False).to_numpy()
        # Zero has two forms of bits.
        return np.asarray(values + 0.0, dtype=np.float64).view(np.int64)
    encoded = pc.cast(column, pa.string()).combine_chunks().dictionary_encode()
    of_chunk = [codes.setdefault(str(text), len(codes)) for text in encoded.dictionary.to_pylist()]
    places = pc.fill_null(encoded.indices, -1).to_numpy()
    return np.asarray(np.take(np.asarray([*of_chunk, -1], dtype=np.int64), places))


def last_of_each(identities: Array, order: Array) -> Array:
    """A mask of the rows that no later row of the same identity follows.

    `order` is each row's time; of equal times the later position is later.
    """
    by_time = np.lexsort((np.arange(len(identities)), order, identities[:, 1], identities[:, 0]))
    ordered = identities[by_time]
    last = np.ones(len(identities), dtype=bool)
    if len(identities) > 1:
        last[:-1] = (ordered[1:] != ordered[:-1]).any(axis=1)
    mask = np.zeros(len(identities), dtype=bool)
    mask[by_time[last]] = True
    return mask


def conflicting(identities: Array, labels: Array) -> Array:
    """The positions, in order, of all rows whose identity has rows of another label."""
    if len(identities) < 2:
        return np.empty(0, dtype=np.int64)
    order = np.lexsort((labels, identities[:, 1], identities[:, 0]))
    same = (identities[order][1:] == identities[order][:-1]).all(axis=1)
    other = same & (labels[order][1:] != labels[order][:-1])
    group = np.concatenate(([0], np.cumsum(~same)))
    found: Array = np.sort(order[np.isin(group, group[1:][other])])
    return found
