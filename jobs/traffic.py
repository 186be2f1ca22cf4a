"""Captured requests and their ground truth, merged into labelled rows.

Formats are SageMaker's: capture files of an endpoint, and ground truth as Model Monitor reads it.
A label belongs to the request whose `inferenceId`, else `eventId`, it names. Labels may come long
before or after their request; of several for one request the newest counts. They are kept in a
file of SQLite while requests stream by, so memory stays bounded.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from perennial.domain.captured import (
    BadLine,
    csv_rows,
    document_of,
    event_of,
    label_texts,
    plain_text,
)
from perennial.domain.schema import BadValue, text_of
from perennial.domain.settings import Settings
from perennial.domain.text import lines_of, parse_json

from jobs.entries import Entry
from jobs.readers import BadRow, Chunk, Reading, shown, text_lines
from jobs.reviews import Gathered

#: A label's values of one request, by the request's id: the newest; `used`: a request took it.
TABLE = """CREATE TABLE labels (
    id TEXT PRIMARY KEY, label TEXT NOT NULL, landed INTEGER NOT NULL, object INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID"""
PUT = """INSERT INTO labels (id, label, landed, object) VALUES (?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET
    label = excluded.label, landed = excluded.landed, object = excluded.object"""
CSV_KINDS = ("text/csv", "application/csv")
LINES_KINDS = ("application/jsonlines", "application/x-jsonlines", "application/jsonl")
#: Keys under which a JSON request may hold several rows.
ROWS_KEYS = ("instances", "rows")


class Traffic:
    """All of a run's labelled traffic: first every label object, then every capture object."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.label = settings.data.column(settings.label)
        self.missing = frozenset(settings.data.missing)
        self.features = [column.name for column in settings.features]
        self.added = self.unlabelled = self.repeated = 0
        self._counts: Counter[str] = Counter()
        self._objects: list[Entry] = []
        # A temporary file that nobody else reads: what a crash leaves of it does not matter.
        self.table = sqlite3.connect(folder / "labels.sqlite", isolation_level=None)
        self.table.execute("PRAGMA synchronous = OFF")
        self.table.execute("PRAGMA journal_mode = MEMORY")
        self.table.execute(TABLE)

    def read(self, path: Path, entry: Entry) -> Reading:
        """Begin an object; what it brings counts once `keep` says so."""
        self.table.execute("BEGIN")
        self._counts.clear()
        chunks = self._requests(path) if entry.is_capture else self._labels(path, entry)
        return Reading(chunks)

    def keep(self) -> tuple[str, ...]:
        """The current object is good; notices about it."""
        self.table.execute("COMMIT")
        found = self._counts
        self.added += found["label"]
        self.unlabelled += found["unlabelled"]
        self.repeated += found["repeated"]
        notices = []
        if found["unlabelled"]:
            notices.append(f"captured requests without a label: {found['unlabelled']:,}")
        if found["repeated"]:
            notices.append(f"captured twice, counted once: {found['repeated']:,}")
        return tuple(notices)

    def drop(self) -> None:
        """The current object is refused: its labels do not count, nor what it took."""
        self.table.execute("ROLLBACK")

    def close(self) -> tuple[dict[str, int], dict[Entry, str]]:
        """The figures of the merge, and a notice for each label object some of whose labels have
        no captured request."""
        kept, unused = 0, 0
        notices = {}
        query = "SELECT object, COUNT(*), SUM(used = 0) FROM labels GROUP BY object"
        for number, labels, left in self.table.execute(query):
            kept += labels
            unused += left
            if left:
                notices[self._objects[number]] = f"labels without a captured request: {left:,}"
        self.table.close()
        figures = {
            "labels": self.added,
            "replaced": self.added - kept,
            "unlabelled": self.unlabelled,
            "unmatched": unused,
            "repeated": self.repeated,
        }
        return figures, notices

    def _labels(self, path: Path, entry: Entry) -> Iterator[Chunk]:
        """Take in the labels of one object; only what is bad is handed on."""
        number_of_object = len(self._objects)
        self._objects.append(entry)
        bad: list[BadRow] = []
        for number, line in text_lines(path):
            try:
                event, texts = self._truth(document_of(line))
            except BadLine as error:
                bad.append(BadRow(number, None, str(error), shown(line)))
            except BadValue as error:
                bad.append(BadRow(number, self.label.name, str(error), shown(line)))
            else:
                given = (event, json.dumps(texts), entry.last_modified_ms, number_of_object)
                self.table.execute(PUT, given)
                self._counts["label"] += 1
            if len(bad) >= 1000:
                yield self._nothing_but(bad)
                bad = []
        if bad:
            yield self._nothing_but(bad)

    def _nothing_but(self, bad: list[BadRow]) -> Chunk:
        return Gathered(bad=bad).chunk(len(self.settings.data.columns))

    def _truth(self, document: Mapping[str, Any]) -> tuple[str, list[str]]:
        """The request that a line of ground truth is for, and its labels in canonical texts."""
        truth = document.get("groundTruthData")
        if not isinstance(truth, Mapping):
            raise BadLine("no ground truth: groundTruthData is missing")
        texts = []
        for text in label_texts(truth):
            value = self.label.parse(text, self.missing)
            if value is None:
                raise BadLine("the label has no value")
            texts.append(text_of(value))
        if not texts:
            raise BadLine("groundTruthData holds no label")
        return event_of(document), texts

    def _requests(self, path: Path) -> Iterator[Chunk]:
        """The labelled rows of one capture object."""
        width = len(self.settings.data.columns)
        part = Gathered()
        for number, line in text_lines(path):
            part.characters += len(line)
            try:
                self._request(number, line, part)
            except BadLine as error:
                part.bad.append(BadRow(number, None, str(error), shown(line)))
            if part.is_full:
                yield part.chunk(width)
                part = Gathered()
        if part.lines or part.bad:
            yield part.chunk(width)

    def _request(self, number: int, line: str, part: Gathered) -> None:
        """Add the rows of one captured request, if its labels are known."""
        document = document_of(line)
        captured = document.get("captureData")
        if not isinstance(captured, Mapping) or not isinstance(
            captured.get("endpointInput"), Mapping
        ):
            raise BadLine("no capture: captureData.endpointInput is missing")
        found = self._take(event_of(document))
        if found is None:
            return
        labels, landed = found
        rows = rows_of_request(captured["endpointInput"], self.features)
        if len(rows) != len(labels):
            raise BadLine(f"the request has {len(rows)} rows, its ground truth {len(labels)}")
        for row, label in zip(rows, labels, strict=True):
            row[self.settings.label] = label
            part.lines.append(number)
            part.texts.append(line)
            part.rows.append([row[column.name] for column in self.settings.data.columns])
            part.landed.append(landed)
            part.order.append(landed)

    def _take(self, event: str) -> tuple[list[str], int] | None:
        """The labels of a request and when they landed, once."""
        query = "SELECT label, landed, used FROM labels WHERE id = ?"
        row = self.table.execute(query, (event,)).fetchone()
        if row is None:
            self._counts["unlabelled"] += 1
            return None
        if row[2]:
            self._counts["repeated"] += 1
            return None
        self.table.execute("UPDATE labels SET used = 1 WHERE id = ?", (event,))
        return json.loads(row[0]), row[1]


class BadWidth(BadLine):
    """A row of values without names, too many or too few of them."""

    def __init__(self, width: int, expected: int) -> None:
        super().__init__(f"a row of the request has {width} values; expected {expected}")
        self.width = width


def rows_of_request(
    part: Mapping[str, Any], features: Sequence[str], *, as_sent: bool = False
) -> list[dict[str, str]]:
    """The texts of the features of each row in a request; raises `BadLine`, `BadWidth`.

    `as_sent` leaves out what a row of names lacks, and has an empty text for each name that is no
    feature.
    """
    text = plain_text(part)
    kind = str(part.get("observedContentType") or "").partition(";")[0].strip().lower()
    encoding = part["encoding"]
    if encoding == "CSV" or (encoding == "BASE64" and kind in CSV_KINDS):
        return [_by_position(row, features) for row in _csv_rows(text, features)]
    if encoding == "BASE64" and kind not in (*LINES_KINDS, "application/json"):
        raise BadLine(f"content type {shown(kind) or '(none)'} cannot be read")
    lines = lines_of(text) if kind in LINES_KINDS else [text]
    found = []
    for line in filter(str.strip, lines):
        try:
            document = parse_json(line)
        except (ValueError, RecursionError) as error:
            raise BadLine(f"the request is no JSON: {error}") from None
        found += [_row_of(each, features, as_sent=as_sent) for each in _several(document)]
    return found


def _csv_rows(text: str, features: Sequence[str]) -> list[list[str]]:
    """Rows in the order of the features; a header may stand above them, in any order."""
    rows = [[cell.strip() for cell in row] for row in csv_rows(text)]
    if rows and sorted(rows[0]) == sorted(features):
        places = [rows[0].index(name) for name in features]
        if any(len(row) != len(places) for row in rows):
            raise BadLine("a row of the request has another width than its header")
        return [[row[place] for place in places] for row in rows[1:]]
    return rows


def _several(document: Any) -> list[Any]:
    """The rows of a JSON request: one object, a list of rows, or a list under a usual key."""
    if isinstance(document, Mapping):
        for key in ROWS_KEYS:
            if isinstance(document.get(key), list):
                return list(document[key])
        return [document]
    if isinstance(document, list) and all(isinstance(each, (list, Mapping)) for each in document):
        return document
    return [document]


def _row_of(row: Any, features: Sequence[str], *, as_sent: bool) -> dict[str, str]:
    if isinstance(row, Mapping) and isinstance(row.get("features"), list):
        row = row["features"]
    try:
        if isinstance(row, Mapping):
            wanted = [name for name in features if name in row] if as_sent else features
            texts = {name: text_of(row.get(name)) for name in wanted}
            return {**dict.fromkeys(map(str, row), ""), **texts} if as_sent else texts
        if isinstance(row, list):
            return _by_position([text_of(value) for value in row], features)
    except TypeError as error:
        raise BadLine(f"a feature of the request is {error}, no single value") from None
    raise BadLine("a row of the request is neither an object nor a list")


def _by_position(row: Sequence[str], features: Sequence[str]) -> dict[str, str]:
    if len(row) != len(features):
        raise BadWidth(len(row), len(features))
    return dict(zip(features, row, strict=True))
