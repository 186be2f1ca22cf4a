"""What a manifest names, and what became of it on the way here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perennial.domain.naming import landing_prefix
from perennial.domain.sources import CAPTURE, LABELLED_TRAFFIC, LANDED

#: In this order objects are read: labels must be known before the captured requests they are for.
REQUESTS_LAST = 2


@dataclass(frozen=True)
class Entry:
    """One object version of the manifest."""

    bucket: str
    key: str
    version_id: str
    size: int = 0
    last_modified_ms: int = 0
    source: str = LANDED

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Entry:
        """An entry of manifest.json."""
        return cls(
            bucket=document["bucket"],
            key=document["key"],
            version_id=document["version_id"],
            size=int(document.get("size", 0)),
            last_modified_ms=int(document.get("last_modified_ms", 0)),
            source=str(document.get("source", LANDED)),
        )

    @property
    def is_capture(self) -> bool:
        """Whether it holds captured requests; what else `labelled-traffic` has are labels."""
        return self.source == LABELLED_TRAFFIC and self.key.startswith(CAPTURE)

    @property
    def turn(self) -> tuple[int, int, str, str]:
        """When to read it: oldest first, and labels before requests."""
        rank = REQUESTS_LAST if self.is_capture else int(self.source == LABELLED_TRAFFIC)
        return (rank, self.last_modified_ms, self.key, self.version_id)

    def producer(self, model: str) -> str:
        """Who brought it: the folders between the model's prefix and the file's name.

        What did not land has its source in brackets, which no folder is mistaken for.
        """
        if self.source != LANDED:
            return f"({self.source})"
        folders, _, _ = self.key.rpartition("/")
        prefix = landing_prefix(model)
        return folders[len(prefix) :] if f"{folders}/".startswith(prefix) else ""


@dataclass(frozen=True)
class Fetched:
    """An object's local file, or why there is none."""

    entry: Entry
    path: Path | None
    gone: str = ""
