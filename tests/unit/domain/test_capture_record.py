"""The record preprocessor as Model Monitor's container runs it: from its own source alone."""

from __future__ import annotations

import ast
import base64
import json
from types import SimpleNamespace
from typing import Any

import pytest
from perennial.domain.capture_record import script

FEATURES = ("age", "city")


def run(data: Any, encoding: str = "CSV", answer: Any = None) -> Any:
    """What the script of version 7 makes of a request."""
    names: dict[str, Any] = {"__name__": "record"}
    exec(script(FEATURES, ["?"], 7), names)  # as its container does
    output = {"predictions": [], "version": 7} if answer is None else answer
    record = SimpleNamespace(
        endpoint_input=SimpleNamespace(data=data, encoding=encoding, observedContentType=""),
        endpoint_output=SimpleNamespace(
            data=output if isinstance(output, str) else json.dumps(output), encoding="JSON"
        ),
    )
    return names["preprocess_handler"](record)


@pytest.mark.parametrize(
    ("data", "encoding", "rows"),
    [
        ("39,Rome\n", "CSV", {"age": "39", "city": "Rome"}),
        ("39, ?\n", "CSV", {"age": "39", "city": None}),
        ('39,"Ro, me"\n', "CSV", {"age": "39", "city": "Ro, me"}),
        ("city,age\nRome,39\n", "CSV", {"age": "39", "city": "Rome"}),
        ("1,a\n2,b\n", "CSV", [{"age": "1", "city": "a"}, {"age": "2", "city": "b"}]),
        ("39\n", "CSV", {"age": "39"}),
        ("39,Rome,1\n", "CSV", {"age": "39", "city": "Rome", "_c2": "1"}),
        ('{"instances": [{"age": 39, "city": ""}]}', "JSON", {"age": 39, "city": None}),
        ({"rows": [[39, "Rome"]]}, "JSON", {"age": 39, "city": "Rome"}),
        ("[39, null]", "JSON", {"age": 39, "city": None}),
        (base64.b64encode(b"39,Rome").decode(), "BASE64", {"age": "39", "city": "Rome"}),
        ("{broken", "JSON", []),
        ("3", "JSON", []),
        ("!", "BASE64", []),
    ],
)  # fmt: skip
def test_requests_become_flat_rows(
    data: Any, encoding: str, rows: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """By name or by place, several as a list, missing texts as nothing; others are left out, and
    nothing is written to stdout, where the container reads the rows."""
    assert run(data, encoding) == rows
    told = capsys.readouterr()
    assert told.out == ""
    assert ("cannot be read" in told.err) == (rows == [])


@pytest.mark.parametrize(
    ("answer", "counts"),
    [({"version": 7}, True), ({"version": 6}, False), ({}, True), ("<=50K,0.9", True)],
)
def test_what_another_version_answered_is_left_out(answer: Any, counts: bool) -> None:
    """A window may begin while the version before still answers; who says no version counts."""
    assert bool(run("39,Rome", answer=answer)) == counts


def test_the_script_is_plain_enough_for_the_container() -> None:
    """Its Python is older than ours: no import of ours, no syntax that Python 3.6 cannot read."""
    source = script(FEATURES, (), 1)
    ast.parse(source, feature_version=(3, 6))
    imported = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    assert {node.module for node in imported} == {"typing"}
