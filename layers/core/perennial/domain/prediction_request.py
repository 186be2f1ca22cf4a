"""A request for predictions: what a client may send, and what is wrong with what was sent.

Formats are in docs/predictions.md. Everything that a client sends ends in a `Question` or in a
`RequestRefused` with the HTTP status of its answer.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from perennial.domain.errors import Terminal
from perennial.domain.schema import BadValue, Column, number_text
from perennial.domain.text import printable

#: Bytes; what every kind of endpoint takes (serverless ones take no more).
LARGEST_BODY = 4 * 1024 * 1024
LONGEST_KEY = 255
INSTANCES, EXPLAIN = "instances", "explain"
JSON = "application/json"
MOST_LISTED, MOST_IGNORED = 12, 20


class RequestRefused(Terminal):
    """A request that is answered with `status` and these words; `facts` stand beside them."""

    def __init__(self, status: int, words: str, **facts: Any) -> None:
        super().__init__(words)
        self.status = status
        self.facts = facts


@dataclass(frozen=True)
class Inputs:
    """What one version takes: its features, and the texts that mean "no value"."""

    features: tuple[Column, ...]
    missing: frozenset[str]
    _columns: Mapping[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_columns", {column.name: column for column in self.features})

    def knows(self, name: str) -> bool:
        """Whether a feature has this name."""
        return name in self._columns


@dataclass(frozen=True)
class Question:
    """Rows to predict, good by the version's columns. `single`: sent as one object, not a list."""

    rows: Sequence[Mapping[str, Any]]
    single: bool
    explain: bool
    ignored: tuple[str, ...] = ()

    def body(self) -> bytes:
        """The body for the model's server (docs/serving.md); raises `RequestRefused`."""
        document: dict[str, Any] = {INSTANCES: self.rows}
        if self.explain:
            document[EXPLAIN] = True
        try:
            body = _compact(document, ascii_only=False)
        except UnicodeEncodeError:  # half of a surrogate pair, which UTF-8 cannot write
            body = _compact(document, ascii_only=True)
        return within_limit(body)


def _compact(document: Any, *, ascii_only: bool) -> bytes:
    form: Any = {"separators": (",", ":"), "allow_nan": False, "ensure_ascii": ascii_only}
    try:
        text = json.dumps(document, **form)
    except ValueError:
        words = "a number is too large: JSON readers take it for infinite"
        raise RequestRefused(400, words) from None
    return text.encode()


def within_limit(body: bytes) -> bytes:
    """The body, if an endpoint takes as much; raises `RequestRefused` (413)."""
    if len(body) > LARGEST_BODY:
        raise RequestRefused(
            413,
            f"the body has {len(body):,} bytes; at most {LARGEST_BODY:,} are taken. Send fewer "
            "rows a request",
        )
    return body


def body_of(event: Mapping[str, Any]) -> bytes:
    """The body of an API's event (payload format 2.0); raises `RequestRefused` (413, 415)."""
    headers = event.get("headers") or {}
    given = str(headers.get("content-type", JSON)).partition(";")[0].strip().lower()
    if given != JSON:
        raise RequestRefused(
            415,
            f"content type {printable(given[:100]) or '(none)'} cannot be read; send {JSON}, "
            f"for example with curl -H 'content-type: {JSON}'",
        )
    text = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            body = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise RequestRefused(400, f"the body is not base64: {error}") from None
    else:
        body = text.encode("utf-8", "surrogatepass")
    return within_limit(body)


def explain_of(event: Mapping[str, Any]) -> bool:
    """Whether `?explain=true` is asked for; other parameters are refused by name."""
    parameters = event.get("queryStringParameters") or {}
    unknown = [name for name in parameters if name != EXPLAIN]
    if unknown:
        raise RequestRefused(
            400,
            f"the parameter {printable(str(unknown[0])[:100])!r} is not known; expected {EXPLAIN}",
        )
    given = str(parameters.get(EXPLAIN, "false"))
    if given not in ("true", "false"):
        raise RequestRefused(
            400, f"{EXPLAIN} is {printable(given[:100])!r}; expected true or false"
        )
    return given == "true"


def idempotency_key_of(event: Mapping[str, Any]) -> str:
    """The client's `Idempotency-Key`, "" for none; raises `RequestRefused` (400)."""
    headers = event.get("headers") or {}
    if "idempotency-key" not in headers:
        return ""
    key = str(headers["idempotency-key"])
    if not 1 <= len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise RequestRefused(
            400,
            f"the Idempotency-Key has {len(key)} characters; expected 1 to {LONGEST_KEY} printable "
            "ASCII characters, for example a UUID",
        )
    return key


