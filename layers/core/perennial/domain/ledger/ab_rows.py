"""An A/B test as the model's row keeps it. Shares are in thousandths, for rows hold no fractions.

It lies on the model's own row, so that one compare-and-swap takes the model for it: at most one
A/B test or release of a model is open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AbState = Literal["starting", "running", "stopping", "ended"]
AbOutcome = Literal["challenger", "main", "undecided", "failed"]


@dataclass(frozen=True)
class AbShare:
    """From `at_ms` on the challenger is to get `permille` of the traffic; who said so, and why."""

    at_ms: int
    permille: int
    by: str = ""
    because: str = ""


@dataclass(frozen=True)
class AbStop:
    """The test shall end: `outcome` is what that makes of it; of `challenger` a release follows."""

    outcome: AbOutcome
    by: str
    because: str


@dataclass(frozen=True)
class AbTest:
    """One A/B test: `challenger` (a version) beside `main` on the live endpoint.

    `main_config` is the configuration with main alone, `config` the one with both (and the name of
    the challenger's SageMaker Model). `asked_config` was asked for at `asked_ms`, of an endpoint
    that had last been touched at `touched_ms`, by SageMaker's clock. `permille` is the share that
    the challenger shall have as soon as it serves. `tried`: how it did at no weight, in words;
    empty before that.
    """

    number: int
    challenger: int
    arn: str
    main: int
    endpoint: str
    main_config: str
    config: str
    opened_ms: int
    by: str = ""
    because: str = ""
    run: int = 0
    settings: int = 0
    digest: str = ""
    permille: int = 0
    state: AbState = "starting"
    shares: tuple[AbShare, ...] = ()
    asked_config: str = ""
    asked_ms: int = 0
    touched_ms: int = 0
    stop: AbStop | None = None
    ended_ms: int | None = None
    outcome: AbOutcome | None = None
    words: str = ""
    tried: str = ""

    @property
    def share(self) -> int:
        """The challenger's share of the traffic now, in thousandths."""
        return self.shares[-1].permille if self.shares else 0
