"""What a check found, as its report, its summary and in a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.entries import Entry
from jobs.readers import BadRow


@dataclass
class ObjectReport:
    """What became of one object; `outside`: its good rows that the data window leaves out."""

    entry: Entry
    rows: int = 0
    bad_rows: int = 0
    outside: int = 0
    quarantined: bool = False
    gone: bool = False
    reason: str = ""
    first_bad: list[BadRow] = field(default_factory=list)
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object's entry in report.json."""
        return {
            "bucket": self.entry.bucket,
            "key": self.entry.key,
            "version_id": self.entry.version_id,
            "source": self.entry.source,
            "rows": self.rows,
            "bad_rows": self.bad_rows,
            "outside_rows": self.outside,
            "quarantined": self.quarantined,
            "gone": self.gone,
            "reason": self.reason,
            "first_bad": [row.to_json() for row in self.first_bad],
            "notices": list(self.notices),
        }


@dataclass
class CheckResult:
    """The whole check; `refused` when too little good data is left, with the reason.

    `outside`: good rows beyond the data window. `findings` are further parts of the report:
    `producers`, `sources`, `conflicts`, `leaks`, `labels`, `traffic`.
    """

    objects: list[ObjectReport]
    read: int = 0
    replaced: int = 0
    outside: int = 0
    training: int = 0
    holdout: int = 0
    refused: bool = False
    reason: str = ""
    findings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def good(self) -> int:
        """Good rows of good objects within the data window, each row once."""
        return self.training + self.holdout

    def summary(self) -> dict[str, Any]:
        """The content of summary.json, which the state machine reads."""
        quarantined = sum(report.quarantined for report in self.objects)
        return {
            "refused": self.refused,
            "reason": self.reason,
            "rows": {
                "read": self.read,
                "good": self.good,
                "bad": sum(report.bad_rows for report in self.objects),
                "replaced": self.replaced,
                "outside": self.outside,
                "training": self.training,
                "holdout": self.holdout,
            },
            "objects": {
                "read": len(self.objects),
                "good": len(self.objects) - quarantined,
                "quarantined": quarantined,
            },
        }

    def report(self) -> dict[str, Any]:
        """The content of report.json."""
        objects = [report.to_json() for report in self.objects]
        return {**self.summary(), **self.findings, "objects": objects}

    @property
    def words(self) -> str:
        """The result in one line."""
        if self.refused:
            return f"refused: {self.reason}"
        quarantined = sum(report.quarantined for report in self.objects)
        words = (
            f"{counted(self.good, 'good row')} of "
            f"{counted(len(self.objects) - quarantined, 'object')}: "
            f"{self.training:,} to train on, {self.holdout:,} held out; "
            f"{counted(quarantined, 'object')} quarantined"
        )
        if self.outside:
            words += f"; {counted(self.outside, 'older row')} outside the data window"
        return words


def counted(number: int, word: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
