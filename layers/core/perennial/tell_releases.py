"""Send the notices of releases, at least once each; the release's id tells repetitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.commit_change import commit_change
from perennial.domain.ledger.rows import ReleaseRow, release_key
from perennial.domain.ledger.store import Transaction, change, read_model, read_release

if TYPE_CHECKING:
    from perennial.wiring import Ports

MOST_AT_ONCE = 40  # their rows and the model's are marked in one transaction
TITLES = {
    "released": "version {version} is live",
    "rolled_back": "version {version} was rolled back",
    "failed": "version {version} did not go live",
    "withdrawn": "version {version} was withdrawn",
    "stale": "version {version} does not win any more",
    "superseded": "version {version} was superseded",
    "stopped": "version {version} was stopped",
}


def tell_releases(ports: Ports, model: str) -> tuple[int, ...]:
    """Send the model's notices of releases that are due; the numbers of the releases told of."""
    row = read_model(ports.ledger, model)
    due = row.release_notices[:MOST_AT_ONCE] if row is not None else ()
    for number in due:
        release = read_release(ports.ledger, release_key(model, number))
        if release is not None and not release.notified:
            send_release_notice(ports, release)
    if due:
        commit_change(ports, lambda: _noted(ports, model, due))
    return due


def send_release_notice(ports: Ports, release: ReleaseRow) -> None:
    """Send the notice of one release that ended."""
    guarded = ""
    if release.outcome == "released":
        from perennial.count_guarded import guarded_words  # noqa: PLC0415  # spares a cold start

        guarded = guarded_words(ports.deployment.stack, release)
    subject, text = words_of_release(release, ports.deployment.stack, guarded)
    ports.notices.publish(subject, text, _attributes(ports, release, release.outcome or ""))


def ask_people(ports: Ports, release: ReleaseRow) -> None:
    """Tell people that a release waits for one of them."""
    name = f"{release.model}: release {release.number}"
    subject = f"{name} waits for a person: may version {release.version} go live?"
    lines = [
        f"{subject} (stack {ports.deployment.stack}).",
        "",
        "It passed its smoke test. Nothing changes in production until somebody says so:",
        f'perennial approve {release.model} {release.version} --production --because "..."',
        f'No: perennial reject {release.model} {release.version} --because "..."',
    ]
    ports.notices.publish(subject, "\n".join(lines), _attributes(ports, release, "waits"))


def _attributes(ports: Ports, release: ReleaseRow, outcome: str) -> dict[str, str]:
    return {
        "id": f"{ports.deployment.stack}/{release.model}/r{release.number}/{outcome}",
        "model": release.model,
        "release": str(release.number),
        "version": str(release.version),
        "outcome": outcome,
    }


def words_of_release(release: ReleaseRow, stack: str, guarded: str = "") -> tuple[str, str]:
    """Subject and text of a release's notice: what happened, why, and what to do next.

    `guarded`: what there is to say about its guards.
    """
    title = TITLES[release.outcome or "failed"].format(version=release.version)
    subject = f"{release.model}: release {release.number}: {title}"
    lines = [f"{subject} (stack {stack}).", "", release.words]
    if guarded:
        lines += ["", guarded]
    if release.because:
        by = f" by {release.by}" if release.by else ""
        lines += ["", f"It was asked for{by} ({release.kind}): {release.because}"]
    lines += ["", f"Details: perennial releases {release.model}"]
    if release.outcome == "released" and release.stop is None:
        lines.append(f'Back: perennial rollback {release.model} --because "..."')
    if release.outcome in ("failed", "rolled_back", "stopped", "stale"):
        lines.append(f"Again: perennial release {release.model} --version {release.version}")
    return subject, "\n".join(lines)


def _noted(ports: Ports, model: str, told: tuple[int, ...]) -> Transaction:
    """Take the releases off the model's list and mark them, in one transaction."""
    row = read_model(ports.ledger, model)
    if row is None:
        return ()
    found = [read_release(ports.ledger, release_key(model, number)) for number in told]
    marked = [change(each, notified=True) for each in found if each and not each.notified]
    left = tuple(number for number in row.release_notices if number not in told)
    if not marked and left == row.release_notices:
        return ()
    return (change(row, release_notices=left), *marked)
