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
class Earlier:
    """Another version, which `run` made, that is scored on a window's labelled rows.

    `gain`: how much less it errs than the live one, and `spread` the standard deviation of that
    by row, as decimal texts, for rows hold no fractions. `words`: why it could not be scored.
    """

    version: int
    run: int
    gain: str = ""
    spread: str = ""
    words: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return bool(self.gain or self.words)


@dataclass(frozen=True)
class Proposal:
    """An earlier version that errs surely less than the one that `release` made live.

    `until_ms`: the end of the newest window that says so. `objection`: why a person decides;
    empty: its release was asked for. `is_told`: people were told of it.
    """

    version: int
    release: int
    until_ms: int
    words: str
    objection: str = ""
    is_told: bool = False


@dataclass(frozen=True)
class MonitorRow:
    """How far the monitor of one kind has come.

    `release` and `version` are those whose traffic it judges; `until_ms` is the end of its last
    window, judged or open; `open_ms` the end of the open one. `seen_ms` and `violations` are of
    the last window that was judged. `watch` names SageMaker's monitoring schedule, and its job
    definition, that judge the windows by the `watch_release` and `watch_settings` (empty: our own
    jobs do); it is written before they are made, and cleared once they are gone. `scoring_ms`:
    the end of the window on whose rows earlier versions are being scored. `proposal`: the last
    one that these led to; `asked`: the last release in whose place the policy asked for another.
    """

    model: str
    kind: str
    release: int = 0
    version: int = 0
    until_ms: int = 0
    open_ms: int | None = None
    seen_ms: int = 0
    violations: int = 0
    watch: str = ""
    watch_release: int = 0
    watch_settings: int = 0
    watch_now: str = ""
    scoring_ms: int | None = None
    proposal: Proposal | None = None
    asked: int = 0
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
    it counts from 1. `place`: where the job writes. `figures`: JSON text, short. `schedule`: the
    monitoring schedule of SageMaker's that judged it; its execution has no `job` when there was
    nothing for one to do, and `words` say why. `earlier`: the other versions that are to be
    scored on its labelled rows, which its job keeps for that.
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
    schedule: str = ""
    state: WindowState = "open"
    ended_ms: int | None = None
    rows: int = 0
    labelled: int = 0
    violations: int = 0
    #: The worst figure in words; of a window that failed or is empty, why.
    words: str = ""
    figures: str = "{}"
    earlier: tuple[Earlier, ...] = ()
    expires: int | None = None
    rev: int = 0

    @property
    def key(self) -> Key:
        """Where this row lies."""
        return window_key(self.model, self.kind, self.end_ms)
