"""End an A/B test: back to main alone, and a release of the challenger if it won."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.advance_ab import AbAdvance, advance_ab
from perennial.advance_releases import ReleaseAdvance, advance_releases
from perennial.approve_version import decide as decide_on_version
from perennial.approve_version import find_version
from perennial.aws import registry
from perennial.commit_change import commit_change
from perennial.describe_model import known_model
from perennial.domain.errors import NotAllowed
from perennial.domain.ledger import ab_tests
from perennial.domain.ledger.ab_rows import AbOutcome, AbTest
from perennial.domain.ledger.store import Transaction

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class StoppedTest:
    """How far the end is; `release` tells of the release that followed, if one did."""

    advance: AbAdvance
    release: ReleaseAdvance | None = None


def stop_test(  # noqa: PLR0913  # each is a choice of its own
    ports: Ports,
    model: str,
    outcome: AbOutcome,
    *,
    because: str,
    by: str,
    patience_s: float = 0,
    tell: Callable[[str], None] = lambda _words: None,
) -> StoppedTest:
    """End the open test as `outcome` says; of `challenger` its guarded release is opened.

    A challenger that wins is approved by this, if it waits for that. Raises `NotFound`, and
    `NotAllowed` without an open test, or when it ends otherwise already.
    """
    test = ab_tests.open_one(known_model(ports.ledger, model))

    def decide() -> Transaction:
        return ab_tests.request_stop(known_model(ports.ledger, model), outcome, by, because)

    decide()  # refuses before anything is approved
    if outcome == "challenger":
        _approve_winner(ports, model, test, because, by)
    commit_change(ports, decide)
    done = advance_ab(ports, model, patience_s=patience_s, tell=tell)
    row = known_model(ports.ledger, model)
    is_over = row.ab is None or row.ab.number != test.number
    released = advance_releases(ports, model) if is_over and row.waiting is not None else None
    return StoppedTest(done, released)


def _approve_winner(ports: Ports, model: str, test: AbTest, because: str, by: str) -> None:
    version = find_version(ports, model, test.challenger)
    if version.status == registry.REJECTED:
        raise NotAllowed(
            f"{model} {test.challenger} was rejected meanwhile: {version.approval_words}; approve "
            "it first, or stop without a winner"
        )
    if version.status != registry.APPROVED:
        words = f"approved by {by}: it won A/B test {test.number}: {because}"
        decide_on_version(ports, model, version, registry.APPROVED, words)
