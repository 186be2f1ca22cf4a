"""Rows on disk between the two passes of a check: an object's rows count only once it is good."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FLUSH_ROWS = 200_000
FLUSH_BYTES = 256 << 20  # rows of long texts are many bytes; also the most of a later pass


class Spool:
    """Tables gathered object by object; `keep` or `drop` decides about the current object.

    At most `FLUSH_ROWS` rows, and about `FLUSH_BYTES`, of kept and of undecided tables each are
    held in memory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []
        self._kept: list[pa.Table] = []
        self._pending: list[pa.Table] = []
        self._spilled: list[Path] = []
        self._count = 0

    def add(self, table: pa.Table) -> None:
        """Take some rows of the current object."""
        self._pending.append(table)
        if _is_full(self._pending):
            self._spilled.append(self._write(self._pending))
            self._pending = []

    def keep(self) -> None:
        """The current object is good: its rows count, after all earlier ones."""
        if self._spilled:
            self._flush()
            self.files += self._spilled
            self._spilled = []
        self._kept += self._pending
        self._pending = []
        if _is_full(self._kept):
            self._flush()

    def drop(self) -> None:
        """The current object is refused: forget its rows."""
        for path in self._spilled:
            path.unlink()
        self._spilled = []
        self._pending = []

    def tables(self, rows: int, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """All rows that count, in their order, in tables of about `rows` rows."""
        self._flush()
        for path in self.files:
            for batch in pq.ParquetFile(path).iter_batches(rows, columns=columns):
                yield pa.Table.from_batches([batch])

    def _flush(self) -> None:
        if self._kept:
            self.files.append(self._write(self._kept))
            self._kept = []

    def _write(self, tables: list[pa.Table]) -> Path:
        path = self.folder / f"rows-{self._count}.parquet"
        self._count += 1
        pq.write_table(pa.concat_tables(tables), path, compression="zstd")
        return path


def _is_full(tables: list[pa.Table]) -> bool:
    return (
        sum(len(table) for table in tables) >= FLUSH_ROWS
        or sum(table.nbytes for table in tables) >= FLUSH_BYTES
    )
