"""The data of the example models: genuine from a mirror or its publisher, else synthetic.

Two of them are synthetic by design (`cli.invented`): nobody publishes them.
Every source is brought to the same plain CSV (a header line, no blanks around fields, no dot
after a label, no comment or empty line) and checked against one sum, so that a mirror and the
publisher give the same bytes. Values are never changed. Files of a mirror may be gzipped.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import random
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CommandError, NotFound
from cli.invented import REVIEW_COLUMNS, SALARY_COLUMNS, invent_review, invent_salary
from cli.local_cloud import ROOT

TIMEOUT_S = 20
SYNTHETIC = "SYNTHETIC rows (no mirror, no network): figures say nothing about the real data"
MADE = "SYNTHETIC rows, made for this example: figures say nothing about real people or products"
UCI = "https://archive.ics.uci.edu/ml/machine-learning-databases"


@dataclass(frozen=True)
class Part:
    """One file of a data set: its name, where it comes from, and the sum of its plain CSV.

    Of a file that nobody publishes only name and number of rows are set.
    """

    name: str
    mirror: str = ""
    url: str = ""
    sha256: str = ""
    rows: int = 0


@dataclass(frozen=True)
class Description:
    """A data set that can be fetched: who publishes it, its columns and its parts."""

    title: str
    columns: tuple[str, ...]
    parts: tuple[Part, ...]
    invent: Callable[[random.Random], list[str]]

    @property
    def published(self) -> bool:
        """Say whether there are genuine rows anywhere."""
        return all(part.url for part in self.parts)


@dataclass(frozen=True)
class Table:
    """One fetched part: a header line and its rows, as lines of CSV."""

    name: str
    header: str
    rows: tuple[str, ...]

    def text(self, start: int = 0, end: int | None = None) -> str:
        """The header and some of the rows as one CSV document."""
        return "\n".join([self.header, *self.rows[start:end]]) + "\n"


@dataclass(frozen=True)
class Dataset:
    """A fetched data set; `source` says in words where its rows come from."""

    name: str
    source: str
    genuine: bool
    tables: tuple[Table, ...]


def invent_adult(generator: random.Random) -> list[str]:
    """One row in Adult's schema whose income depends on age, schooling, hours and gains."""
    age = min(90, max(17, round(generator.gauss(38.6, 13.6))))
    education, years = generator.choices(EDUCATION, EDUCATION_WEIGHTS)[0]
    hours = min(99, max(1, round(generator.gauss(40, 12))))
    sex = "Male" if generator.random() < 0.67 else "Female"
    married = generator.random() < (0.6 if age > 28 else 0.15)
    gain = generator.choice((3103, 5178, 7298, 7688, 15024)) if generator.random() < 0.08 else 0
    loss = generator.choice((1602, 1887, 1977)) if gain == 0 and generator.random() < 0.05 else 0
    weight = -4.1 + 0.03 * (age - 38) + 0.38 * (years - 10) + 0.03 * (hours - 40)
    weight += 3.4 * married + (2.4 if gain else 0) + (0.9 if loss else 0)
    rich = generator.random() < 1 / (1 + math.exp(-weight * 1.4))
    relationship = ("Husband" if sex == "Male" else "Wife") if married else "Not-in-family"
    fields = (
        age,
        generator.choice(("Private", "Private", "Private", "Self-emp-not-inc", "Local-gov", "?")),
        generator.randint(20_000, 480_000),
        education,
        years,
        "Married-civ-spouse" if married else generator.choice(("Never-married", "Divorced")),
        generator.choice(("Prof-specialty", "Craft-repair", "Exec-managerial", "Sales", "?")),
        relationship,
        generator.choice(("White", "White", "White", "White", "Black", "Asian-Pac-Islander")),
        sex,
        gain,
        loss,
        hours,
        "United-States" if generator.random() < 0.9 else generator.choice(("Mexico", "?")),
        ">50K" if rich else "<=50K",
    )
    return [str(value) for value in fields]


EDUCATION = (
    ("HS-grad", 9),
    ("Some-college", 10),
    ("Bachelors", 13),
    ("Masters", 14),
    ("11th", 7),
    ("Doctorate", 16),
)
EDUCATION_WEIGHTS = (32, 22, 17, 6, 4, 1)


def invent_abalone(generator: random.Random) -> list[str]:
    """One row in Abalone's schema whose rings grow with its size."""
    rings = min(29, max(1, round(generator.gauss(9.9, 3.2))))
    length = min(0.82, max(0.08, 0.28 + 0.026 * rings + generator.gauss(0, 0.05)))
    whole = 8.0 * length**3 * generator.uniform(0.85, 1.15)
    fields = (
        generator.choice("MFI") if rings > 7 else generator.choice("MFIII"),
        f"{length:.3f}",
        f"{length * 0.8:.3f}",
        f"{length * 0.27:.3f}",
        f"{whole:.4f}",
        f"{whole * 0.42:.4f}",
        f"{whole * 0.21:.4f}",
        f"{whole * 0.29:.4f}",
        rings,
    )
    return [str(value) for value in fields]


