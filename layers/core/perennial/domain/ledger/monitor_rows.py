"""The ledger's rows of monitors: one for each kind of a model, and one for each of its windows.

They lie beside the model's own row, not on it: monitors report every hour and take nothing that
a run or a release competes for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from perennial.domain.ledger.rows import Key, model_pk

MONITOR_SK = "monitor#"
WINDOW_SK = "window#"

#: `empty`: nothing was captured (then no job was started), or no row could be looked at.
WindowState = Literal["open", "done", "failed", "empty"]


def monitor_key(model: str, kind: str) -> Key:
    """The key of one kind's row."""
    return Key(model_pk(model), f"{MONITOR_SK}{kind}")


def window_key(model: str, kind: str, end_ms: int) -> Key:
    """The key of one window; windows of a kind are ordered by their end."""
    return Key(model_pk(model), f"{WINDOW_SK}{kind}#{end_ms:014d}")


@dataclass(frozen=True)
class MonitorRow:
    """How far the monitor of one kind has come.

    `release` and `version` are those whose traffic it judges; `until_ms` is the end of its last
    window, judged or open; `open_ms` the end of the open one. `seen_ms` and `violations` are of
    the last window that was judged.
    """

    model: str
    kind: str
    release: int = 0
    version: int = 0
    until_ms: int = 0
    open_ms: int | None = None
    seen_ms: int = 0
    violations: int = 0
    rev: int = 0

    @property
    def key(self) -> Key:
        """Where this row lies."""
        return monitor_key(self.model, self.kind)


@dataclass(frozen=True)
class WindowRow:
    """One window and what its job found.

    `settings`: the settings version that counts; `run` trained the live `version`, by the
    settings `trained`. `by`: who asked for it by hand. `job`: the processing job, `attempt` of
    it counts from 1. `place`: where the job writes. `figures`: JSON text, short.
    """

    model: str
    kind: str
    start_ms: int
    end_ms: int
    release: int
    version: int
    run: int
    settings: int
    opened_ms: int
    endpoint: str = ""
    is_whole: bool = True
    by: str = ""
    attempt: int = 1
    job: str = ""
    place: str = ""
    state: WindowState = "open"
    ended_ms: int | None = None
    rows: int = 0
    labelled: int = 0
    violations: int = 0
    #: The worst figure in words; of a window that failed or is empty, why.
    words: str = ""
    figures: str = "{}"
    expires: int | None = None
    rev: int = 0

    @property
    def key(self) -> Key:
        """Where this row lies."""
        return window_key(self.model, self.kind, self.end_ms)
