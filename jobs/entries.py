"""What a manifest names, and what became of it on the way here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One object version of the manifest."""

    bucket: str
    key: str
    version_id: str
    size: int = 0
    last_modified_ms: int = 0

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Entry:
        """An entry of manifest.json."""
        return cls(
            bucket=document["bucket"],
            key=document["key"],
            version_id=document["version_id"],
            size=int(document.get("size", 0)),
            last_modified_ms=int(document.get("last_modified_ms", 0)),
        )


@dataclass(frozen=True)
class Fetched:
    """An object's local file, or why there is none."""

    entry: Entry
    path: Path | None
    gone: str = ""
