"""Release a version that a person asks for, by the present settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.advance_releases import ReleaseAdvance, advance_releases
from perennial.approve_version import find_version
from perennial.aws import registry
from perennial.commit_change import commit_change
from perennial.describe_model import known_model, read_settings_of
from perennial.domain.errors import NotAllowed, NotFound
from perennial.domain.ledger import releases
from perennial.domain.ledger.rows import Wanted
from perennial.domain.ledger.store import Transaction
from perennial.record_champion import run_of_version
from perennial.request_release import read_steady

if TYPE_CHECKING:
    from perennial.wiring import Ports


def release_again(
    ports: Ports, model: str, number: int | None, because: str, by: str
) -> ReleaseAdvance:
    """Open a release of an approved version, else of the champion; what was opened.

    Raises `NotFound`, and `NotAllowed` for settings without an endpoint, a version that is not
    approved or that no run registered, or while another release is at work.
    """
    row = known_model(ports.ledger, model)
    if read_settings_of(ports.ledger, row).release.endpoint is None:
        raise NotAllowed(
            f"settings {row.settings} of {model} have no release.endpoint, so there is nothing to "
            "release to; add the section to model.yaml and push"
        )
    if number is None and row.champion is None:
        raise NotFound(f"{model} has no champion yet; name an approved version with --version")
    wanted = _wanted(ports, model, number or (row.champion.version if row.champion else 0))

    def decide() -> Transaction:
        return request_by(ports, model, Wanted(**{**vars(wanted), "by": by, "because": because}))

    commit_change(ports, decide)
    return advance_releases(ports, model)


def request_by(ports: Ports, model: str, wanted: Wanted) -> Transaction:
    """What notes a person's wish for a release; raises `NotAllowed` and `NotFound`."""
    book = read_steady(ports, model)
    if book is None:
        raise NotFound(f"there is no model '{model}' any more")
    return releases.request_by_person(book, wanted)


def _wanted(ports: Ports, model: str, number: int) -> Wanted:
    version = find_version(ports, model, number)
    if version.status != registry.APPROVED:
        raise NotAllowed(
            f"{model} {number} is {version.status}; `perennial approve {model} {number}` first"
        )
    run = run_of_version(ports, model, version.arn)
    if run is None:
        raise NotAllowed(
            f"no run of {model} registered version {number}, so there are no rows to test it on; "
            f"train it here: perennial retrain {model}"
        )
    return Wanted(
        kind="again",
        version=number,
        arn=version.arn,
        decided_ms=ports.clock(),
        run=run.number,
        settings=run.settings,
        digest=version.metadata.get("perennial:artifact_digest", ""),
    )
