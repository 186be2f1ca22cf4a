"""What every demo answers at its end: whose model, whose rows, and what did not go as told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any


@dataclass
class DemoSummary(ABC):
    """What a demo saw of its model; `genuine` says whether its rows are."""

    model: str
    source: str
    genuine: bool

    @property
    @abstractmethod
    def objections(self) -> list[str]:
        """What did not go as the story says, in words; empty: all did."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What this demo saw that others do not."""

    @property
    def went_well(self) -> bool:
        """Whether everything went as told."""
        return not self.objections

    def document(self) -> dict[str, Any]:
        """The summary for scripts and tests."""
        return {
            "model": self.model,
            "source": self.source,
            "genuine": self.genuine,
            **self.facts(),
            "went_well": self.went_well,
            "objections": self.objections,
        }
