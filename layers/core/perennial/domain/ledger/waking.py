"""One chain of wake messages per model: each comes when something may be due, not before.

SQS delays a message by at most 15 minutes, so a long wait is a chain of wakes. A wake that gets
lost breaks the chain until the sweeper passes.
"""

from __future__ import annotations

from dataclasses import dataclass

from perennial.domain.ledger.limits import LONGEST_DELAY_MS, Limits
from perennial.domain.ledger.rows import ModelRow
from perennial.domain.ledger.store import Transaction, change
from perennial.domain.signals import CODE, MANUAL


@dataclass(frozen=True)
class WakePlan:
    """Commit ``changes``; if that succeeds send a wake for ``due_ms``, delayed ``delay_s``."""

    due_ms: int
    delay_s: int
    changes: Transaction


def plan_wake(
    model: ModelRow, due_ms: int | None, now_ms: int, arrived_ms: int | None = None
) -> WakePlan | None:
    """The wake to send so that somebody looks at ``due_ms``; None if one is under way.

    ``arrived_ms``: the ``due_ms`` of the wake that is being handled, which is under way no more.
    """
    if due_ms is None:
        return None
    due = min(max(due_ms, now_ms), now_ms + LONGEST_DELAY_MS)
    is_under_way = now_ms < model.wake_ms <= due and model.wake_ms != arrived_ms
    if is_under_way:
        return None
    delay_s = -((now_ms - due) // 1000)
    return WakePlan(due, delay_s, (change(model, wake_ms=due),))


def earliest_opening(kind: str, limits: Limits, now_ms: int) -> int:
    """When a signal that is admitted now could open a run at the earliest."""
    return now_ms if kind in (CODE, MANUAL) else now_ms + limits.quiet_ms
