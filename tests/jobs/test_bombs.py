"""Hostile data: files of some bytes that mean gigabytes or hours; each harms only itself."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.conftest import Done, Workbench, project_settings
from tests.jobs.test_bad_data import Rows, report

MEMORY = 4 << 30
LIMITED = (
    f"import resource,runpy,sys; resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}));"
    "sys.argv[:] = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def _text(lines: Rows) -> bytes:
    return ("\n".join(lines) + "\n").encode()


@dataclass(frozen=True)
class Bomb:
    """A hostile object: how it is made of good lines, and what its reason must say."""

    key: str
    make: Callable[[Rows], bytes]
    reason: str


BOMBS = [
    Bomb("twice.csv", lambda g: _text([",".join(["age"] * 300_000), *g[1:3]]), "age is there"),
    Bomb("levels.csv", lambda g: _text([g[0], *_levels(g, 10_001)]), "more than 10,000 levels"),
    Bomb(
        "escape.csv",
        lambda g: _text([g[0], g[1].replace("39", "\x1b[2J\x07\u202e", 1)]),
        '"�[2J��" is not a whole number',
    ),
]


def _levels(lines: Rows, count: int) -> Rows:
    cells = lines[1].split(",")
    return [",".join([*cells[:-2], f"country {n}", cells[-1]]) for n in range(count)]


@dataclass(frozen=True)
class LimitedWorkbench(Workbench):
    """A workbench whose jobs have little memory."""

    def run(self, step: str, base: Path, **environment: str) -> Done:
        """Run one step with little memory."""
        entry = str(self.unpacked() / "entry.py")
        found = subprocess.run(
            [self.python, "-c", LIMITED, entry, "--step", step],
            env={**os.environ, "SAGEMAKER_BASE_DIR": str(base), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        return Done(found.returncode, found.stdout.decode(errors="replace"), base)


@pytest.fixture(scope="module")
def bench(census: Workbench) -> LimitedWorkbench:
    """The census project with little memory."""
    return LimitedWorkbench(census.python, census.s3, census.folder, census.project)


@pytest.fixture(scope="module")
def lines(adult: str) -> Rows:
    """A header and 600 genuine rows."""
    return [line.replace(", ", ",") for line in adult.splitlines()[:601]]


@pytest.fixture(scope="module")
def checked(bench: LimitedWorkbench, lines: Rows) -> Done:
    """One run over every bomb and one good object."""
    settings = project_settings(bench.project, data__min_rows=100, **OPEN)
    entries = [bench.land(bomb.key, bomb.make(lines)) for bomb in BOMBS]
    done = bench.check(settings, [*entries, bench.land("good.csv", _text(lines))], name="bombs")
    assert done.code == 0, done.log
    return done


OPEN: dict[str, Any] = {
    "data__columns__native_country": {"type": "category", "open": True, "required": False}
}


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.key)
def test_a_bomb_is_quarantined(bomb: Bomb, checked: Done) -> None:
    """It costs a bounded time and memory, and says why it is refused."""
    entry = report(checked)[bomb.key]
    assert entry["quarantined"]
    assert bomb.reason in entry["reason"]
    assert entry["reason"].isprintable()


def test_the_run_goes_on_with_the_rest(checked: Done) -> None:
    """Every row of the good object counts."""
    assert checked.json("check/summary.json")["rows"]["good"] == 600


def test_levels_of_refused_rows_and_objects_do_not_count(checked: Done) -> None:
    """The schema that models are made with knows only levels of rows that they may learn from."""
    columns = {c["name"]: c for c in checked.json("check/schema.json")["columns"]}
    levels = columns["native_country"]["levels"]
    assert "United-States" in levels
    assert not [level for level in levels if level.startswith("country ")]


def test_a_parquet_text_that_repeats_is_held_once(
    bench: LimitedWorkbench, lines: Rows, jobs_python: Path
) -> None:
    """600 bytes of Parquet can mean 20 GB of text."""
    path = bench.folder / "bomb.parquet"
    code = (
        "import sys, pyarrow as a, pyarrow.parquet as q;"
        "t = a.DictionaryArray.from_arrays(a.array([0] * 20000, a.int32()), ['x' * 1_000_000]);"
        "q.write_table(a.table({n: t for n in sys.argv[2].split(',')}), sys.argv[1],"
        " compression='zstd', store_schema=False)"
    )
    subprocess.run([jobs_python, "-c", code, str(path), lines[0]], check=True)
    assert path.stat().st_size < 20_000
    settings = project_settings(bench.project, data__min_rows=1, data__format="parquet")
    done = bench.check(settings, [bench.land("bomb.parquet", path.read_bytes())], name="parquet")
    entry = report(done)["bomb.parquet"]
    assert entry["quarantined"]
    assert "1,000,000 characters; at most 100,000" in entry["reason"]


READ = """
import json, sys
from pathlib import Path
from perennial.domain.settings import Settings
from jobs import readers
readers.CHUNK_TEXT, readers.LONGEST_LINE = 1000, 20_000
settings = Settings.from_json(json.loads(sys.argv[2]), project="census").data
try:
    reading = readers.open_object(Path(sys.argv[1]), settings)
    print(json.dumps([[len(c.lines) for c in reading.chunks], reading.notices]))
except readers.BadObject as error:
    print(json.dumps(str(error)))
"""


def read(bench: Workbench, body: str, kind: str) -> Any:
    """The rows of each chunk and the notices of a file, or why it is refused."""
    path = bench.folder / "bomb"
    path.write_text(body, encoding="utf-8")
    settings = project_settings(bench.project, data__format=kind)
    found = subprocess.run(
        [bench.python, "-c", READ, str(path), json.dumps(settings.to_json())],
        cwd=bench.unpacked(),
        capture_output=True,
        check=True,
    )
    return json.loads(found.stdout)


def test_a_row_of_quoted_line_ends_is_refused(bench: LimitedWorkbench, lines: Rows) -> None:
    """Each line is short and the row never ends: a megabyte of gzip would fill the memory."""
    assert "row is longer" in read(bench, lines[0] + '\n"' + '\n","' * 9000, "csv")


def test_chunks_of_long_rows_are_short(bench: LimitedWorkbench, lines: Rows) -> None:
    """Columns that nobody asked for, in every row, would fill the memory row by row."""
    wide = "\n".join(line + ",7" * 400 for line in lines[:11])
    (chunks, notices) = read(bench, wide.replace(",7", ",x", 400), "csv")
    assert (max(chunks), sum(chunks)) == (2, 10)
    assert notices[0].startswith("ignored 400 columns")


def test_chunks_of_long_json_lines_are_short(bench: LimitedWorkbench, lines: Rows) -> None:
    """The same in JSON, where a key also must not speak for us."""
    names = lines[0].split(",")
    row = dict(zip(names, lines[1].split(","), strict=True)) | {"pad\n\x1b": "y" * 2000}
    chunks, notices = read(bench, (json.dumps(row) + "\n") * 10, "jsonlines")
    assert chunks == [1] * 10
    assert notices == ['ignored column "pad��" not in the settings']
