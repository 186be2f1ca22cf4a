"""No test may fail because the machine is busy."""

from __future__ import annotations

from hypothesis import settings


def test_no_example_fails_for_being_slow() -> None:
    """Properties are tried without a time limit for each example."""
    assert settings.default is not None
    assert settings.default.deadline is None
