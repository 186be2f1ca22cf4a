"""A census model with a champion, everything bad that may land for it, and its one run.

The champion's data land before the model is pushed, so their event finds no model.
"""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.local_cloud import ROOT
from tests.functional.stack.bad_input.data_cases import (
    GOOD_ROWS,
    KEYS,
    LEFT_OUT,
    NOBODY,
    PREFIX,
    STRAY,
    TABLE,
    Object,
    text,
)
from tests.functional.stack.bad_input.shell import Champion, Shell

HEADER = (
    "age,workclass,fnlwgt,education,education_num,marital_status,occupation,relationship,race,"
    "sex,capital_gain,capital_loss,hours_per_week,native_country,income"
)
FIRST_ROWS = 1500
ONE_CLASS_ROWS = 400
# Small rounds and low gates, and no champion to beat: whatever comes through would win.
SETS = {
    "explain": "off",
    "gates.champion": "off",
    "data.min_rows": "100",
    "gates.auc.min": "0.5",
    "gates.accuracy.min": "0.5",
    "train.hyperparameters.rounds": "10",
    "triggers.cool_down": "0s",
    "triggers.quiet_period": "1s",
    "triggers.max_runs_per_day": "1000",
}


def options(sets: dict[str, str]) -> list[str]:
    """`--set` for each of the settings."""
    return [part for key, value in sets.items() for part in ("--set", f"{key}={value}")]


def genuine_lines() -> list[str]:
    """UCI Adult's training rows, without the blanks after its commas."""
    folder = os.environ.get("PERENNIAL_DATA_MIRROR") or str(ROOT.parent / "shared" / "data")
    path = Path(folder) / "adult-train.csv.gz"
    assert path.is_file(), "set PERENNIAL_DATA_MIRROR to a folder with adult-train.csv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    return [line.replace(", ", ",") for line in lines if line]


@dataclass
class DataStory:
    """What was seen on the way, for the tests to judge."""

    landed_for_nobody: str = ""
    unknown: tuple[int, str] = (0, "")
    first: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, list[str]] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    report: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refused: dict[str, Any] = field(default_factory=dict)
    one_class: list[dict[str, Any]] = field(default_factory=list)
    champions: dict[str, Champion] = field(default_factory=dict)
    runs: int = 0


def tell_data_story(shell: Shell, project: str, scratch: Path) -> DataStory:
    """Land, push, approve; land everything bad in one go; then data of one class only."""
    story, lines = DataStory(), genuine_lines()
    _landed_too_early(shell, project, lines, scratch, story)
    story.champions["first"] = shell.promote("census", 1)
    _everything_bad(shell, lines[FIRST_ROWS:], scratch, story)
    story.champions["after bad data"] = shell.champion("census")
    _one_class(shell, lines, story)
    story.champions["after one class"] = shell.champion("census")
    story.runs = len(shell.json("runs", "census"))
    return story


def _landed_too_early(
    shell: Shell, project: str, lines: list[str], scratch: Path, story: DataStory
) -> None:
    """Data first, the model later: the event finds no model, a listing finds the object."""
    shell.put(f"{PREFIX}first.csv", text([HEADER, *lines[:FIRST_ROWS]]))
    for key in STRAY:
        shell.put(key, text([HEADER, *lines[:GOOD_ROWS]]))
    file = scratch / "first.csv"
    file.write_bytes(text([HEADER, *lines[:GOOD_ROWS]]))
    story.landed_for_nobody = shell.ok("land", NOBODY, str(file), "--as", "second.csv")
    asked = shell.run("why", "census", "first.csv")
    story.unknown = (asked.returncode, asked.stderr)

    def acknowledged() -> bool:
        lines = shell.json("logs", "on_signal", "-n", "1000")
        told = [line["text"] for line in lines if "incoming/census/first.csv" in line["text"]]
        return any("unknown model" in text for text in told)

    shell.until("the word of on_signal that it knows no model census", acknowledged)
    shell.ok("push", project, *options(SETS))
    story.first = shell.ended("census", 1)


def _everything_bad(shell: Shell, lines: list[str], scratch: Path, story: DataStory) -> None:
    """Every row of the table, in one go; then one run."""
    shell.ok("pause", "census", "--because", "the producer sends everything at once")
    for number, case in enumerate(TABLE):
        slice_of = [HEADER, *lines[number * GOOD_ROWS : (number + 1) * GOOD_ROWS]]
        story.versions[case.key] = _land(shell, case, slice_of, scratch)
    admitted = sum(len(case.fates) for case in TABLE if case.fates != ("not selected",))

    def all_waiting() -> bool:
        return len(shell.waiting("census")) == admitted

    shell.until(f"the admission of {admitted} object versions", all_waiting)
    for case in LEFT_OUT:
        story.left_out[case.key] = shell.json("why", "census", case.key)
    shell.ok("resume", "census")
    story.run = shell.ended("census", 2)
    story.report = {bad["key"]: bad for bad in story.run["quarantined"]}


def _land(shell: Shell, case: Object, lines: list[str], scratch: Path) -> list[str]:
    """Land one row of the table: the versions of its object, oldest first."""
    key = PREFIX + case.key
    if case in KEYS:
        file = scratch / "file.csv"
        file.write_bytes(case.make(lines))
        (landed,) = shell.json("land", "census", str(file), "--as", case.key)
        assert landed["key"] == key
        return [landed["version_id"]]
    versions = [shell.put(key, case.make(lines))]
    if case.then == "deleted":
        shell.delete(key)
    elif case.then == "erased":
        shell.delete(key, versions[0])
    elif callable(case.then):
        versions.append(shell.put(key, case.then(lines)))
    return versions


def _one_class(shell: Shell, lines: list[str], story: DataStory) -> None:
    """The producer takes everything back and sends one class only."""
    shell.ok("pause", "census", "--because", "the producer changes its mind")
    for key in ["first.csv", *(case.key for case in TABLE)]:
        shell.delete(PREFIX + key)
    poor = [line for line in lines if line.endswith("<=50K")][:ONE_CLASS_ROWS]
    shell.put(f"{PREFIX}poor.csv", text([HEADER, *poor]))
    shell.until("the admission of poor.csv", lambda: f"{PREFIX}poor.csv" in shell.waiting("census"))
    shell.ok("resume", "census")
    story.refused = shell.ended("census", 3)
    story.one_class = shell.json("why", "census", "poor.csv")