def caller_of(event: Mapping[str, Any]) -> str:
    """Who calls, by the API's authoriser; "" where the API lets anybody in."""
    authorizer = (event.get("requestContext") or {}).get("authorizer") or {}
    if "iam" in authorizer:
        return str(authorizer["iam"].get("userArn", ""))
    claims = (authorizer.get("jwt") or {}).get("claims") or {}
    return f"{claims.get('iss', '')} {claims.get('sub', claims.get('client_id', ''))}".strip()


def read_question(body: bytes, inputs: Inputs, *, explain: bool) -> Question:
    """The rows of a body, each value held against its column; raises `RequestRefused` (400)."""
    document = _parsed(body, inputs)
    rows, single = _rows(document, inputs)
    ignored: dict[str, None] = {}
    for number, row in enumerate(rows, 1):
        _check(row, number, inputs)
        ignored |= dict.fromkeys(name for name in row if not inputs.knows(name))
    few = tuple(printable(name[:100]) for name in list(ignored)[:MOST_IGNORED])
    kept = rows
    if ignored:
        kept = [{n: v for n, v in row.items() if inputs.knows(n)} for row in rows]
    return Question(kept, single, explain, few)


def _parsed(body: bytes, inputs: Inputs) -> Any:
    if not body.strip():
        raise RequestRefused(400, f"the body is empty; expected {_wanted(inputs)}")
    try:
        text = body.decode("utf-8-sig")
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
    except RecursionError:
        raise RequestRefused(400, "the body is nested too deeply") from None
    except UnicodeDecodeError as error:
        words = f"the body is not UTF-8: {error.reason} at byte {error.start}"
        raise RequestRefused(400, words) from None
    except ValueError as error:
        raise RequestRefused(400, f"the body is not JSON: {error}") from None


def _no_constant(name: str) -> NoReturn:
    # Python's reader would take them; JSON (RFC 8259) has no such numbers.
    raise ValueError(f"{name} is not a JSON value; use null for no value")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        twice = next(name for name, times in counted.items() if times > 1)
        raise RequestRefused(
            400, f"the key {printable(twice[:100])!r} is there twice in one object"
        )
    return found


def _rows(document: Any, inputs: Inputs) -> tuple[list[Mapping[str, Any]], bool]:
    if not isinstance(document, dict):
        raise RequestRefused(400, f"the body holds {_kind(document)}; expected {_wanted(inputs)}")
    if INSTANCES not in document or inputs.knows(INSTANCES):
        return [document], True
    beside = [name for name in document if name != INSTANCES]
    if beside:
        raise RequestRefused(
            400,
            f"the body has the key {printable(beside[0][:100])!r} beside {INSTANCES}; expected "
            f"{INSTANCES} alone",
        )
    rows = document[INSTANCES]
    if not isinstance(rows, list) or not rows:
        what = "a list with no row" if rows == [] else _kind(rows)
        raise RequestRefused(400, f"{INSTANCES} holds {what}; expected {_wanted(inputs)}")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise RequestRefused(
                400, f"row {number} is {_kind(row)}; expected an object by column name", row=number
            )
    return rows, False


def _kind(value: Any) -> str:
    """A JSON value's kind, in words."""
    if value is None:
        return "null"
    names = {bool: "true or false", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def _wanted(inputs: Inputs) -> str:
    example = f'{{"{inputs.features[0].name}": …}}'
    return f'{{"{INSTANCES}": [{example}, …]}}, or one row {example}'


def _check(row: Mapping[str, Any], number: int, inputs: Inputs) -> None:
    for column in inputs.features:
        try:
            column.accept(row.get(column.name), inputs.missing)
        except BadValue as error:
            expected = expected_of(column)
            raise RequestRefused(
                400,
                f"row {number}, {column.name}: {error}; expected {expected}",
                row=number,
                column=column.name,
                expected=expected,
            ) from None


def expected_of(column: Column) -> str:
    """What a column accepts, in words."""
    words = "a text" if column.type == "category" else column.wanted
    if column.type == "category" and column.levels:
        few = ", ".join(column.levels[:MOST_LISTED])
        more = f", … ({len(column.levels)} in all)" if len(column.levels) > MOST_LISTED else ""
        words = f"a level, such as {few}{more}" if column.open else f"one of {few}{more}"
    bounds = [
        f"{side} {number_text(bound)}"
        for side, bound in (("at least", column.minimum), ("at most", column.maximum))
        if bound is not None
    ]
    words = f"{words} of {' and '.join(bounds)}" if bounds else words
    return words if column.required else f"{words}, or nothing"
