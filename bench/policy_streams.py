"""Labelled streams for `bench.policy`: rows in the order in which they happened, cut into windows.

Genuine: `elec2` and `bike-hour` (weeks), from the folder `PERENNIAL_DATA_MIRROR`; Adult in random
order, as it is and with relations changed on the way. Synthetic ones were made to fix the rules'
constants on; they are reported apart.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]
Problem = Literal["binary", "regression"]

#: Windows before the first model is served; its training is charged to nobody.
WARM_UP = 4
#: A CSV without `--window` is cut into about so many windows.
WINDOWS = 100
FEWEST_ROWS = 20
SEED = 20


class BadStream(ValueError):
    """A stream that cannot be replayed; the message says why and what to do."""


@dataclass(frozen=True)
class Stream:
    """Features (numbers; categories as codes), labels, and the rows of one window."""

    name: str
    problem: Problem
    features: pd.DataFrame
    labels: Array
    window: int
    synthetic: bool = False

    def __post_init__(self) -> None:
        if self.window < FEWEST_ROWS:
            raise BadStream(f"{self.name}: windows of {self.window} rows; {FEWEST_ROWS} at least")
        if self.windows < WARM_UP + 8:
            raise BadStream(
                f"{self.name}: {len(self.labels):,} rows are {self.windows} windows of "
                f"{self.window} rows; {WARM_UP + 8} at least: ask for fewer rows with --window"
            )
        if not np.isfinite(self.labels).all():
            raise BadStream(f"{self.name}: labels are missing or infinite")

    @property
    def windows(self) -> int:
        """How many whole windows there are; rows after the last one are left out."""
        return len(self.labels) // self.window

    def rows(self, first: int, end: int) -> slice:
        """The rows of the windows first, ..., end - 1."""
        return slice(first * self.window, end * self.window)


def mirror() -> Path:
    """The folder with the genuine data; raises `BadStream` where there is none."""
    folder = os.environ.get("PERENNIAL_DATA_MIRROR")
    if not folder or not (Path(folder) / "streams").is_dir():
        raise BadStream(
            "set PERENNIAL_DATA_MIRROR to the folder that holds streams/elec2.csv.gz, "
            "streams/bike-hour.csv.gz and Adult's files, or name --stream or a CSV"
        )
    return Path(folder)


def encoded(frame: pd.DataFrame) -> pd.DataFrame:
    """Numbers as they are; everything else as codes in the order of first appearance."""
    columns = {}
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column):
            columns[name] = column.astype(float).replace([np.inf, -np.inf], np.nan)
        else:
            codes = pd.factorize(column.astype(str))[0]
            columns[name] = pd.Series(np.minimum(codes, 200), index=frame.index).astype("category")
    return pd.DataFrame(columns)


def elec2() -> Stream:
    """New South Wales electricity prices: up or down; weeks of half-hours."""
    frame = pd.read_csv(mirror() / "streams" / "elec2.csv.gz")
    labels = frame.pop("class").to_numpy(float)
    return Stream("elec2", "binary", encoded(frame), labels, 48 * 7)


def bike_hour() -> Stream:
    """Hires an hour in Washington D.C.; weeks of hours, without the trend's own columns."""
    frame = pd.read_csv(mirror() / "streams" / "bike-hour.csv.gz")
    labels = frame["cnt"].to_numpy(float)
    gone = ["instant", "dteday", "yr", "casual", "registered", "cnt"]
    return Stream("bike-hour", "regression", encoded(frame.drop(columns=gone)), labels, 24 * 7)


ADULT_COLUMNS = (
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status"),
    *("occupation", "relationship", "race", "sex", "capital-gain", "capital-loss"),
    *("hours-per-week", "native-country", "income"),
)
ADULT_WINDOW = 480


def _adult() -> tuple[pd.DataFrame, Array]:
    folder = mirror()
    parts = [
        pd.read_csv(folder / f"adult-{part}.csv.gz", names=ADULT_COLUMNS, skipinitialspace=True)
        for part in ("train", "test")
    ]
    frame = pd.concat(parts, ignore_index=True).sample(frac=1.0, random_state=SEED)
    frame = frame.reset_index(drop=True)
    label = frame.pop(frame.columns[-1]).astype(str).str.contains(">50K").to_numpy(float)
    return encoded(frame), label


def adult_still() -> Stream:
    """Adult in random order: nothing changes, so no training pays."""
    features, labels = _adult()
    return Stream("adult-still", "binary", features, labels, ADULT_WINDOW)


def adult_abrupt() -> Stream:
    """Adult; from a third on, people of 40 hours or less have the other label; back at 70 %."""
    features, labels = _adult()
    share = np.arange(len(labels)) / len(labels)
    changed = (share >= 0.33) & (share < 0.7)
    few_hours = features["hours-per-week"].to_numpy() <= 40
    labels = np.where(changed & few_hours, 1 - labels, labels)
    return Stream("adult-abrupt", "binary", features, labels, ADULT_WINDOW)


def adult_gradual() -> Stream:
    """Adult; the age from which the label turns over sinks slowly from 70 to 35."""
    features, labels = _adult()
    share = np.arange(len(labels)) / len(labels)
    old = features["age"].to_numpy() >= 70 - 35 * share
    return Stream(
        "adult-gradual", "binary", features, np.where(old, 1 - labels, labels), ADULT_WINDOW
    )


