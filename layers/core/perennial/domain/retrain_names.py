"""What settings may ask of the retrain policy; apart from it, for each function reads settings."""

from __future__ import annotations

from typing import Literal

PolicyName = Literal["paired-challenger", "rent-or-buy", "fixed", "any-alarm"]
POLICIES: tuple[PolicyName, ...] = ("paired-challenger", "rent-or-buy", "fixed", "any-alarm")
DEFAULT_POLICY: PolicyName = "paired-challenger"
#: So many earlier versions are scored on each labelled window, unless the settings say otherwise.
DEFAULT_EARLIER = 1
