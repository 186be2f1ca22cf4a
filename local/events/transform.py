"""What a target receives: the event, part of it (InputPath), a constant (Input) or a template.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

import json
import re
from typing import Any

from local.delivery import DeliveryError

_VARIABLE = re.compile(r"<([A-Za-z0-9_.\-]+)>")


def target_input(target: dict[str, Any], event: dict[str, Any], rule_arn: str) -> str:
    """The JSON text for this target. A template that yields no valid JSON text is an error."""
    if target.get("Input") is not None:
        return str(target["Input"])
    if target.get("InputPath"):
        found, value = resolve(target["InputPath"], event)
        return json.dumps(value) if found else "{}"
    transformer = target.get("InputTransformer")
    if transformer:
        return _fill(transformer, event, rule_arn)
    return json.dumps(event)


def resolve(path: str, document: Any) -> tuple[bool, Any]:
    """Follow a JSON path of the subset that EventBridge takes: `$`, `.name`, `['name']`, `[n]`."""
    steps = re.findall(r"\.([^.\[\]]+)|\['([^']+)'\]|\[\"([^\"]+)\"\]|\[(\d+)\]", path)
    if not path.startswith("$"):
        raise DeliveryError("INVALID_JSON_PATH", f"not a JSON path: {path}", retryable=False)
    value = document
    for dotted, single, double, number in steps:
        name = dotted or single or double
        if name:
            if not isinstance(value, dict) or name not in value:
                return False, None
            value = value[name]
        else:
            if not isinstance(value, list) or int(number) >= len(value):
                return False, None
            value = value[int(number)]
    return True, value


def _fill(transformer: dict[str, Any], event: dict[str, Any], rule_arn: str) -> str:
    template = str(transformer["InputTemplate"])
    values: dict[str, tuple[bool, Any]] = {
        name: resolve(path, event)
        for name, path in (transformer.get("InputPathsMap") or {}).items()
    }
    values["aws.events.rule-arn"] = (True, rule_arn)
    values["aws.events.rule-name"] = (True, rule_arn.rpartition("/")[2])
    values["aws.events.event.ingestion-time"] = (True, event["time"])
    values["aws.events.event"] = (True, {k: v for k, v in event.items() if k != "detail"})
    values["aws.events.event.json"] = (True, event)
    pieces: list[str] = []
    quoted = False
    at = 0
    for match in _VARIABLE.finditer(template):
        before = template[at : match.start()]
        pieces.append(before)
        quoted ^= len(re.findall(r'(?<!\\)"', before)) % 2 == 1
        pieces.append(_value(values, match, quoted))
        at = match.end()
    pieces.append(template[at:])
    text = "".join(pieces)
    try:
        json.loads(text)
    except ValueError:
        return json.dumps(text)  # a template of plain text is sent as one JSON string
    return text


def _value(values: dict[str, tuple[bool, Any]], match: "re.Match[str]", quoted: bool) -> str:
    name = match.group(1)
    if name not in values:
        return match.group(0)
    found, value = values[name]
    if not found:
        return "" if quoted else '""'
    if not quoted:
        return json.dumps(value)
    text = value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text)[1:-1]
