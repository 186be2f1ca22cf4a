"""What a job costs: SageMaker's on-demand prices by instance, as of a date.

The figures are those that AWS's public price list (https://aws.amazon.com/sagemaker/pricing/)
asks in us-east-1 for training, processing and endpoints, in USD per instance and hour, as public
price tables quote it; they are to be checked against your Region and agreement
(docs/unverified.md). One instance costs the same in all three. A table of your own, as JSON in the
artifact bucket under `OVERRIDE_KEY`, takes the place of this one:
`{"date": "2026-11-20", "usd_per_hour": {"ml.m5.large": 0.128}}`. Volumes, requests, storage and
transfer are not counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OVERRIDE_KEY = "code/prices.json"
KINDS = ("training", "processing", "tuning", "transform", "endpoint")
SECONDS_PER_HOUR = 3600
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANCE = re.compile(r"ml\.[a-z0-9-]{2,20}\.[a-z0-9-]{2,20}")

USD_PER_HOUR: Mapping[str, float] = {
    "ml.t3.medium": 0.05,
    "ml.t3.large": 0.10,
    "ml.t3.xlarge": 0.20,
    "ml.t3.2xlarge": 0.399,
    "ml.m5.large": 0.115,
    "ml.m5.xlarge": 0.23,
    "ml.m5.2xlarge": 0.461,
    "ml.m5.4xlarge": 0.922,
    "ml.m5.12xlarge": 2.765,
    "ml.m5.24xlarge": 5.53,
    "ml.c5.xlarge": 0.204,
    "ml.c5.2xlarge": 0.408,
    "ml.c5.4xlarge": 0.816,
    "ml.c5.9xlarge": 1.836,
    "ml.c5.18xlarge": 3.672,
    "ml.r5.large": 0.151,
    "ml.r5.xlarge": 0.302,
    "ml.r5.2xlarge": 0.605,
    "ml.r5.4xlarge": 1.21,
    "ml.r5.8xlarge": 2.419,
    "ml.r5.16xlarge": 4.838,
    "ml.g4dn.xlarge": 0.7364,
    "ml.g4dn.2xlarge": 0.94,
    "ml.g4dn.4xlarge": 1.505,
    "ml.g4dn.8xlarge": 2.72,
    "ml.g4dn.12xlarge": 4.89,
    "ml.g4dn.16xlarge": 5.44,
    "ml.g5.xlarge": 1.408,
    "ml.g5.2xlarge": 1.515,
    "ml.g5.4xlarge": 2.03,
    "ml.g5.8xlarge": 3.06,
    "ml.g5.12xlarge": 7.09,
    "ml.g5.16xlarge": 5.12,
    "ml.g5.24xlarge": 10.18,
    "ml.g5.48xlarge": 20.36,
    "ml.p3.2xlarge": 3.825,
    "ml.p3.8xlarge": 14.688,
    "ml.p3.16xlarge": 28.152,
}


class BadPrices(ValueError):
    """A price table that cannot be read; the message says what is wrong with it."""


@dataclass(frozen=True)
class Prices:
    """A table of prices in USD per instance and hour, and the day it was read."""

    date: str
    usd_per_hour: Mapping[str, float]

    def cost(self, kind: str, instance: str, seconds: float) -> float | None:
        """What `seconds` on an instance cost in USD; None when the instance is not in the table.

        `seconds` are those of all instances of the job together; a job on spot instances is
        billed less than it ran, so give its billable seconds. Raises ValueError for a `kind`
        that is none of `KINDS` or for seconds that are negative or not finite.
        """
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of job; known are {', '.join(KINDS)}")
        if not math.isfinite(seconds) or seconds < 0:
            raise ValueError(f"{seconds} are no seconds of a job")
        hourly = self.usd_per_hour.get(instance)
        return None if hourly is None else hourly * seconds / SECONDS_PER_HOUR


LISTED = Prices("2026-11-21", USD_PER_HOUR)


def read_prices(document: Any) -> Prices:
    """A table that somebody keeps for their own Region or agreement; raises `BadPrices`."""
    if not isinstance(document, Mapping):
        raise BadPrices("expected an object with date and usd_per_hour")
    date, hourly = document.get("date"), document.get("usd_per_hour")
    if not isinstance(date, str) or not _DATE.fullmatch(date):
        raise BadPrices(f"date is {date!r}; expected a day like 2026-11-20")
    if not isinstance(hourly, Mapping) or not hourly:
        raise BadPrices("usd_per_hour is no object of instance types and prices")
    for instance, price in hourly.items():
        if not _INSTANCE.fullmatch(str(instance)):
            raise BadPrices(f"usd_per_hour.{instance}: no instance type like ml.m5.large")
        is_number = isinstance(price, int | float) and not isinstance(price, bool)
        if not is_number or not math.isfinite(price) or price < 0:
            raise BadPrices(f"usd_per_hour.{instance} is {price!r}; expected USD per hour")
    return Prices(date, {str(name): float(price) for name, price in hourly.items()})
