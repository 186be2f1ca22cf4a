"""Releases on the deployed stack: approved, live; guarded, rolled back; cut off, and still true."""

from __future__ import annotations

import pytest

from tests.functional.stack import release_story as story
from tests.functional.stack.release_story import Stack, checkout, stack  # noqa: F401  # fixtures

pytestmark = pytest.mark.timeout(600)


def test_a_version_goes_live_and_a_failing_one_comes_back(stack: Stack) -> None:  # noqa: F811
    """One story: live by itself, rolled back by its alarm, and true after its execution died."""
    story.an_approval_goes_live(stack)
    story.a_failing_version_is_rolled_back_by_its_alarm(stack)
    story.a_release_cut_off_in_production_is_still_told_true(stack)
    story.removing_the_model_leaves_nothing(stack)
