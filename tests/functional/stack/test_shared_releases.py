"""What may happen to releases of the endpoint that models share, one thing after the other."""

from __future__ import annotations

import pytest

from tests.functional.stack.release_story import (  # noqa: F401  # two are fixtures
    Stack,
    all_that_happens_to_moves,
    checkout,
    stack,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def kind() -> str:
    """What the settings ask for."""
    return "multi-model"


def test_releases(stack: Stack) -> None:  # noqa: F811
    """The story of endpoints of instances, and what only a move of traffic can meet."""
    all_that_happens_to_moves(stack)
