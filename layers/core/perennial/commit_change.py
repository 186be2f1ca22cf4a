"""Decide on a fresh reading and commit, again after each lost race."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from perennial.domain.errors import Conflict
from perennial.domain.ledger.store import Transaction

if TYPE_CHECKING:
    from perennial.wiring import Ports

ATTEMPTS = 30


def commit_change(ports: Ports, decide: Callable[[], Transaction]) -> bool:
    """Commit what `decide()` asks for; it reads the rows anew each time. False: nothing to do.

    After an outcome that is not known, `decide()` finds the change made and asks for nothing.
    """
    for attempt in range(ATTEMPTS):
        changes = decide()
        if not changes:
            return False
        try:
            ports.ledger.commit(changes)
        except Conflict:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(random.uniform(0, 0.01 * (attempt + 1)))  # noqa: S311  # no secret
            continue
        return True
    return False
