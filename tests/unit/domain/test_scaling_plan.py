"""What scaling asks of AWS, against AWS's own description of each request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain import scaling_plan
from perennial.domain.scaling_plan import SeenPolicy, SeenScaling
from perennial.domain.settings import Endpoint, Scaling

from tests.statemachines.aws_api import mistakes

SERVICE = "application-autoscaling"
scalings = st.integers(1, 100).flatmap(
    lambda least: st.builds(
        Scaling,
        min=st.just(least),
        max=st.integers(least, 100),
        invocations_per_instance=st.floats(0.01, 1e6),
        in_cooldown=st.integers(0, 3600),
        out_cooldown=st.integers(0, 3600),
    )
)


def seen(scaling: Scaling, **more: object) -> SeenScaling:
    """What AWS answers after these settings were put; `more` is what it adds."""
    request = scaling_plan.policy("e", scaling)
    configuration = {**request[scaling_plan.CONFIGURATION], **more}
    policy = SeenPolicy(request["PolicyName"], configuration)
    return SeenScaling(scaling.min, scaling.max, (SeenPolicy("another", {}), policy))


@given(scalings)
def test_what_was_put_needs_nothing_more(scaling: Scaling) -> None:
    """Whatever members AWS adds."""
    found = seen(scaling, CustomizedMetricSpecification=None)
    assert scaling_plan.has_bounds(found, scaling)
    assert scaling_plan.has_policy(found, scaling)


@given(scalings, scalings)
def test_each_difference_is_seen(one: Scaling, other: Scaling) -> None:
    """Bounds and policy are equal when the settings are, and only then."""
    found = seen(one)
    bounds, wanted = (one.min, one.max), (other.min, other.max)
    assert scaling_plan.has_bounds(found, other) == (bounds == wanted)
    rest = (one.invocations_per_instance, one.in_cooldown, one.out_cooldown)
    others = (other.invocations_per_instance, other.in_cooldown, other.out_cooldown)
    assert scaling_plan.has_policy(found, other) == (rest == others)


def test_without_a_target_all_is_to_be_put() -> None:
    """And a target alone lacks our policy."""
    scaling = Scaling(1, 2, 3.0)
    assert not scaling_plan.has_bounds(None, scaling)
    assert not scaling_plan.has_policy(None, scaling)
    assert not scaling_plan.has_policy(SeenScaling(1, 2), scaling)


@pytest.mark.parametrize(
    ("desired", "scaling", "kept"),
    [
        (3, None, False),
        (None, Scaling(2, 4, 1.0), False),
        (1, Scaling(2, 4, 1.0), False),
        (2, Scaling(2, 4, 1.0), True),
        (4, Scaling(2, 4, 1.0), True),
        (5, Scaling(2, 4, 1.0), False),
    ],
)
def test_a_deployment_keeps_the_counts_that_scaling_chose(
    desired: int | None, scaling: Scaling | None, kept: bool
) -> None:
    """Any other count gives way to that of the settings."""
    assert scaling_plan.keeps_count(Endpoint(count=2, scaling=scaling), desired) is kept


def test_causes_are_told_in_words() -> None:
    """Those of our policy; of others AWS's own words stay."""
    high = "monitor alarm TargetTracking-endpoint/e/variant/main-AlarmHigh-1 in state ALARM "
    mine = f"triggered policy {scaling_plan.POLICY}"
    assert "more requests" in scaling_plan.why(high + mine)
    assert "enough" in scaling_plan.why(high.replace("High", "Low") + mine)
    for other in (f"{high}triggered policy other", "minimum capacity was set to 2"):
        assert scaling_plan.why(other) == other


@given(scalings)
def test_aws_takes_every_request(scaling: Scaling) -> None:
    """Required members, enums and lengths hold for the longest endpoint name."""
    endpoint = "e" * 63
    target = scaling_plan.target(endpoint, scaling)
    policy = scaling_plan.policy(endpoint, scaling)
    assert mistakes(SERVICE, "registerScalableTarget", target) == []
    assert mistakes(SERVICE, "putScalingPolicy", policy) == []
