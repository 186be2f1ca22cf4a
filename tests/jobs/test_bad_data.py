"""Bad input: one run over many damaged objects and a good one; the good one does not suffer."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from perennial.domain.settings import Settings

from tests.jobs.conftest import BUCKET, Done, Workbench, project_settings

Rows = list[str]


@dataclass(frozen=True)
class Case:
    """A damaged object: how it is made of good lines, and what its reason must say."""

    key: str
    make: Callable[[Rows], bytes]
    reason: str


def _text(lines: Rows) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def _without(lines: Rows, column: int) -> Rows:
    return [",".join(c for i, c in enumerate(line.split(",")) if i != column) for line in lines]


def _cell(line: str, column: int, text: str) -> str:
    return ",".join(text if i == column else c for i, c in enumerate(line.split(",")))


CASES = [
    Case("empty.csv", lambda _: b"", "the file is empty"),
    Case("blank.csv", lambda _: b"\n\n \n", "only blank lines|none of the columns"),
    Case("header.csv", lambda g: _text(g[:1]), "a header and no rows"),
    Case("missing.csv", lambda g: _text(_without(g, 3)), "missing column education"),
    Case(
        "renamed.csv",
        lambda g: _text([g[0].replace("education_num", "education_number"), *g[1:]]),
        "education_number instead of education_num",
    ),
    Case("twice.csv", lambda g: _text([g[0].replace("race", "sex"), *g[1:]]), "sex is there twice"),
    Case("type.csv", lambda g: _text([g[0], _cell(g[1], 0, "old")]), '"old" is not a whole number'),
    Case(
        "range.csv", lambda g: _text([*g[:3], _cell(g[3], 0, "131")]), "line 4, age: 131 is above"
    ),
    Case("level.csv", lambda g: _text([g[0], _cell(g[1], 9, "Mle")]), "none of the levels"),
    Case("required.csv", lambda g: _text([g[0], _cell(g[1], 0, "?")]), "no value, but one"),
    Case(
        "delimiter.csv",
        lambda g: _text([line.replace(",", ";") for line in g]),
        "separated by semicolons",
    ),
    Case("noheader.csv", lambda g: _text(g[1:]), "none of the columns is there"),
    Case("ragged.csv", lambda g: _text([*g[:5], g[5] + ",1"]), "line 6: 16 fields"),
    Case("quote.csv", lambda g: _text([*g[:5], '"' + g[5]]), "line 6: unexpected end of data"),
    Case("binary.csv", lambda g: _text(g[:2]) + bytes(range(256)) * 40, "line 3 holds binary data"),
    Case("latin.csv", lambda g: _text(g[:2]) + "é".encode("latin-1"), "not UTF-8 text"),
    Case("cut.csv.gz", lambda g: gzip.compress(_text(g))[:-300], "ends too early; it was cut off"),
    Case(
        "damaged.csv.gz",
        lambda g: gzip.compress(_text(g))[:200] + b"x" * 400,
        "the gzip file is damaged",
    ),
    Case(
        "long.csv",
        lambda g: _text([*g[:2], _cell(g[2], 1, "x" * 10_000_000)]),
        "a field has more than 100,000 characters",
    ),
    Case(
        "no-header-to-read.csv",
        lambda g: _text(["x" * 200_000, *g]),
        "line 1, the header: a field has more than 100,000 characters",
    ),
    Case("nothing.csv.gz", lambda _: gzip.compress(b""), "the file holds no rows: it is empty"),
    Case("parquet.csv", lambda _: b"PAR1" + b"\0" * 40, "it is a Parquet file"),
]


@pytest.fixture(scope="module")
def settings(census: Workbench) -> Settings:
    """Census settings for small data."""
    return project_settings(census.project, data__min_rows=100)


@pytest.fixture(scope="module")
def lines(adult: str) -> Rows:
    """A header and 600 genuine rows."""
    return [line.replace(", ", ",") for line in adult.splitlines()[:601]]


@pytest.fixture(scope="module")
def checked(census: Workbench, settings: Settings, lines: Rows) -> Done:
    """One run over every case, and over good objects of four kinds."""
    entries = [census.land(case.key, case.make(lines)) for case in CASES]
    columns = lines[0].split(",")
    turned = [",".join(reversed(line.split(","))) for line in [lines[0], *lines[1:101]]]
    extra = [lines[0] + ",note", *(line + ",x" for line in lines[101:201])]
    entries += [
        census.land("good.csv.gz", gzip.compress(_text([lines[0], *lines[201:]]))),
        census.land("reordered.csv", _text(turned)),
        census.land("extra.csv", _text(extra)),
        {**census.land("gone.csv", _text(lines[:50])), "key": "gone.csv"},
    ]
    assert len(columns) == 15
    census.s3.delete_object(Bucket=BUCKET, Key="gone.csv", VersionId=entries[-1]["version_id"])
    done = census.check(settings, entries, name="bad")
    assert done.code == 0, done.log
    return done


def report(done: Done) -> dict[str, Any]:
    """The report's objects by key."""
    return {entry["key"]: entry for entry in done.json("check/report.json")["objects"]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_damaged_object_is_quarantined_with_its_reason(case: Case, checked: Done) -> None:
    """Each damage is named so that its sender can mend it."""
    entry = report(checked)[case.key]
    assert entry["quarantined"]
    assert not entry["gone"]
    assert any(part in entry["reason"] for part in case.reason.split("|")), entry["reason"]
    assert all(len(row["text"]) <= 201 for row in entry["first_bad"])


def test_deleted_version_is_recorded_as_gone(checked: Done) -> None:
    """An object that was deleted before the run read it is no fault of its data."""
    entry = report(checked)["gone.csv"]
    assert entry["quarantined"]
    assert entry["gone"]
    assert "deleted before the run" in entry["reason"]


def test_good_objects_do_not_suffer(checked: Done) -> None:
    """Reordered and extra columns are read, with a notice; every good row counts."""
    entries = report(checked)
    for key, notice in (
        ("reordered.csv", "another order"),
        ("extra.csv", 'ignored column "note"'),
    ):
        assert not entries[key]["quarantined"], entries[key]
        assert notice in entries[key]["notices"][0]
    assert not entries["good.csv.gz"]["quarantined"]
    summary = checked.json("check/summary.json")
    assert summary["rows"]["good"] == 600
    assert summary["objects"] == {"read": 26, "good": 3, "quarantined": 23}


def test_first_bad_rows_say_where_and_what(checked: Done) -> None:
    """Line, column, reason and text of the row."""
    (row,) = report(checked)["range.csv"]["first_bad"]
    assert (row["line"], row["column"]) == (4, "age")
    assert row["why"] == "131 is above the maximum 130"
    assert row["text"].startswith("131,")


def test_the_text_of_a_bad_row_is_the_line_of_the_file(census: Workbench, lines: Rows) -> None:
    """Also where the columns stand in another order than in the settings."""
    settings = project_settings(census.project, data__min_rows=1)
    turned = [",".join(reversed(line.split(","))) for line in [lines[0], _cell(lines[1], 0, "x")]]
    done = census.check(settings, [census.land("turned.csv", _text(turned))], name="turned")
    (row,) = report(done)["turned.csv"]["first_bad"]
    assert row["text"] == turned[1]


def test_files_without_header_are_read_by_position(census: Workbench, lines: Rows) -> None:
    """In the order of model.yaml, which the stored settings keep; a header then is a bad row."""
    settings = project_settings(census.project, data__min_rows=1, data__header=False)
    entries = [
        census.land("plain.csv", _text(lines[1:])),
        census.land("headed.csv", _text(lines)),
        census.land("torn.csv", _text([f'"{lines[1]}', *lines[2:]]).replace(b",", b'"x,', 1)),
        census.land("wide.csv", _text(["x" * 200_000])),
    ]
    done = census.check(settings, entries, name="plain")
    entries_found = report(done)
    assert not entries_found["plain.csv"]["quarantined"], entries_found
    assert (
        "the first line is a header: set data.header: true"
        in (entries_found["headed.csv"]["reason"])
    )
    # A first row that cannot be parsed is a bad row like any other, not nothing.
    (torn,) = entries_found["torn.csv"]["first_bad"]
    assert (entries_found["torn.csv"]["quarantined"], torn["line"]) == (True, 1)
    assert "a field has more than 100,000 characters" in entries_found["wide.csv"]["reason"]


def test_a_few_bad_rows_are_dropped_when_the_settings_say_so(
    census: Workbench, lines: Rows
) -> None:
    """Up to max_bad_rows an object stays, without those rows; one more and it goes."""
    settings = project_settings(census.project, data__min_rows=100, data__max_bad_rows=2)
    bad = [_cell(line, 0, "?") for line in lines[1:4]]
    two = census.land("two.csv", _text([*lines[:300], *bad[:2]]))
    three = census.land("three.csv", _text([lines[0], *lines[300:], *bad]))
    done = census.check(settings, [two, three], name="few")
    entries = report(done)
    assert not entries["two.csv"]["quarantined"]
    assert (entries["two.csv"]["rows"], entries["two.csv"]["bad_rows"]) == (299, 2)
    assert entries["three.csv"]["quarantined"]
    assert "3 bad rows, 2 allowed" in entries["three.csv"]["reason"]


def test_run_is_refused_when_too_little_is_left(census: Workbench, lines: Rows) -> None:
    """The summary says so in the words that people read; nothing is prepared."""
    settings = project_settings(census.project, data__min_rows=1000)
    done = census.check(settings, [census.land("small.csv", _text(lines[:51]))], name="small")
    summary = done.json("check/summary.json")
    assert (done.code, summary["refused"]) == (0, True)
    assert summary["reason"] == "rows: 50 of 1,000"
    assert not (done.output("training") / "rows.parquet").exists()


def test_one_class_only_is_refused(census: Workbench, settings: Settings, lines: Rows) -> None:
    """A model cannot learn a difference that the data do not have."""
    poor = [lines[0], *(line for line in lines[1:] if line.endswith("<=50K"))]
    done = census.check(settings, [census.land("poor.csv", _text(poor))], name="one-class")
    summary = done.json("check/summary.json")
    assert summary["refused"]
    assert summary["reason"].startswith("one class only: every training row has income <=50K")


def test_an_empty_manifest_is_refused(census: Workbench, settings: Settings) -> None:
    """No objects are no rows."""
    done = census.check(settings, [], name="none")
    assert done.json("check/summary.json")["reason"] == "rows: 0 of 100"


def test_later_rows_replace_earlier_ones_of_the_same_identity(
    census: Workbench, lines: Rows
) -> None:
    """With an identity, the newest row counts, whatever order the manifest has."""
    settings = project_settings(
        census.project, data__min_rows=10, data__identity=["age", "fnlwgt", "education"]
    )
    known = {tuple(line.split(",")[i] for i in (0, 2, 3)) for line in lines[1:]}
    old = census.land("old.csv", _text(lines))
    moved = [_cell(line, 12, "77") for line in lines[1:]]
    new = census.land("new.csv", _text([lines[0], *moved]))
    done = census.check(settings, [new, old], name="replaced")
    summary = done.json("check/summary.json")
    assert summary["rows"]["good"] == len(known)
    assert summary["rows"]["replaced"] == 1200 - len(known)
    from tests.jobs.test_loop import read_parquet

    hours = read_parquet(census, done, "holdout/rows.parquet", "hours_per_week")
    assert set(hours) == {77}


def test_formats_give_the_same_rows(census: Workbench, lines: Rows, jobs_python: Any) -> None:
    """JSON lines and Parquet of the same rows have the same identities and sides as CSV."""
    import subprocess

    from tests.jobs.test_loop import read_parquet

    names = lines[0].split(",")
    numbers = {"age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week"}
    documents = [
        {n: int(c) if n in numbers else c for n, c in zip(names, line.split(","), strict=True)}
        for line in lines[1:]
    ]
    json_lines = "\n".join(json.dumps(document) for document in documents).encode()
    path = census.folder / "rows.parquet"
    code = (
        "import sys,json,pandas as p;"
        "p.DataFrame([json.loads(l) for l in sys.stdin]).to_parquet(sys.argv[1])"
    )
    subprocess.run([jobs_python, "-c", code, str(path)], input=json_lines, check=True)
    found = {}
    for kind, body in (
        ("csv", _text(lines)),
        ("jsonlines", gzip.compress(json_lines)),
        ("parquet", path.read_bytes()),
    ):
        settings = project_settings(census.project, data__min_rows=100, data__format=kind)
        done = census.check(settings, [census.land(f"rows.{kind}", body)], name=f"format-{kind}")
        assert not done.json("check/summary.json")["refused"], done.log
        found[kind] = (
            read_parquet(census, done, "holdout/rows.parquet", "__row"),
            read_parquet(census, done, "training/rows.parquet", "__row"),
        )
    assert found["csv"] == found["jsonlines"] == found["parquet"]
    assert len(found["csv"][0]) + len(found["csv"][1]) == 600
