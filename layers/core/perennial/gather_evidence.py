"""Read what a candidate is judged by: every document with the digest of its bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from perennial.aws import objects
from perennial.aws.job_use import JobUse, job_use
from perennial.domain.errors import NotFound, Rejected
from perennial.domain.findings import sentence, short
from perennial.domain.prices import LISTED, OVERRIDE_KEY, BadPrices, Prices, read_prices
from perennial.domain.verdict import Evidence

Read = TypeVar("Read")


@dataclass
class Evidences:
    """The documents that were read, by what they are: digests for the verdict, and their bytes.

    A document that is asked for and not there, or that holds no JSON object, is None, and
    `notes` say so: what it would have shown is then unknown, and its gates fail.
    """

    given: dict[str, Evidence] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def read(self, what: str, uri: str) -> Mapping[str, Any] | None:
        """One document; None without a note when no URI is given."""
        if not uri:
            return None
        try:
            body = objects.get_bytes(uri)
        except NotFound:
            self.notes.append(f"{what} is not there: {sentence(uri)}")
            return None
        self.given[what] = Evidence(uri, objects.digest(body))
        self.bodies[what] = body
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            self.notes.append(f"{what} holds no JSON object: {sentence(uri)}")
            return None
        return document

    def parsed(
        self, what: str, uri: str, parse: Callable[[Mapping[str, Any]], Read]
    ) -> Read | None:
        """One document as `parse` reads it; None with a note when it cannot."""
        document = self.read(what, uri)
        if document is None:
            return None
        try:
            return parse(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.notes.append(f"{what} cannot be read: {type(error).__name__}: {sentence(error)}")
            return None


def own_prices(bucket: str) -> Prices:
    """The price table that the owner of the bucket keeps, else the one that is built in."""
    uri = f"s3://{bucket}/{OVERRIDE_KEY}"
    document = objects.find_json(uri)
    if document is None:
        return LISTED
    try:
        return read_prices(document)
    except BadPrices as error:
        raise Rejected(f"{uri}: {error}. Mend it or remove it, then retry the run") from error


@dataclass(frozen=True)
class Costs:
    """The verdict's section `cost`, and what a tuning job of the run chose, if there was one."""

    section: Mapping[str, Any]
    tuning: JobUse | None = None


def run_cost(jobs: Sequence[Mapping[str, Any]], prices: Prices) -> Costs | None:
    """What the run's jobs cost so far, job by job; None when it is told of no job.

    A reused job was paid by another run, so this one has it for nothing. Where an instance has
    no price or a job no times, its cost is None, and so is the sum.
    """
    if not jobs:
        return None
    entries, tuning = [], None
    for job in jobs:
        used = job_use(job["kind"], job["job"])
        if used is not None and job["kind"] == "tuning":
            tuning = used
        entries.append(_entry(job, used, prices))
    costs = [entry["usd"] for entry in entries]
    total = None if None in costs else sum(costs)
    return Costs({"usd": total, "prices": prices.date, "jobs": entries}, tuning)


def _entry(job: Mapping[str, Any], used: JobUse | None, prices: Prices) -> dict[str, Any]:
    seconds = None if used is None else used.seconds
    usd = None
    if job.get("reused"):
        usd = 0.0
    elif used is not None and seconds is not None:
        usd = prices.cost(job["kind"], used.instance, seconds)
    return {
        "step": short(job["step"]),
        "job": short(job["job"]),
        "kind": job["kind"],
        "seconds": seconds,
        "instance": "" if used is None else used.instance,
        "usd": usd,
        "reused": bool(job.get("reused")),
    }
