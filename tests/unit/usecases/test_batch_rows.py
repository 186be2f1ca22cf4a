"""Rows of local files become objects of a batch: checked, in order, without a header."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perennial.batch_rows import Parts, write_parts
from perennial.domain.batch import BadInput
from perennial.domain.prediction_request import Inputs
from perennial.domain.schema import Column

INPUTS = Inputs(
    (
        Column("age", "int", minimum=0),
        Column("job", "string"),
        Column("note", "string", required=False),
    ),
    frozenset({"", "?"}),
)


def made(folder: Path, name: str, content: str | bytes, delimiter: str = ",", **more: int) -> Parts:
    """The parts of a file of this content."""
    source, parts = folder / name, folder / "parts"
    parts.mkdir()
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    return write_parts(source, INPUTS, delimiter, parts, **more)


def text(found: Parts) -> str:
    """What all parts hold."""
    return "".join(part.path.read_text("utf-8") for part in found.parts)


def test_a_header_is_read_by_name_and_left_out(tmp_path: Path) -> None:
    """Other columns go, the order becomes the settings', an optional column may be missing."""
    found = made(tmp_path, "rows.csv", "\ufeffjob,label,age\r\nnurse,1,39\r\n\r\nclerk,0,?\r\n"
                 .replace("?", "40"))  # fmt: skip
    assert text(found) == "39,nurse,\n40,clerk,\n"
    assert [part.path.name for part in found.parts] == ["rows.csv"]
    assert found.rows == 2
    assert any("label" in notice for notice in found.notices)


def test_rows_without_a_header_stay_as_they_are(tmp_path: Path) -> None:
    """Values are checked and pass as they were written; so does another delimiter as commas."""
    found = made(tmp_path, "rows.csv.gz", gzip.compress(b'39;"a,b";x\n40;clerk;\n'), ";")
    assert text(found) == '39,"a,b",x\n40,clerk,\n'
    assert not found.content.gzip
    assert not found.notices


def test_json_lines_keep_the_features_alone(tmp_path: Path) -> None:
    """Keys that the version does not take are left out, also what would be an instruction."""
    found = made(tmp_path, "rows.jsonl", '{"age": 39, "job": "é", "explain": true}\n\n')
    assert text(found).isascii()  # no character that anybody takes for a line's end
    assert [json.loads(line) for line in text(found).splitlines()] == [{"age": 39, "job": "é"}]


def test_many_rows_become_parts_in_order(tmp_path: Path) -> None:
    """Parts hold as many rows as they may, and their names sort."""
    found = made(tmp_path, "rows.csv", "".join(f"{n},x,\n" for n in range(7)), part_rows=3)
    assert [(part.path.name, part.rows) for part in found.parts] == [
        ("rows-00001.csv", 3),
        ("rows-00002.csv", 3),
        ("rows-00003.csv", 1),
    ]
    assert text(found) == "".join(f"{n},x,\n" for n in range(7))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "39,nurse,\nold,nurse,\n", r"line 2, age: .*; expected a whole number"),
        ("a.csv", "age,job\n39,nurse\n-1,clerk\n", "line 3, age: -1 is below"),
        ("a.csv", "39,nurse,\n40,clerk\n", "line 2 has 2 values; expected 3: age to note"),
        ("a.csv", "age,note\n39,x\n", "line 1 is a header, but missing column job"),
        ("a.csv", "39,\n", "line 1 has 2 values"),
        ("a.csv", '39,"two\nlines",\n', "a value with a line's end"),
        ("a.csv", '39,"open,\n', "is not CSV"),
        ("a.csv", "", "holds no row"),
        ("a.csv", "age,job,note\n", "holds no row"),
        ("a.csv", b"39,\xff,\n", "is not UTF-8"),
        ("a.csv.gz", "39,nurse,\n", "is not gzip"),
        ("a.jsonl", '{"age": 39, "job": "x"}\n{"age": 39}\n', "line 2, job: no value"),
        ("a.jsonl", "[1]\n", "line 1 is no JSON object"),
        ("a.jsonl", "{\n", "line 1 is not JSON"),
        ("a.parquet", "x", "ends in none of"),
    ],
)
def test_the_first_wrong_row_is_named_with_its_line(
    tmp_path: Path, name: str, content: str | bytes, words: str
) -> None:
    """Nothing is uploaded of a file that the version does not take."""
    with pytest.raises(BadInput, match=words):
        made(tmp_path, name, content)


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0?"), min_size=1, max_size=6)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 10**9), CELL.filter(str.strip)), min_size=1, max_size=9))
def test_every_row_arrives_once_whatever_it_holds(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]]
) -> None:
    """Quotes, delimiters and blanks survive; the rows keep their order through all parts."""
    folder = tmp_path_factory.mktemp("rows")
    source = folder / "rows.csv"
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["age", "job", "note"], *([n, job, ""] for n, job in rows)])
    (folder / "parts").mkdir()
    found = write_parts(source, INPUTS, ",", folder / "parts", part_rows=2)
    assert [(int(n), job) for n, job, _ in csv.reader(text(found).split("\n")[:-1])] == rows
