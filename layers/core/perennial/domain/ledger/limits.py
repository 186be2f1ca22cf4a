"""The limits that a model's settings set to its runs, in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.domain.settings import Triggers

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

#: How often a transient failure sends its signals back to pending, and the pause after each.
TRANSIENT_PAUSES_MS = (MINUTE_MS, 5 * MINUTE_MS, 25 * MINUTE_MS)
#: How long a run may fail to start for reasons that may pass, before it is given up.
START_PATIENCE_MS = HOUR_MS
#: The first hold of an alarm whose run kept the champion; it doubles, up to the longest.
FIRST_EVIDENCE_HOLD_MS = HOUR_MS
LONGEST_EVIDENCE_HOLD_MS = 30 * DAY_MS
#: How long the id of a settled signal is remembered: longer than any queue keeps a message.
REMEMBER_MS = 35 * DAY_MS
#: How long a removed model's counters stay: execution names are taken for 90 days.
TOMBSTONE_MS = 100 * DAY_MS
#: The longest delay of a message in SQS.
LONGEST_DELAY_MS = 900 * SECOND_MS


@dataclass(frozen=True)
class Limits:
    """When signals may become a run."""

    quiet_ms: int
    max_wait_ms: int
    cool_down_ms: int
    max_runs_per_day: int

    @classmethod
    def of(cls, triggers: Triggers) -> Limits:
        """The limits that ``triggers:`` of a ``model.yaml`` sets."""
        return cls(
            quiet_ms=triggers.quiet_period * SECOND_MS,
            max_wait_ms=triggers.max_wait * SECOND_MS,
            cool_down_ms=triggers.cool_down * SECOND_MS,
            max_runs_per_day=triggers.max_runs_per_day,
        )
