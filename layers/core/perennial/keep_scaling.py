"""Let an endpoint scale as the settings of the release that is live ask for; repeatable by anyone.

A release that is live stays live when this fails: the ledger keeps the words, people are told
once, and the sweeper asks again until it succeeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.aws import scaling
from perennial.commit_change import commit_change
from perennial.describe_model import read_settings_of
from perennial.domain import scaling_plan
from perennial.domain.errors import PerennialError
from perennial.domain.ledger.rows import Live, ModelRow, ReleaseRow, release_key
from perennial.domain.ledger.store import Transaction, change, read_model, read_release
from perennial.domain.settings import Scaling

if TYPE_CHECKING:
    from perennial.wiring import Ports


def is_scaling_due(row: ModelRow) -> bool:
    """Whether what is live may not scale yet as its release asks for.

    An open release changes the endpoint; what it ends with is then what counts.
    """
    return row.live is not None and row.scaled != row.live.release and row.open_release is None


def keep_scaling(ports: Ports, model: str) -> str:
    """Put, change or remove target and policy of what is live; in words why that failed, or empty.

    Nothing is asked of AWS when that was done for this release before. An adopted endpoint keeps
    whatever scaling it came with.
    """
    row = read_model(ports.ledger, model)
    if row is None or row.live is None or not is_scaling_due(row):
        return ""
    live, words = row.live, ""
    release = read_release(ports.ledger, release_key(model, live.release))
    if release is not None and release.kind != "adopt":
        try:
            make_equal(live.endpoint, wanted_scaling(ports, row, release))
        except PerennialError as error:
            words = str(error)
            if words != row.scaling_words:
                _tell(ports, model, live, words)
    commit_change(ports, lambda: _noted(ports, model, live, words))
    return words


def wanted_scaling(ports: Ports, row: ModelRow, release: ReleaseRow) -> Scaling | None:
    """The scaling that the settings of a release ask for; None: a fixed count."""
    endpoint = read_settings_of(ports.ledger, row, release.settings).release.endpoint
    return endpoint.scaling if endpoint is not None else None


def make_equal(endpoint: str, wanted: Scaling | None) -> None:
    """Ask Application Auto Scaling for what differs from the settings, and for nothing else."""
    if wanted is None:
        scaling.remove_scaling(endpoint)
        return
    seen = scaling.describe_scaling(endpoint)
    if not scaling_plan.has_bounds(seen, wanted):
        scaling.put_target(scaling_plan.target(endpoint, wanted))
    if not scaling_plan.has_policy(seen, wanted):
        scaling.put_policy(scaling_plan.policy(endpoint, wanted))


def _noted(ports: Ports, model: str, live: Live, words: str) -> Transaction:
    """Note how it went, unless something else is live by now."""
    row = read_model(ports.ledger, model)
    if row is None or row.live is None or row.live.release != live.release:
        return ()
    scaled = row.scaled if words else live.release
    if (row.scaled, row.scaling_words) == (scaled, words):
        return ()
    return (change(row, scaled=scaled, scaling_words=words),)


def _tell(ports: Ports, model: str, live: Live, words: str) -> None:
    """Tell people that the endpoint does not scale as it should; the release stands."""
    stack = ports.deployment.stack
    subject = f"{model}: scaling of {live.endpoint} could not be set"
    text = (
        f"{subject} (stack {stack}).\n\n{words}\n\n"
        f"Release {live.release} (version {live.version}) is live; it stays so. Until this is "
        "done, the endpoint has the instances that it has. It is tried again every five minutes."
        f"\n\nDetails: perennial endpoint {model}"
    )
    attributes = {
        "id": f"{stack}/{model}/r{live.release}/scaling",
        "model": model,
        "release": str(live.release),
        "version": str(live.version),
        "outcome": "scaling_failed",
    }
    ports.notices.publish(subject, text, attributes)
