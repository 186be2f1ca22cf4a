"""Reads what a request to a model server asks: rows as CSV, JSON or JSON lines.

Whatever is wrong with a body is a `BadRequest` with the status and the words of its answer.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from perennial.domain.text import printable

JSON, CSV, LINES = "application/json", "text/csv", "application/jsonlines"
KINDS = {
    JSON: JSON,
    CSV: CSV,
    "application/csv": CSV,
    LINES: LINES,
    "application/x-jsonlines": LINES,
    "application/jsonl": LINES,
}
#: Keys under which a JSON body may hold several rows, as captured traffic is read too.
ROWS_KEYS = ("instances", "rows")
EXPLAIN = "explain"
MOST_IGNORED = 20


class BadRequest(ValueError):
    """A request that is answered with `status` and these words; `facts` stand beside them."""

    def __init__(self, words: str, status: int = 400, **facts: Any) -> None:
        super().__init__(words)
        self.status = status
        self.facts = facts


@dataclass(frozen=True)
class Asked:
    """Rows by column name as they came, and what the answer is to hold.

    `ignored` are columns that the schema does not have.
    """

    rows: Sequence[Mapping[str, Any]]
    explain: bool = False
    ignored: tuple[str, ...] = ()


def read_request(body: str | bytes, content_type: str, features: Sequence[str]) -> Asked:
    """The rows of a body; raises `BadRequest` (400, or 415 for a content type nobody reads)."""
    given = content_type.partition(";")[0].strip().lower()
    kind = KINDS.get(given)
    if kind is None:
        raise BadRequest(
            f"content type {printable(given[:100]) or '(none)'} cannot be read; send {JSON}, "
            f"{CSV} or {LINES}",
            415,
        )
    text = _text(body)
    if not text.strip():
        raise BadRequest(f"the body is empty; expected {_wanted(kind, features)}")
    if kind == CSV:
        return Asked(_csv_rows(text, features))
    if kind == JSON:
        return _json_rows(_json(text, "the body"), features)
    # Only "\n" ends a line of JSON: a text may hold what str.splitlines takes for a line's end.
    lines = [line for line in text.split("\n") if line.strip()]
    rows = [_json(line, f"line {number}") for number, line in enumerate(lines, 1)]
    return _named(rows, features)


def _text(body: str | bytes) -> str:
    if isinstance(body, str):
        return body.removeprefix("\ufeff")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8: {error.reason} at byte {error.start}") from None


def _wanted(kind: str, features: Sequence[str]) -> str:
    if kind == CSV:
        return f"{len(features)} values a line: {_listed(features)}"
    one = '{"' + features[0] + '": …}'
    return f'{{"instances": [{one}, …]}}' if kind == JSON else f"{one} on each line"


def _listed(names: Sequence[str]) -> str:
    return ",".join(names) if len(names) <= MOST_IGNORED else f"{names[0]} to {names[-1]}"


def _csv_rows(text: str, features: Sequence[str]) -> list[Mapping[str, Any]]:
    """Rows in the order of the schema; a header may stand above them, in any order."""
    try:
        # Blanks between a comma and a quote are no part of a value.
        rows = list(csv.reader(io.StringIO(text), strict=True, skipinitialspace=True))
    except csv.Error as error:
        raise BadRequest(f"the body is not CSV: {error}") from None
    rows = [row for row in rows if row]
    names = list(features)
    if rows and len(rows[0]) == len(names):
        first = [cell.strip() for cell in rows[0]]
        if sorted(first) == sorted(names):
            names, rows = first, rows[1:]
    if not rows:
        raise BadRequest("the body has a header and no row")
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise BadRequest(
                f"row {number} has {len(row)} values; expected {len(names)}: {_listed(features)}",
                row=number,
            )
    return [dict(zip(names, row, strict=True)) for row in rows]


def _no_constant(name: str) -> NoReturn:
    # Python's reader would take them; JSON (RFC 8259) has no such numbers.
    raise ValueError(f"{name} is not a JSON value; use null for no value")


# Made once: json.loads would make one for each request that it is given a hook for.
_decode = json.JSONDecoder(parse_constant=_no_constant).decode


def _json(text: str, where: str) -> Any:
    try:
        return _decode(text)
    except RecursionError:
        raise BadRequest(f"{where} is nested too deeply") from None
    except ValueError as error:
        raise BadRequest(f"{where} is not JSON: {error}") from None


def _json_rows(document: Any, features: Sequence[str]) -> Asked:
    if isinstance(document, dict):
        if len(document) == len(features) and all(name in document for name in features):
            return Asked((document,))  # most requests: one row, and nothing else
        for key in ROWS_KEYS:
            if key in document and key not in features:
                return _instances(document, key, features)
        options = {EXPLAIN} - set(features)
        row = {name: value for name, value in document.items() if name not in options}
        return _named([row], features, explain=_flag(document) if options else False)
    if isinstance(document, list) and document and not _is_row(document[0]):
        document = [document]  # one row by position
    return _named(document, features)


def _instances(document: Mapping[str, Any], key: str, features: Sequence[str]) -> Asked:
    unknown = [name for name in document if name not in (key, EXPLAIN)]
    if unknown:
        raise BadRequest(
            f"the body has the key {printable(unknown[0][:100])!r} beside {key}; expected "
            f"{key} and {EXPLAIN}"
        )
    return _named(document[key], features, explain=_flag(document))


def _flag(document: Mapping[str, Any]) -> bool:
    given = document.get(EXPLAIN, False)
    if not isinstance(given, bool):
        raise BadRequest(f"{EXPLAIN} must be true or false")
    return given


def _is_row(value: Any) -> bool:
    return isinstance(value, dict | list)


def _named(rows: Any, features: Sequence[str], *, explain: bool = False) -> Asked:
    """Rows by column name, from objects or from lists in the schema's order."""
    if not isinstance(rows, list) or not rows:
        what = "a list with no row" if rows == [] else f"a {type(rows).__name__}"
        raise BadRequest(f"the body holds {what}; expected {_wanted(JSON, features)}")
    known = set(features)
    ignored: dict[str, None] = {}
    found: list[Mapping[str, Any]] = []
    for number, row in enumerate(rows, 1):
        if isinstance(row, dict) and isinstance(row.get("features"), list) and len(row) == 1:
            row = row["features"]  # noqa: PLW2901 - SageMaker's own form of JSON lines
        if isinstance(row, list):
            if len(row) != len(features):
                raise BadRequest(
                    f"row {number} has {len(row)} values; expected {len(features)}: "
                    f"{_listed(features)}",
                    row=number,
                )
            found.append(dict(zip(features, row, strict=True)))
        elif isinstance(row, dict):
            if len(row) != len(features) or not known.issuperset(row):
                ignored |= dict.fromkeys(name for name in row if name not in known)
            found.append(row)
        else:
            raise BadRequest(
                f"row {number} is a {type(row).__name__}; expected an object by column name, or "
                "a list of values",
                row=number,
            )
    return Asked(found, explain, tuple(name[:100] for name in list(ignored)[:MOST_IGNORED]))
