"""Signals: normalised reasons to retrain, and how messages of the signal queue become them.

A message is hostile until it is understood: keys with spaces, ``+``, ``%`` or unicode are taken
raw (EventBridge does not URL-encode S3 keys), a shape that is none of ours raises
:class:`SignalInvalid` and so ends in the dead-letter queue. One golden payload of each shape lies
in ``events/``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from perennial.domain.errors import SignalInvalid
from perennial.domain.naming import (
    is_model_name,
    model_of_key,
    parse_monitor_alarm,
)

DATA = "data"
SCHEDULE = "schedule"
DRIFT = "drift"
REVIEW = "review"
CODE = "code"
MANUAL = "manual"

#: What `evidence` may hold of a text that someone else wrote.
LONGEST_TEXT = 1000
LONGEST_PART = 1100  # an S3 key has up to 1,024 bytes
MOST_OVERRIDES = 50
LARGEST_FIGURE = 1e100


@dataclass(frozen=True)
class Signal:
    """A reason to retrain ``model``. ``parts`` make its identity, ``evidence`` explains it."""

    model: str
    kind: str
    parts: tuple[str, ...]
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """SHA-256 (hex) of kind and parts, unambiguous whatever characters they hold."""
        return signal_id(self.kind, self.parts)


@dataclass(frozen=True)
class ObjectVersion:
    """One version of an object, as events, listings and manifests name it (raw key)."""

    bucket: str
    key: str
    version_id: str
    etag: str
    size: int
    last_modified_ms: int

    @property
    def parts(self) -> tuple[str, str, str]:
        """What makes the identity of its signal."""
        return (self.bucket, self.key, self.version_id)

    @property
    def id(self) -> str:
        """The id of its signal."""
        return signal_id(DATA, self.parts)


@dataclass(frozen=True)
class Wake:
    """A note to ourselves: look at ``model`` now. ``due_ms`` is when it was meant to come."""

    model: str
    due_ms: int


@dataclass(frozen=True)
class Ignored:
    """A message that is understood and calls for nothing; ``why`` is for the log."""

    why: str


Parsed: TypeAlias = Signal | Wake | Ignored


def signal_id(kind: str, parts: tuple[str, ...]) -> str:
    """The id under which the ledger keeps a signal."""
    words = json.dumps([kind, *parts], separators=(",", ":"))
    return hashlib.sha256(words.encode()).hexdigest()


def data_signal(model: str, version: ObjectVersion) -> Signal:
    """One object version in the landing bucket."""
    evidence = {
        "size": version.size,
        "etag": version.etag,
        "landed_ms": version.last_modified_ms,
    }
    return Signal(model, DATA, version.parts, evidence)


def code_signal(model: str, version: int, *, by: str) -> Signal:
    """A push. Its id is the settings version: pushing A, B, A gives three signals."""
    return Signal(model, CODE, (str(version),), {"by": by})


def manual_signal(
    model: str, token: str, *, by: str, because: str, overrides: Mapping[str, str]
) -> Signal:
    """A person's request; ``token`` makes repeating the same request harmless."""
    evidence: dict[str, Any] = {"by": by, "because": because}
    if overrides:
        evidence["overrides"] = dict(overrides)
    return Signal(model, MANUAL, (token,), evidence)


def drift_body(  # noqa: PLR0913  # each is told apart
    model: str, monitor: str, alarm: str, window_end_ms: int, *, reason: str, worst: float | None
) -> str:
    """The message for an alarm that stays in ALARM, after another window with violations."""
    return json.dumps(
        {
            "perennial": "drift",
            "model": model,
            "monitor": monitor,
            "alarm": alarm,
            "window_end_ms": window_end_ms,
            "reason": reason[:LONGEST_TEXT],
            **({} if worst is None else {"datapoints": [worst]}),
        }
    )


def policy_body(model: str, schedule: str, scheduled: str, reason: str) -> str:
    """The message for a training that the retrain policy asks for, with its reason in words."""
    return json.dumps(
        {
            "perennial": "schedule",
            "model": model,
            "schedule": schedule,
            "scheduled": scheduled,
            "reason": reason[:LONGEST_TEXT],
        }
    )


def wake_body(model: str, due_ms: int) -> str:
    """The message that wakes the ledger for ``model``."""
    return json.dumps({"perennial": "wake", "model": model, "due_ms": due_ms})


