"""Between JSON of an execution and botocore's typed requests and answers."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.response import StreamingBody

from local.states.errors import RUNTIME, StateError
from local.states.history import dumps
from local.states.resources import member_of

_WORDS: dict[str, tuple[tuple[type, ...], str]] = {
    "integer": ((int,), "an INTEGER"),
    "long": ((int,), "a LONG"),
    "float": ((int, float), "a FLOAT"),
    "double": ((int, float), "a DOUBLE"),
    "boolean": ((bool,), "a BOOLEAN"),
}
Dates = Callable[[datetime], Any]


def iso(moment: datetime) -> str:
    """How SDK integrations show a time."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z").replace(".000Z", "Z")


def epoch_ms(moment: datetime) -> int:
    """How the optimised integrations show a time."""
    return int(moment.timestamp() * 1000)


def to_request(  # noqa: C901 - one branch a kind of shape
    shape: Shape, value: Any, field: str, whole: Any
) -> Any:
    """Parameters as botocore takes them; StateError in Step Functions' words for a misfit."""
    if isinstance(shape, StructureShape):
        return _structure(shape, value, field, whole)
    if isinstance(shape, ListShape):
        if not isinstance(value, list):
            raise _misfit(field, "an ARRAY", whole)
        return [to_request(shape.member, item, field, whole) for item in value]
    if isinstance(shape, MapShape):
        if not isinstance(value, dict):
            raise _misfit(field, "a MAP", whole)
        return {key: to_request(shape.value, item, key, whole) for key, item in value.items()}
    if shape.type_name == "string":
        if isinstance(value, dict | list):
            return dumps(value)
        if not isinstance(value, str):
            raise _misfit(field, "a STRING", whole)
    if shape.type_name == "blob":
        return value.encode() if isinstance(value, str) else dumps(value).encode()
    types, words = _WORDS.get(shape.type_name, ((object,), ""))
    wrong_bool = isinstance(value, bool) and shape.type_name != "boolean"
    if not isinstance(value, types) or (wrong_bool and words):
        raise _misfit(field, words, whole)
    return value


def _structure(shape: StructureShape, value: Any, field: str, whole: Any) -> Any:
    if getattr(shape, "is_document_type", False):
        return value
    if not isinstance(value, dict):
        raise _misfit(field, "an OBJECT", whole)
    found: dict[str, Any] = {}
    for key, item in value.items():
        member = member_of(shape, key)
        if member is None:
            text = f"The field '{key}' is not known"
            raise StateError(RUNTIME, f"{_intro(whole)}: [{text}]")
        if item is not None:
            found[member] = to_request(shape.members[member], item, key, whole)
    return found


def _intro(whole: Any) -> str:
    return f"The Parameters '{dumps(whole)[:4096]}' could not be used to start the Task"


def _misfit(field: str, kind: str, whole: Any) -> StateError:
    text = f"The value for the field '{field}' must be {kind}"
    return StateError(RUNTIME, f"{_intro(whole)}: [{text}]")


def to_json(value: Any, dates: Dates, *, pascal: bool, shape: Shape | None = None) -> Any:
    """An answer of botocore's as JSON; `pascal` spells structure members PascalCase."""
    if isinstance(value, Mapping):
        members = shape.members if isinstance(shape, StructureShape) else None
        inner = shape.value if isinstance(shape, MapShape) else None
        found = {}
        for key, item in value.items():
            name = key[:1].upper() + key[1:] if pascal and members and key in members else key
            part = members.get(key) if members else inner
            found[name] = to_json(item, dates, pascal=pascal, shape=part)
        return found
    if isinstance(value, list):
        part = shape.member if isinstance(shape, ListShape) else None
        return [to_json(item, dates, pascal=pascal, shape=part) for item in value]
    if isinstance(value, datetime):
        return dates(value)
    if isinstance(value, StreamingBody):
        return value.read().decode("utf-8", "replace")
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    return value
