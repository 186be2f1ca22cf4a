"""The example data: genuine and checked, or synthetic and said so."""

from __future__ import annotations

import csv
import io
import os
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from cli import datasets
from cli.datasets import DATASETS, fetch_dataset, plain_rows, synthetic_dataset, write_tables
from cli.errors import CommandError, NotFound


def no_network(*_: Any, **__: Any) -> Any:
    """What urlopen does where there is no network."""
    raise urllib.error.URLError("no network")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No mirror, no cache and no network."""
    monkeypatch.delenv("PERENNIAL_DATA_MIRROR", raising=False)
    monkeypatch.setattr(datasets, "ROOT", tmp_path)
    monkeypatch.setattr("urllib.request.urlopen", no_network)


@pytest.mark.skipif("PERENNIAL_DATA_MIRROR" not in os.environ, reason="no mirror of the data")
@pytest.mark.parametrize(("name", "rows"), [("census", [32_561, 16_281]), ("abalone", [4_177])])
def test_the_mirror_gives_the_genuine_rows(name: str, rows: list[int]) -> None:
    """Every row of the published files, under a header, named as genuine."""
    found = fetch_dataset(name)
    assert found.genuine
    assert "mirror" in found.source
    assert [len(table.rows) for table in found.tables] == rows
    width = len(DATASETS[name].columns)
    for table in found.tables:
        assert all(len(line) == width for line in csv.reader(io.StringIO(table.text())))


def test_publisher_and_mirror_become_the_same_rows() -> None:
    """Blanks, comments, empty lines and the test labels' dots are no part of the data."""
    published = "|1x3 Cross validator\n25, Private, ?, <=50K.\n\n 31,Private,x , >50K\n\n"
    assert plain_rows(published) == ("25,Private,?,<=50K", "31,Private,x,>50K")


def test_a_mirror_with_other_rows_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that is not the published one never passes as genuine."""
    (tmp_path / "abalone.csv").write_text("M,0.455,0.365,0.095,0.514,0.2245,0.101,0.15,15\n")
    monkeypatch.setenv("PERENNIAL_DATA_MIRROR", str(tmp_path))
    with pytest.raises(CommandError, match=r"abalone\.csv is not UCI Abalone"):
        fetch_dataset("abalone")


def test_a_mirror_that_lacks_the_file_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A named mirror never falls back to something else silently."""
    monkeypatch.setenv("PERENNIAL_DATA_MIRROR", str(tmp_path))
    with pytest.raises(NotFound, match=r"holds neither adult-train\.csv\.gz nor"):
        fetch_dataset("census")


@pytest.mark.usefixtures("offline")
def test_without_mirror_and_network_rows_are_synthetic_and_say_so() -> None:
    """The stand-in is loud, the same every time, and named so in its files."""
    found = fetch_dataset("abalone")
    assert not found.genuine
    assert "SYNTHETIC" in found.source
    assert found.tables == synthetic_dataset("abalone").tables
    assert found.tables[0].name == "abalone-synthetic.csv"


def test_synthetic_adult_has_both_classes_and_the_schema() -> None:
    """A model can be trained on it: the minority class is there in every thousand rows."""
    found = synthetic_dataset("census").tables[0]
    assert len(found.rows) == 32_561
    rows = [line.split(",") for line in found.rows]
    assert {len(row) for row in rows} == {15}
    for start in range(0, 30_000, 1_000):
        rich = sum(row[-1] == ">50K" for row in rows[start : start + 1_000])
        assert 100 < rich < 400


@pytest.mark.parametrize(("name", "rows"), [("salary", 3_000), ("stars", 6_000)])
def test_data_that_nobody_publishes_are_made_and_say_so(name: str, rows: int) -> None:
    """Neither mirror nor network is asked; the same rows every time, each with its own identity."""
    found = fetch_dataset(name)
    assert not found.genuine
    assert "SYNTHETIC" in found.source
    assert found == synthetic_dataset(name)
    (table,) = found.tables
    assert len(table.rows) == rows
    lines = list(csv.reader(io.StringIO(table.text())))
    assert {len(line) for line in lines} == {len(DATASETS[name].columns)}
    assert len({line[0] for line in lines}) == rows + 1


def test_reviews_have_every_number_of_stars() -> None:
    """And the lowest one often enough to be learned."""
    stars = [line.rsplit(",", 1)[1] for line in synthetic_dataset("stars").tables[0].rows]
    assert set(stars) == {"1", "2", "3", "4", "5"}
    assert min(map(stars.count, set(stars))) > 500


def test_written_files_hold_header_and_rows(tmp_path: Path) -> None:
    """One CSV file a table."""
    table = synthetic_dataset("abalone").tables[0]
    written = write_tables([table], tmp_path / "data")
    assert written == [(tmp_path / "data" / "abalone-synthetic.csv", 4_177)]
    lines = written[0][0].read_text().splitlines()
    assert lines[0].startswith("sex,length,")
    assert len(lines) == 4_178


def test_an_unknown_data_set_is_not_found() -> None:
    """The message names those there are."""
    with pytest.raises(NotFound, match="no example data set 'iris'"):
        fetch_dataset("iris")
