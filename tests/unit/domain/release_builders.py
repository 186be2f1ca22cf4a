"""Short ways to write releases down in tests."""

from __future__ import annotations

from typing import Any

from perennial.domain.ledger.releases import ReleaseBook, ReleaseNames
from perennial.domain.ledger.rows import Live, ModelRow, ReleaseEnding, ReleaseRow, Wanted
from perennial.domain.release_truth import SeenEndpoint, SeenExecution

from tests.unit.domain.ledger_builders import HOUR, MINUTE, NOW, champion, model

EXECUTION = "arn:aws:states:eu-west-1:1:execution:perennial-release:perennial-census-r3"
ENDPOINT = "perennial-live-census"


def live(release: int = 2, version: int = 4, **fields: Any) -> Live:
    """What release 2 brought into production: version 4."""
    given = {
        "endpoint": ENDPOINT,
        "config": f"perennial-census-r{release}",
        "release": release,
        "version": version,
        "arn": f"arn:{version}",
        "since_ms": NOW - HOUR,
        "run": version + 1,
        "digest": "d",
        "settings": 3,
        **fields,
    }
    return Live(**given)


def wanted(version: int = 5, **fields: Any) -> Wanted:
    """The approval of version 5, a minute ago."""
    given = {
        "kind": "approval",
        "version": version,
        "arn": f"arn:{version}",
        "decided_ms": NOW - MINUTE,
        "run": version + 1,
        "settings": 3,
        "digest": f"d{version}",
        **fields,
    }
    return Wanted(**given)


def served_model(**fields: Any) -> ModelRow:
    """Census with version 4 in production, by release 2."""
    return model(**{"champion": champion(), "live": live(), "last_release": 2, **fields})


def release(**fields: Any) -> ReleaseRow:
    """Release 3 of census, at work on version 5."""
    given = {
        "model": "census",
        "number": 3,
        "kind": "approval",
        "version": 5,
        "arn": "arn:5",
        "settings": 3,
        "decided_ms": NOW - MINUTE,
        "opened_ms": NOW - MINUTE,
        "run": 6,
        "trained": 3,
        "digest": "d5",
        "state": "started",
        "execution": EXECUTION,
        "endpoint": ENDPOINT,
        "config": "perennial-census-r3",
        "before": live(),
        "rev": 2,
        **fields,
    }
    return ReleaseRow(**given)


def ended(outcome: str, **fields: Any) -> ReleaseRow:
    """Release 3 with its ending recorded."""
    config = "perennial-census-r3" if outcome == "released" else "perennial-census-r2"
    given: dict[str, Any] = {"outcome": outcome, "words": "w", "config": config, "at_ms": NOW}
    return release(ending=ReleaseEnding(**{**given, **fields.pop("ending", {})}), **fields)


def book(row: ReleaseRow | None = None, **fields: Any) -> ReleaseBook:
    """The book of census; with an open release if one is given."""
    given = {"open_release": row.number if row else None, "last_release": 3 if row else 2, **fields}
    return ReleaseBook(served_model(**given), row)


def endpoint(status: str = "InService", config: str = "perennial-census-r2", **fields: Any) -> Any:
    """The endpoint as it was seen: untouched for an hour, unless said otherwise."""
    return SeenEndpoint(status, config, **{"modified_ms": NOW - HOUR, **fields})


def execution(status: str = "FAILED", **fields: Any) -> SeenExecution:
    """The execution as it was seen: over for a minute, unless it runs."""
    given = {"is_over": status != "RUNNING", "stopped_ms": NOW - MINUTE, **fields}
    return SeenExecution(status, **given)


NAMES = ReleaseNames(EXECUTION, "{}", ENDPOINT, "perennial-census-r3")
