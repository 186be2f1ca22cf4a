"""The stream of `demo-drift`: the rows in order, and how the first champion answers them."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.datasets import Dataset
from cli.errors import CommandError
from cli.session import Session

if TYPE_CHECKING:
    from perennial.domain.settings import Settings

FIRST_ROWS, USUAL_ROWS, DRIFT_ROWS, SETTLED_ROWS = 3_000, 1_200, 6_000, 1_500
CHANGED_ROWS, LAST_ROWS = 6_000, 1_500
OLD, SCHOOLED = 40, 10
LONGEST_WAIT_S = 120


@dataclass(frozen=True)
class Row:
    """One row of traffic: as a client sends it, and what is right."""

    features: dict[str, Any]
    label: str


@dataclass
class Phase:
    """A part of the stream: its rows, and who answered how many of them right."""

    name: str
    rows: Sequence[Row]
    right: int = 0
    answered: int = 0
    versions: list[int] = field(default_factory=list)
    #: How many the first champion answers right, on the very same rows.
    first_right: int = 0

    @property
    def accuracy(self) -> float:
        """The share of right answers with Perennial."""
        return self.right / self.answered if self.answered else 0.0

    @property
    def first_accuracy(self) -> float:
        """The share of right answers of the first champion."""
        return self.first_right / len(self.rows) if self.rows else 0.0


class FirstChampion:
    """Version 1 on the whole stream, by a batch that runs beside the story."""

    def __init__(self, session: Session, model: str, plan: Sequence[Phase]) -> None:
        self.session = session
        self.model = model
        self.plan = plan
        self.predictions: list[str] = []
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="first-champion", daemon=True)

    def start(self) -> None:
        """Begin; `finish` waits."""
        self._thread.start()

    def finish(self) -> None:
        """Count what the first champion would have answered right."""
        self._thread.join(LONGEST_WAIT_S)
        if self.error is not None:
            raise self.error
        if self._thread.is_alive():
            raise CommandError(
                f"Waited {LONGEST_WAIT_S} s in vain: the first champion answers every row.",
                f"Look at: perennial cost {self.model}, which lists its batches",
            )
        answers = iter(self.predictions)
        for phase in self.plan:
            phase.first_right = sum(next(answers) == row.label for row in phase.rows)

    def _run(self) -> None:
        try:
            self._predict()
        except BaseException as error:  # told by finish
            self.error = error

    def _predict(self) -> None:
        from perennial.aws.objects import get_bytes  # noqa: PLC0415 - boto3 costs 0.2 s
        from perennial.finish_batch import finish_batch, look_at  # noqa: PLC0415 - as above
        from perennial.start_batch import Asked, start_batch  # noqa: PLC0415 - as above

        rows = [row.features for phase in self.plan for row in phase.rows]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "stream.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            started = start_batch(self.session.ports, Asked(self.model, path, version=1))
        while not (look := look_at(started)).job.is_over:
            time.sleep(1)
        finish_batch(self.session.ports, started, look, self.session.who)
        (output,) = look.outputs.values()
        text = get_bytes(f"s3://{output.bucket}/{output.key}").decode()
        self.predictions = [json.loads(line)["prediction"] for line in text.splitlines()]


def phases(dataset: Dataset, settings: Settings) -> tuple[Phase, ...]:
    """The stream: usual rows, then older people, then they by another rule; no row comes twice."""
    rows = client_rows(dataset, settings)[FIRST_ROWS:]
    usual = rows[:USUAL_ROWS]
    older = [row for row in rows[USUAL_ROWS:] if row.features["age"] >= OLD]
    settled = DRIFT_ROWS + SETTLED_ROWS
    needed = settled + CHANGED_ROWS + LAST_ROWS
    if len(older) < needed:
        raise CommandError(
            f"The data have {len(older):,} people of {OLD} and more, not {needed:,}."
        )
    low, high = settings.data.column(settings.label).levels
    other = {low: high, high: low}
    later = [
        Row(row.features, other[row.label]) if row.features["education_num"] >= SCHOOLED else row
        for row in older[settled:needed]
    ]
    return (
        Phase("as ever", usual),
        Phase(f"only people of {OLD} and more", older[:DRIFT_ROWS]),
        Phase("the same people", older[DRIFT_ROWS:settled]),
        Phase("the relation changes", later[:CHANGED_ROWS]),
        Phase("it stays so", later[CHANGED_ROWS:]),
    )


def client_rows(dataset: Dataset, settings: Settings) -> list[Row]:
    """All rows of the data as clients send them, with their labels in the settings' spelling."""
    label = settings.data.column(settings.label)
    missing, found = settings.data.missing, []
    for table in dataset.tables:
        names = table.header.split(",")
        for line in table.rows:
            row: dict[str, Any] = {}
            right = ""
            for name, text in zip(names, line.split(","), strict=True):
                if name == settings.label:
                    right = str(label.check(text))
                    continue
                is_int = settings.data.column(name).type == "int"
                row[name] = None if text in missing else int(text) if is_int else text
            found.append(Row(row, right))
    return found