ADULT_COLUMNS = (
    *("age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation"),
    *("relationship", "race", "sex", "capital_gain", "capital_loss", "hours_per_week"),
    *("native_country", "income"),
)
ABALONE_COLUMNS = (
    *("sex", "length", "diameter", "height", "whole_weight", "shucked_weight"),
    *("viscera_weight", "shell_weight", "rings"),
)
DATASETS = {
    "census": Description(
        title="UCI Adult (Census Income, CC BY 4.0)",
        columns=ADULT_COLUMNS,
        parts=(
            Part(
                "adult-train.csv",
                "adult-train.csv",
                f"{UCI}/adult/adult.data",
                "3b8a6abd697a6623ef2ccbffc3e2802e167e7fdaa853003d3bd557b0ce7f5d2a",
                32_561,
            ),
            Part(
                "adult-test.csv",
                "adult-test.csv",
                f"{UCI}/adult/adult.test",
                "eb6e9f02496bed4137b1a069b8af64b90eb534ba46143948667034dddef9abd9",
                16_281,
            ),
        ),
        invent=invent_adult,
    ),
    "abalone": Description(
        title="UCI Abalone (CC BY 4.0)",
        columns=ABALONE_COLUMNS,
        parts=(
            Part(
                "abalone.csv",
                "abalone.csv",
                f"{UCI}/abalone/abalone.data",
                "b36baf97dbcb1ae8d70ae95dd06794ce7878aef96cefc29cd0c8ca0fd9f8aee1",
                4_177,
            ),
        ),
        invent=invent_abalone,
    ),
    "salary": Description(
        title="salaries of managers",
        columns=SALARY_COLUMNS,
        parts=(Part("salaries.csv", rows=3_000),),
        invent=invent_salary,
    ),
    "stars": Description(
        title="reviews of three products",
        columns=REVIEW_COLUMNS,
        parts=(Part("reviews.csv", rows=6_000),),
        invent=invent_review,
    ),
}


def fetch_dataset(name: str, *, synthetic: bool = False) -> Dataset:
    """Get a data set: from the mirror, the cache, the publisher; else make synthetic rows."""
    description = DATASETS.get(name)
    if description is None:
        raise NotFound(
            f"There is no example data set '{name}'.", f"There are: {', '.join(DATASETS)}."
        )
    if synthetic or not description.published:
        return synthetic_dataset(name)
    mirror = os.environ.get("PERENNIAL_DATA_MIRROR")
    if mirror:
        # A mirror that was named and lacks the file is a mistake, never a reason to go elsewhere.
        tables = [_from_folder(part, description, Path(mirror)) for part in description.parts]
        return Dataset(name, f"{description.title}, from the mirror {mirror}", True, tuple(tables))
    try:
        tables = [_from_publisher(part, description) for part in description.parts]
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return synthetic_dataset(name)
    host = UCI.split("/")[2]
    return Dataset(name, f"{description.title}, downloaded from {host}", True, tuple(tables))


def synthetic_dataset(name: str) -> Dataset:
    """The same rows every time, in the data set's schema, with a relation that can be learnt."""
    description = DATASETS[name]
    generator = random.Random(20_260_101)  # noqa: S311 - the same rows each time, no secret
    tables = tuple(
        Table(
            part.name.replace(".csv", "-synthetic.csv"),
            ",".join(description.columns),
            tuple(",".join(description.invent(generator)) for _ in range(part.rows)),
        )
        for part in description.parts
    )
    return Dataset(name, SYNTHETIC if description.published else MADE, False, tables)


def plain_rows(text: str) -> tuple[str, ...]:
    """The rows of a published file: no blanks around fields, no empty or comment line."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(
        ",".join(field.strip() for field in line.split(",")).rstrip(".")
        for line in lines
        if line and not line.startswith("|")
    )


def checked(part: Part, description: Description, text: str, origin: str) -> Table:
    """The part's table, or an error that names the origin when its sum is another."""
    table = Table(part.name, ",".join(description.columns), plain_rows(text))
    found = hashlib.sha256(table.text().encode()).hexdigest()
    if found != part.sha256:
        raise CommandError(
            f"{origin} is not {description.title}: {len(table.rows):,} rows with SHA-256"
            f" {found[:12]}…, expected {part.rows:,} rows with {part.sha256[:12]}….",
            "Download it again, or correct PERENNIAL_DATA_MIRROR.",
        )
    return table


def _from_folder(part: Part, description: Description, folder: Path) -> Table:
    """Read a part from a folder, gzipped or not."""
    for path in (folder / f"{part.mirror}.gz", folder / part.mirror):
        if path.is_file():
            body = path.read_bytes()
            text = (gzip.decompress(body) if path.suffix == ".gz" else body).decode()
            return checked(part, description, text, str(path))
    raise NotFound(
        f"The mirror {folder} holds neither {part.mirror}.gz nor {part.mirror}.",
        "Correct PERENNIAL_DATA_MIRROR, or unset it to download the data.",
    )


def _from_publisher(part: Part, description: Description) -> Table:
    """Read a part from the cache of an earlier download, else download it."""
    cache = ROOT / ".local" / "data"
    if (cache / part.mirror).is_file():
        return _from_folder(part, description, cache)
    with urllib.request.urlopen(part.url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - https, ours
        text = answer.read().decode()
    table = checked(part, description, text, part.url)
    cache.mkdir(parents=True, exist_ok=True)
    # Keep what was published, so that the check also guards the cache.
    (cache / part.mirror).write_text(text, encoding="utf-8")
    return table


def write_tables(tables: Iterable[Table], folder: Path) -> list[tuple[Path, int]]:
    """Write each table as a CSV file; the paths with their numbers of rows."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in tables:
        path = folder / table.name
        path.write_text(table.text(), encoding="utf-8")
        written.append((path, len(table.rows)))
    return written
