"""Captured requests of a window with their ground truth, row by row.

A label belongs to the request whose `inferenceId`, else `eventId`, it names; of several the one
that was collected last counts. Labels wait in a file of SQLite while requests stream by, so memory
stays bounded. Formats and reading are those of labelled traffic (`jobs/traffic.py`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, repeat
from pathlib import Path

from perennial.domain.captured import (
    BadLine,
    Scored,
    event_of,
    read_labels,
    read_scored,
)
from perennial.domain.schema import BadValue, text_of
from perennial.domain.settings import Settings

from jobs.captures import Captures, Damage
from jobs.monitor_config import MonitorConfig
from jobs.monitor_report import Report
from jobs.places import objects
from jobs.readers import shown
from jobs.traffic import PUT, TABLE


@dataclass(frozen=True)
class Row:
    """A row that was answered and whose label is known. `values` are its features' texts.

    `event` names its request, in which it is the row number `place`, from 0.
    """

    label: str
    answer: Scored
    values: Mapping[str, str]
    event: str = ""
    place: int = 0


@dataclass
class Truth:
    """The labels of a window, and what became of them."""

    settings: Settings
    config: MonitorConfig
    folder: Path
    rows: int = 0
    labelled: int = 0
    late: int = 0
    replaced: int = 0
    repeated: int = 0
    unlabelled: int = 0
    unmatched: int = 0
    damage: Damage = field(default_factory=Damage)

    def joined(self, captures: Captures, *, values: bool) -> Iterator[Row]:
        """Every labelled row of the window; `values` says whether its features are wanted."""
        table = sqlite3.connect(self.folder / "labels.sqlite", isolation_level=None)
        try:
            # A temporary file that nobody else reads: what a crash leaves of it does not matter.
            table.execute("PRAGMA synchronous = OFF")
            table.execute("PRAGMA journal_mode = OFF")
            table.execute(TABLE)
            table.execute("BEGIN")
            self._read_labels(table)
            for name, document in captures.lines():
                try:
                    answers = read_scored(document)
                    event = event_of(document)
                except BadLine as error:
                    captures.tally.break_line(f"{name}: {error}")
                    continue
                labels = self._take(table, event)
                if labels is None:
                    self.rows += len(answers)
                    continue
                rows = captures.rows_of(name, document) if values else [{} for _ in answers]
                if not len(labels) == len(answers) == len(rows):
                    captures.tally.break_line(
                        f"{name}: {shown(event)} has {len(rows)} rows, {len(answers)} predictions "
                        f"and {len(labels)} labels"
                    )
                    continue
                self.rows += len(answers)
                self.labelled += len(answers)
                yield from map(Row, labels, answers, rows, repeat(event), count())
            query = "SELECT COUNT(*) FROM labels WHERE used = 0"
            self.unmatched = table.execute(query).fetchone()[0]
        finally:
            table.close()

    def tell(self, report: Report, captures: Captures) -> None:
        """Take over what was read."""
        tally = captures.tally
        report.rows, report.labelled_rows = self.rows, self.labelled
        report.late, report.unmatched_labels = self.late, self.unmatched
        report.broken_lines = tally.broken_lines + self.damage.broken_lines
        report.is_empty = not self.labelled
        report.notes += [*tally.notes, *self.damage.notes]
        report.counts |= {
            "requests": tally.requests,
            "outside_window": tally.outside_window,
            "objects_of_other_endpoints": tally.other_endpoints,
            "other_versions": tally.other_versions,
            "requests_without_label": self.unlabelled,
            "labels_replaced": self.replaced,
            "captured_twice": self.repeated,
        }
        if self.rows and not self.labelled:
            report.notes.append("no request of the window has a label yet")

    def _read_labels(self, table: sqlite3.Connection) -> None:
        label = self.settings.data.column(self.settings.label)
        missing = frozenset(self.settings.data.missing)
        config = self.config
        place = self.folder / "labels"
        place.mkdir()
        taken = 0
        for found in objects(config.labels, config.start_ms, config.labels_until_ms, place):
            lines = (each for block in self.damage.blocks(found) for each in block.splitlines())
            for line in filter(bytes.strip, lines):
                try:
                    event, texts = read_labels(line.decode("utf-8"))
                    values = [label.parse(text, missing) for text in texts]
                    if None in values:
                        raise BadLine("the label has no value")  # noqa: TRY301
                except (BadLine, BadValue, UnicodeDecodeError) as error:
                    self.damage.break_line(f"{found.name}: {error}")
                    continue
                given = json.dumps([text_of(value) for value in values])
                table.execute(PUT, (event, given, found.hour_ms or 0, 0))
                taken += 1
        query = "SELECT COUNT(*) FROM labels"
        self.replaced = taken - table.execute(query).fetchone()[0]

    def _take(self, table: sqlite3.Connection, event: str) -> list[str] | None:
        """The labels of a request, once."""
        query = "SELECT label, landed, used FROM labels WHERE id = ?"
        row = table.execute(query, (event,)).fetchone()
        if row is None:
            self.unlabelled += 1
            return None
        if row[2]:
            self.repeated += 1
            return None
        table.execute("UPDATE labels SET used = 1 WHERE id = ?", (event,))
        self.late += row[1] >= self.config.end_ms + self.config.delay_ms
        return [str(label) for label in json.loads(row[0])]
