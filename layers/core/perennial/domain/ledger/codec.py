"""Rows as plain attributes (texts, integers, booleans, lists, maps) and back.

Absent and empty mean the default, so rows stay small and old rows read well after a new field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from perennial.domain.ledger.ab_rows import AbShare, AbStop, AbTest
from perennial.domain.ledger.monitor_rows import (
    MONITOR_SK,
    WINDOW_SK,
    Earlier,
    MonitorRow,
    Proposal,
    WindowRow,
)
from perennial.domain.ledger.move_rows import Move
from perennial.domain.ledger.rows import (
    DONE_SK,
    MODEL_SK,
    OPEN_SK,
    RELEASE_SK,
    RUN_SK,
    SETTINGS_SK,
    Champion,
    ClosedEvidence,
    Ending,
    FinishedStep,
    Live,
    ManifestRef,
    ModelRow,
    Paused,
    ReleaseEnding,
    ReleaseRow,
    Retry,
    Row,
    RunRow,
    SettingsRow,
    SignalRow,
    StopRequest,
    Verdict,
    Version,
    Wanted,
)

_ROWS: Mapping[str, type[Row]] = {
    MODEL_SK: ModelRow,
    SETTINGS_SK: SettingsRow,
    RUN_SK: RunRow,
    RELEASE_SK: ReleaseRow,
    OPEN_SK: SignalRow,
    DONE_SK: SignalRow,
    MONITOR_SK: MonitorRow,
    WINDOW_SK: WindowRow,
}
#: What lies inside a row: of each row the fields that hold one, or a list of, another dataclass.
_NESTED: Mapping[type[Any], Mapping[str, type[Any]]] = {
    ModelRow: {
        "paused": Paused,
        "champion": Champion,
        "retry": Retry,
        "closed": ClosedEvidence,
        "waiting": Wanted,
        "live": Live,
        "previous": Live,
        "ab": AbTest,
        "ended_abs": AbTest,
        "move": Move,
    },
    MonitorRow: {"proposal": Proposal},
    WindowRow: {"earlier": Earlier},
    AbTest: {"shares": AbShare, "stop": AbStop},
    ReleaseRow: {"before": Live, "stop": StopRequest, "ending": ReleaseEnding},
    RunRow: {
        "manifest": ManifestRef,
        "verdict": Verdict,
        "version": Version,
        "stop": StopRequest,
        "ending": Ending,
        "steps": FinishedStep,
    },
}
#: Evidence may hold fractions (an alarm's figures), which rows may not: it is kept as JSON text.
_EVIDENCE = "evidence"


def to_item(row: Row) -> dict[str, Any]:
    """The row's attributes with its keys; fields that hold their default are left out."""
    return {"pk": row.key.pk, "sk": row.key.sk, **_attributes(row)}


def from_item(item: Mapping[str, Any]) -> Row:
    """The row that :func:`to_item` wrote; raises ``KeyError`` on a sort key of no known kind."""
    family, mark, _ = item["sk"].partition("#")
    row: Row = _dataclass(item, _ROWS[family + mark])
    return row


def _attributes(value: Any) -> dict[str, Any]:
    found = {}
    for each in fields(value):
        content = getattr(value, each.name)
        if content != _default(each):
            text = each.name == _EVIDENCE
            found[each.name] = json.dumps(content, sort_keys=True) if text else _plain(content)
    return found


def _default(each: Field[Any]) -> Any:
    return each.default_factory() if each.default_factory is not MISSING else each.default


def _plain(content: Any) -> Any:
    if is_dataclass(content):
        return _attributes(content)
    if isinstance(content, Mapping):
        return {str(name): _plain(each) for name, each in content.items()}
    if isinstance(content, (list, tuple)):
        return [_plain(each) for each in content]
    if content is None or isinstance(content, (str, int)):  # a bool is an int
        return content
    raise TypeError(f"a ledger row cannot hold {content!r} ({type(content).__name__})")


def _dataclass(item: Mapping[str, Any], kind: type[Any]) -> Any:
    nested = _NESTED.get(kind, {})
    values = {}
    for each in fields(kind):
        if each.name == _EVIDENCE:
            values[each.name] = json.loads(item[each.name])
        elif each.name in item:
            values[each.name] = _value(item[each.name], nested.get(each.name))
    return kind(**values)


def _value(content: Any, kind: type[Any] | None) -> Any:
    if kind is not None and isinstance(content, Mapping):
        return _dataclass(content, kind)
    if isinstance(content, list):
        return tuple(_value(each, kind) for each in content)
    return content
