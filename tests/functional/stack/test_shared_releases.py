"""What may happen to releases onto the endpoint that models share, one thing after the other."""

from __future__ import annotations

import pytest

from tests.functional.stack import release_story as story
from tests.functional.stack.release_story import Stack, checkout, stack  # noqa: F401  # fixtures

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def kind() -> str:
    """What the settings ask for."""
    return "multi-model"


def test_releases_onto_a_shared_endpoint(stack: Stack) -> None:  # noqa: F811
    """The story of the other kinds, told of archives instead of endpoints."""
    story.an_approval_goes_live(stack)
    story.a_release_cut_off_on_staging_changes_nothing(stack)
    story.an_approval_taken_back_keeps_the_version_out(stack)
    story.a_failing_version_is_rolled_back_by_its_alarm(stack)
    story.a_move_cut_off_anywhere_is_told_true(stack)
    story.traffic_moves_by_shares(stack)
    story.a_rollback_brings_the_last_good_version_back(stack)
    story.two_decisions_at_once_are_two_releases_one_after_the_other(stack)
    story.functions_that_die_are_made_up_for(stack)
    story.an_endpoint_changes_its_kind_and_back(stack)
    story.removing_the_model_leaves_nothing(stack)