def parse_signal(body: str | bytes | Mapping[str, Any], token: str | None = None) -> Parsed:
    """Understand one message of the signal queue.

    ``token`` is the stack's; with it, alarms of other stacks are ignored. Raises
    :class:`SignalInvalid` for what is no signal: the message then goes to the dead-letter queue.
    """
    message = _document(body)
    if "perennial" in message:
        word = message["perennial"]
        parse = _OWN.get(word) if isinstance(word, str) else None
        if parse is None:
            raise SignalInvalid(f"no signal: perennial is {word!r}, not one of {', '.join(_OWN)}")
        return parse(message)
    kind = (message.get("source"), message.get("detail-type"))
    match kind:
        case ("aws.s3", "Object Created"):
            return _object_created(message)
        case ("aws.cloudwatch", "CloudWatch Alarm State Change"):
            return _alarm(message, token)
        case ("aws.sagemaker", "SageMaker A2I HumanLoop Status Change"):
            return _human_loop(message, token)
        case (str(), str()):
            return Ignored(f"{kind[1]} of {kind[0]} is no reason to retrain")
    raise SignalInvalid("no signal: neither an EventBridge event nor a message of Perennial")


def _document(body: str | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    message: Any = body
    if isinstance(body, (str, bytes)):
        try:
            message = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise SignalInvalid(f"no signal: the message is not JSON ({error})") from error
    if not isinstance(message, Mapping):
        raise SignalInvalid(f"no signal: a JSON object is expected, not {type(message).__name__}")
    return message


def _object_created(message: Mapping[str, Any]) -> Parsed:
    detail = _map(message, "detail")
    bucket = _text(_map(detail, "bucket"), "name")
    entry = _map(detail, "object")
    key = _text(entry, "key", most=LONGEST_PART)
    model = model_of_key(key)
    if model is None:
        return Ignored(f"{key!r} does not lie under incoming/<model>/")
    size = _whole(entry, "size")
    if is_folder_mark(key, size):
        return Ignored(f"{key!r} is a folder's mark, not data")
    # A bucket without versioning names no version; S3 itself then calls it "null".
    version = _text(entry, "version-id") if "version-id" in entry else "null"
    etag = _text(entry, "etag") if "etag" in entry else ""
    landed_ms = _iso_ms(_text(message, "time"))
    return data_signal(model, ObjectVersion(bucket, key, version, etag, size, landed_ms))


def is_folder_mark(key: str, size: int) -> bool:
    """Whether an object is what consoles put in place of an empty folder."""
    return size == 0 and key.endswith("/")


def _alarm(message: Mapping[str, Any], token: str | None) -> Parsed:
    detail = _map(message, "detail")
    name = _text(detail, "alarmName")
    found = parse_monitor_alarm(name, token)
    if found is None:
        return Ignored(f"alarm {name} watches no monitor of this stack")
    state = _map(detail, "state")
    value = _text(state, "value")
    if value != "ALARM":
        return Ignored(f"alarm {name} went to {value}")
    model, kind = found
    stamp = _text(state, "timestamp")
    evidence = {
        "alarm": name,
        "monitor": kind,
        "reason": str(state.get("reason", ""))[:LONGEST_TEXT],
        **_figures(state.get("reasonData")),
    }
    return Signal(model, DRIFT, (name, stamp), evidence)


def _figures(reason_data: object) -> dict[str, Any]:
    """Threshold and newest datapoints of an alarm; its ``reasonData`` is JSON text, or odd."""
    try:
        data = json.loads(reason_data) if isinstance(reason_data, str) else {}
    except (ValueError, RecursionError):
        return {}
    if not isinstance(data, Mapping):
        return {}
    points = data.get("recentDatapoints")
    found: dict[str, Any] = {}
    if isinstance(points, list):
        found["datapoints"] = [each for each in points[:10] if _is_number(each)]
    if _is_number(data.get("threshold")):
        found["threshold"] = data["threshold"]
    return found


def _human_loop(message: Mapping[str, Any], token: str | None) -> Parsed:
    detail = _map(message, "detail")
    loop = _text(detail, "humanLoopArn")
    status = _text(detail, "humanLoopStatus")
    flow = _text(detail, "flowDefinitionArn").rpartition("/")[2]
    front = f"{token}-" if token is not None else ""
    model = flow[len(front) :] if flow.startswith(front) else ""
    if not is_model_name(model):
        return Ignored(f"human loop {loop} belongs to no model of this stack")
    if status != "Completed":
        return Ignored(f"human loop {loop} ended {status}, without an answer")
    output = _text(_map(detail, "humanLoopOutput"), "outputS3Uri", most=LONGEST_PART)
    return Signal(model, REVIEW, ("a2i", loop), {"output": output})


def _schedule(message: Mapping[str, Any]) -> Parsed:
    model = _model(message)
    schedule = _text(message, "schedule", most=64)
    scheduled = _text(message, "scheduled", most=64)
    _iso_ms(scheduled)
    reason = {"reason": _text(message, "reason")} if "reason" in message else {}
    return Signal(model, SCHEDULE, (schedule, scheduled), reason)


def _manual(message: Mapping[str, Any]) -> Parsed:
    overrides = message.get("overrides", {})
    if not isinstance(overrides, Mapping) or len(overrides) > MOST_OVERRIDES:
        raise SignalInvalid("no signal: overrides is no map of at most 50 settings")
    for name in overrides:
        _text(overrides, name)
    return manual_signal(
        _model(message),
        _text(message, "token", most=128),
        by=_text(message, "by"),
        because=_text(message, "because"),
        overrides=overrides,
    )


def _code(message: Mapping[str, Any]) -> Parsed:
    model = _model(message)
    return code_signal(model, _whole(message, "version"), by=_text(message, "by"))


def _review(message: Mapping[str, Any]) -> Parsed:
    model = _model(message)
    evidence = {"answers": _whole(message, "answers")}
    return Signal(model, REVIEW, (_text(message, "version"),), evidence)


def _drift(message: Mapping[str, Any]) -> Parsed:
    model, alarm = _model(message), _text(message, "alarm")
    kind = _text(message, "monitor")
    if parse_monitor_alarm(alarm) != (model, kind):
        raise SignalInvalid(f"no signal: {alarm!r} is no alarm of the {kind} monitor of {model}")
    evidence: dict[str, Any] = {
        "alarm": alarm,
        "monitor": kind,
        "reason": _text(message, "reason"),
        "again": True,
    }
    points = message.get("datapoints")
    if isinstance(points, list):
        evidence["datapoints"] = [each for each in points[:10] if _is_number(each)]
    return Signal(model, DRIFT, (alarm, f"window {_whole(message, 'window_end_ms')}"), evidence)


def _wake(message: Mapping[str, Any]) -> Parsed:
    return Wake(_model(message), _whole(message, "due_ms"))


_OWN = {
    "schedule": _schedule,
    "drift": _drift,
    "manual": _manual,
    "code": _code,
    "review": _review,
    "wake": _wake,
}


def _model(message: Mapping[str, Any]) -> str:
    name = _text(message, "model")
    if not is_model_name(name):
        raise SignalInvalid(f"no signal: {name!r} cannot name a model")
    return name


def _map(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = message.get(name)
    if not isinstance(found, Mapping):
        raise SignalInvalid(f"no signal: {name} is missing or no object")
    return found


def _text(message: Mapping[str, Any], name: str, *, most: int = LONGEST_TEXT) -> str:
    found = message.get(name)
    if not isinstance(found, str) or not found or len(found) > most:
        raise SignalInvalid(f"no signal: {name} is no text of 1 to {most} characters")
    if _LONE_SURROGATE.search(found):
        raise SignalInvalid(f"no signal: {name} holds half a character, which no store can keep")
    return found


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _whole(message: Mapping[str, Any], name: str) -> int:
    found = message.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 2**63:
        raise SignalInvalid(f"no signal: {name} is no whole number from 0")
    return found


def _is_number(value: Any) -> bool:
    is_figure = isinstance(value, (int, float)) and not isinstance(value, bool)
    # A whole number may have thousands of digits, which no float and no store can keep.
    return is_figure and -LARGEST_FIGURE <= value <= LARGEST_FIGURE


def _iso_ms(text: str) -> int:
    """Milliseconds since 1970 of AWS's ``2026-11-20T10:00:00Z``."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise SignalInvalid(f"no signal: {text!r} is no time like 2026-11-20T10:00:00Z") from error
    if moment.tzinfo is None:
        raise SignalInvalid(f"no signal: {text!r} names no time zone")
    return int(moment.timestamp() * 1000)
