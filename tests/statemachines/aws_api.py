"""Does AWS's own description of an operation allow a request?

botocore checks required members, types and unknown names itself; enum, pattern and length it
leaves to the service, so they are checked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

# The operations that Step Functions can wait for by itself (`.sync`).
JOB_OPERATIONS = {
    "createTrainingJob", "createProcessingJob", "createTransformJob",
    "createHyperParameterTuningJob", "createLabelingJob",
}  # fmt: skip


@cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def mistakes(service: str, operation: str, request: dict[str, Any]) -> list[str]:
    """Everything that AWS would refuse about a request, in words."""
    names = {name[0].lower() + name[1:]: name for name in _model(service).operation_names}
    if operation not in names:
        return [f"{service} has no operation {operation}"]
    shape = _model(service).operation_model(names[operation]).input_shape
    report = ParamValidator().validate(request, shape).generate_report()
    return [line for line in report.splitlines() if line] + list(_beyond(shape, request, operation))


def _beyond(shape: Any, value: Any, at: str) -> Iterator[str]:
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if name in value:
                yield from _beyond(member, value[name], f"{at}.{name}")
    elif shape.type_name == "list":
        yield from _size(shape, len(value), at)
        for index, item in enumerate(value):
            yield from _beyond(shape.member, item, f"{at}[{index}]")
    elif shape.type_name == "map":
        yield from _size(shape, len(value), at)
        for key, item in value.items():
            yield from _beyond(shape.key, key, f"{at}.{key}")
            yield from _beyond(shape.value, item, f"{at}.{key}")
    elif shape.type_name == "string":
        yield from _text(shape, value, at)
    elif shape.type_name in ("integer", "long"):
        yield from _size(shape, value, at)


def _size(shape: Any, size: int, at: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if (low is not None and size < low) or (high is not None and size > high):
        yield f"{at}: {size} is not within {low} and {high}"


def _text(shape: Any, value: str, at: str) -> Iterator[str]:
    yield from _size(shape, len(value), at)
    if shape.enum and value not in shape.enum:
        yield f"{at}: {value!r} is none of {', '.join(shape.enum[:8])}…"
    pattern = shape.metadata.get("pattern")
    # Some of AWS's patterns use Java's classes and surrogates, which Python does not know.
    is_java = pattern and (r"\p{" in pattern or r"\uD800" in pattern)
    if pattern and not is_java and not re.fullmatch(pattern, value, re.DOTALL):
        yield f"{at}: {value!r} does not match {pattern}"
