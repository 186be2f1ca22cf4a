"""What a model's releases wait for, in words: the rest of ``perennial why``."""

from __future__ import annotations

from perennial.domain.ledger.ab_tests import ab_words
from perennial.domain.ledger.moves import moving_words
from perennial.domain.ledger.releases import ReleaseBook
from perennial.domain.ledger.rows import ModelRow, ReleaseRow


def waiting_words(book: ReleaseBook) -> tuple[str, ...]:
    """One line for the open release and one for what goes next; empty: nothing is released."""
    model, release = book.model, book.release
    lines = [] if release is None else [f"{_name(release)} {_stage(model, release)}"]
    lines += ab_words(model)
    if model.waiting is not None:
        wanted = f"version {model.waiting.version} of {model.model}"
        end = f"waits for the end of release {release.number}" if release else "is released next"
        if model.ab is not None:
            end = f"waits for the end of A/B test {model.ab.number}"
        lines.append(f"{wanted} {end}")
    return tuple(lines)


def _name(release: ReleaseRow) -> str:
    return f"release {release.number} of {release.model} (version {release.version})"


def _stage(model: ModelRow, release: ReleaseRow) -> str:
    """How far a release is, and what it waits for."""
    if release.ending is not None:
        return f"is being settled: {release.ending.words}"
    if release.stop is not None:
        return f"is being stopped: {release.stop.because}"
    if release.moves and model.move is not None:
        return f"moves traffic: {moving_words(model.move, model.live)}"
    if release.updating_ms is not None:
        return f"changes production: {release.endpoint} is asked to serve {release.config}"
    if release.token and not release.approved_by:
        which = f"{release.model} {release.version}"
        return f'waits for a person: perennial approve {which} --production --because "..."'
    return "is about to start" if release.state == "opening" else _tested(release)


def _tested(release: ReleaseRow) -> str:
    """What was live already needs no test of its own."""
    if release.kind == "rollback":
        return "is about to change production back"
    shares = release.endpoint_kind == "multi-model"
    return f"is being tested on {release.endpoint if shares else 'its staging endpoint'}"