def _synthetic(
    name: str,
    windows: int,
    size: int,
    score: Callable[[Array, Array, np.random.Generator], Array],
    problem: Problem = "binary",
) -> Stream:
    random = np.random.default_rng(abs(hash_of(name)))
    features = random.random((windows * size, 5))
    share = np.arange(len(features)) / len(features)
    labels = score(features, share, random)
    frame = pd.DataFrame(features, columns=[f"x{i}" for i in range(5)])
    return Stream(name, problem, frame, labels.astype(float), size, synthetic=True)


def hash_of(name: str) -> int:
    """A number of the name, the same in every process."""
    return sum((i + 1) * ord(letter) for i, letter in enumerate(name))


def _noisy(clean: Array, random: np.random.Generator, share: float | Array = 0.1) -> Array:
    return np.where(random.random(len(clean)) < share, 1 - clean, clean)


def sea() -> Stream:
    """Streaming ensemble algorithm's concepts (Street and Kim, KDD 2001): four sudden changes."""

    def score(x: Array, share: Array, random: np.random.Generator) -> Array:
        thresholds = np.array([0.8, 1.15, 0.6, 1.3, 0.9])[(share * 5).astype(int)]
        return _noisy((x[:, 0] + x[:, 1] <= thresholds).astype(float), random)

    return _synthetic("sea", 110, 300, score)


def hyperplane() -> Stream:
    """A plane that turns slowly all the time (Hulten and others, KDD 2001)."""

    def score(x: Array, share: Array, random: np.random.Generator) -> Array:
        angle = 2 * np.pi * share
        side = np.cos(angle) * (x[:, 0] - 0.5) + np.sin(angle) * (x[:, 1] - 0.5)
        return _noisy((side > 0).astype(float), random, 0.05)

    return _synthetic("hyperplane", 100, 300, score)


def still() -> Stream:
    """Nothing changes."""

    def score(x: Array, share: Array, random: np.random.Generator) -> Array:
        return _noisy((x[:, 0] * x[:, 1] > 0.25).astype(float), random, 0.15)

    return _synthetic("still", 100, 250, score)


def incurable() -> Stream:
    """Labels become noise slowly and back: errors rise, and no training helps."""

    def score(x: Array, share: Array, random: np.random.Generator) -> Array:
        noise = 0.05 + 0.3 * np.clip(np.sin(3 * np.pi * share), 0, None)
        return _noisy((x[:, 0] + 0.5 * x[:, 2] > 0.75).astype(float), random, noise)

    return _synthetic("incurable", 110, 300, score)


def seasons() -> Stream:
    """A regression whose relation swings with a period of 26 windows."""

    def score(x: Array, share: Array, random: np.random.Generator) -> Array:
        swing = np.sin(2 * np.pi * share * 4)
        return 10 + 4 * x[:, 0] + 3 * swing * x[:, 1] + 2 * swing + random.normal(0, 1, len(x))

    return _synthetic("seasons", 104, 150, score, "regression")


def growth() -> Stream:
    """A regression that grows by fits and starts, with two quiet years."""

    def score(x: Array, share: Array, random: np.random.Generator) -> Array:
        level = 1 + 1.5 * np.clip(share - 0.2, 0, 0.2) + 3 * np.clip(share - 0.7, 0, None)
        return level * (4 + 3 * x[:, 0] + 2 * x[:, 1] * x[:, 2]) + random.normal(0, 0.7, len(x))

    return _synthetic("growth", 100, 200, score, "regression")


GENUINE: dict[str, Callable[[], Stream]] = {
    "elec2": elec2,
    "bike-hour": bike_hour,
    "adult-still": adult_still,
    "adult-abrupt": adult_abrupt,
    "adult-gradual": adult_gradual,
}
SYNTHETIC: dict[str, Callable[[], Stream]] = {
    "sea": sea,
    "hyperplane": hyperplane,
    "still": still,
    "incurable": incurable,
    "seasons": seasons,
    "growth": growth,
}


def read_csv(path: Path, label: str | None, window: int | None) -> Stream:
    """Any CSV (gzip too) whose rows are in order; the last column is the label, unless named.

    Two different labels are a classification, whatever their type; numbers a regression.
    Raises `BadStream` for a label that is neither, is missing, or for too few rows.
    """
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise BadStream(f"{path}: cannot be read as CSV: {error}") from error
    if frame.empty:
        raise BadStream(f"{path}: no rows")
    label = label or str(frame.columns[-1])
    if label not in frame.columns:
        raise BadStream(f"{path}: no column {label}; there are {', '.join(map(str, frame))}")
    column = frame.pop(label)
    if column.isna().any():
        raise BadStream(f"{path}: {int(column.isna().sum()):,} rows have no {label}")
    values = sorted(column.unique())
    if len(values) == 2:
        problem: Problem = "binary"
        labels = (column == values[1]).to_numpy(float)
    elif pd.api.types.is_numeric_dtype(column):
        problem, labels = "regression", column.to_numpy(float)
    else:
        raise BadStream(f"{path}: {label} has {len(values)} classes; two, or numbers, are replayed")
    rows = window or max(FEWEST_ROWS, len(frame) // WINDOWS)
    return Stream(path.name.split(".")[0], problem, encoded(frame), labels, rows)
