"""All that may happen to releases on the deployed stack, one thing after the other."""

from __future__ import annotations

import pytest

from tests.functional.stack import release_story as story
from tests.functional.stack.release_story import (  # noqa: F401  # fixtures
    Stack,
    checkout,
    kind,
    stack,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def test_releases(stack: Stack) -> None:  # noqa: F811
    """One story, for each part begins where the one before it ended."""
    story.an_approval_goes_live(stack)
    story.a_release_cut_off_on_staging_changes_nothing(stack)
    story.an_approval_taken_back_keeps_the_version_out(stack)
    story.a_failing_version_is_rolled_back_by_its_alarm(stack)
    story.a_release_cut_off_in_production_is_still_told_true(stack)
    story.a_rollback_brings_the_last_good_version_back(stack)
    story.two_decisions_at_once_are_two_releases_one_after_the_other(stack)
    story.functions_that_die_are_made_up_for(stack)
    story.a_person_lets_a_version_into_production(stack)
    story.removing_the_model_leaves_nothing(stack)
