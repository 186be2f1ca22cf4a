"""Repeat a step until nothing is to be done, again after each lost race."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from perennial.domain.errors import Conflict, Retryable

MOST_CONFLICTS = 25


def repeat_steps(step: Callable[[], bool], what: str, most: int) -> None:
    """Call `step()` until it answers True, at most `most` times.

    It reads the rows anew each time. Raises `Conflict` after too many lost races, and `Retryable`
    when `what` does not come to rest.
    """
    conflicts = 0
    for _ in range(most):
        try:
            if step():
                return
        except Conflict:
            conflicts += 1
            if conflicts > MOST_CONFLICTS:
                raise
            time.sleep(random.uniform(0, 0.02 * conflicts))  # noqa: S311  # spreads, no secret
    raise Retryable(f"{what} did not come to rest within {most} steps")
