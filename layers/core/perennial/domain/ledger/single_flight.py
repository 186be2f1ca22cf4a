"""At most one thing changes a model's endpoint: a release, or an A/B test."""

from __future__ import annotations

from perennial.domain.errors import NotAllowed
from perennial.domain.ledger.rows import ModelRow


def refuse_during_test(model: ModelRow, what: str) -> None:
    """Raise ``NotAllowed`` while an A/B test of the model is open."""
    test = model.ab
    if test is not None:
        raise NotAllowed(
            f"A/B test {test.number} of {model.model} is open (main {test.main}, challenger "
            f"{test.challenger}), and {what} would end it unseen; first: perennial ab stop "
            f'{model.model} --because "..."'
        )


def refuse_during_release(model: ModelRow) -> None:
    """Raise ``NotAllowed`` while a release of the model is open, or about to open."""
    if model.open_release is not None:
        raise NotAllowed(
            f"release {model.open_release} of {model.model} is at work, and an A/B test needs an "
            f"endpoint at rest; `perennial releases {model.model}` shows when it has ended"
        )
    if model.waiting is not None:
        raise NotAllowed(
            f"a release of {model.model} {model.waiting.version} is about to open; ask again when "
            "it has ended"
        )
