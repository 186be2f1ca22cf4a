"""A move as the model's row keeps it: traffic that goes over to a second endpoint, by shares.

SageMaker guards no update of a serverless endpoint and changes no endpoint's kind. Such a release
brings an endpoint of its own, and `predict` divides the requests between the two by what stands
here. On an endpoint that several models share, a release brings an archive of its own instead; its
configuration's name tells which. Shares are kept in thousandths, for rows hold no fractions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EndpointKind = Literal["instances", "serverless", "multi-model"]
#: All requests, in thousandths.
WHOLE = 1000


@dataclass(frozen=True)
class Move:
    """Release `release` takes the model's requests over to `endpoint`, `permille` of them so far.

    `endpoint` serves `version` (`arn`, trained with settings version `settings`) by configuration
    `config`. `step` counts the shares given so far, the last one at `since_ms`. `turned_back`: the
    share is 0 for good, `words` say why, `step` still tells whether it ever had any. `baked`: it
    had all of the requests for as long as the settings ask, and no alarm went off. `captured`: the
    percentage of its requests that `predict` records, for SageMaker does not.
    """

    release: int
    endpoint: str
    version: int
    config: str
    arn: str
    permille: int = 0
    step: int = 0
    since_ms: int = 0
    turned_back: bool = False
    baked: bool = False
    words: str = ""
    settings: int = 0
    kind: EndpointKind = "instances"
    captured: int = 0

    @property
    def share(self) -> float:
        """The part of the requests that it answers now, from 0 to 1."""
        return self.permille / WHOLE
