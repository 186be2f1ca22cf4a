"""The steps of blue/green deployments, and where requests go meanwhile."""

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from local.jsonapi.errors import ApiError
from local.sagemaker.endpoints.deployment_rules import check_guarded, steps
from local.sagemaker.endpoints.fleet import Fleet, VariantFleet
from local.sagemaker.endpoints.routes import settled, shifting

SIZES = st.one_of(
    st.tuples(st.just("CAPACITY_PERCENT"), st.integers(1, 100)),
    st.tuples(st.just("INSTANCE_COUNT"), st.integers(1, 20)),
)


def policy(kind: str, size: tuple[str, int]) -> dict[str, Any]:
    """A DeploymentConfig with one wait of a minute and a last one of two."""
    name = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}[kind]
    routing = {
        "Type": kind,
        "WaitIntervalInSeconds": 60,
        name: {"Type": size[0], "Value": size[1]},
    }
    blue_green = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 120}
    return {"BlueGreenUpdatePolicy": blue_green}


@given(
    kind=st.sampled_from(["CANARY", "LINEAR"]),
    size=SIZES,
    desired=st.dictionaries(st.sampled_from("abc"), st.integers(1, 20), min_size=1),
)
def test_every_allowed_deployment_ends_with_all_traffic(
    kind: str, size: tuple[str, int], desired: dict[str, int]
) -> None:
    """Shares only rise, each has an instance to answer it, and the last step is the whole."""
    config = policy(kind, size)
    try:
        check_guarded(config, desired, desired)
    except ApiError:
        assume(False)
    found = steps(config, desired)
    assert found[-1].whole
    assert found[-1].counts == desired
    assert found[-1].wait_seconds == 120
    assert all(step.wait_seconds == 60 and not step.whole for step in found[:-1])
    assert len(found) == 2 if kind == "CANARY" else 2 <= len(found) <= 10
    for name, count in desired.items():
        parts = [step.parts[name] for step in found]
        counts = [step.counts[name] for step in found]
        assert parts == sorted(parts)
        assert counts == sorted(counts)
        assert parts[0] <= 0.5 + 1e-9
        assert all(1 <= number <= count for number in counts)
        # Whoever answers a part of the traffic has at least that part of the instances.
        assert all(n >= part * count - 1e-6 for n, part in zip(counts, parts, strict=True))


@pytest.mark.parametrize(
    ("kind", "size", "parts"),
    [
        ("CANARY", ("CAPACITY_PERCENT", 10), [0.1, 1.0]),
        ("CANARY", ("INSTANCE_COUNT", 1), [0.25, 1.0]),
        ("LINEAR", ("CAPACITY_PERCENT", 50), [0.5, 1.0]),
        ("LINEAR", ("CAPACITY_PERCENT", 30), [0.3, 0.6, 0.9, 1.0]),
        ("LINEAR", ("INSTANCE_COUNT", 1), [0.25, 0.5, 0.75, 1.0]),
    ],
)
def test_steps_of_known_deployments(kind: str, size: tuple[str, int], parts: list[float]) -> None:
    """By percent and by instances, for a variant of four."""
    found = steps(policy(kind, size), {"main": 4})
    assert [step.parts["main"] for step in found] == pytest.approx(parts)


def test_without_a_configuration_all_traffic_goes_at_once() -> None:
    """One step, no wait."""
    (step,) = steps(None, {"main": 3})
    assert step.whole
    assert step.wait_seconds == 0


def fleet(name: str, **weights: float) -> Fleet:
    """A fleet without processes, whose variants know their fleet's name."""
    variants = [
        cast(
            "VariantFleet",
            SimpleNamespace(variant=SimpleNamespace(name=variant), fleet=name),
        )
        for variant in weights
    ]
    return Fleet({"EndpointConfigName": name}, variants, weights)


@given(part=st.floats(0, 1), weight=st.floats(0.1, 10), other=st.floats(0.1, 10))
def test_a_target_gets_the_part_of_its_variant_only(
    part: float, weight: float, other: float
) -> None:
    """Whatever the weights, a named variant is split by the deployment's part alone."""
    blue = fleet("blue", main=weight, rival=other)
    green = fleet("green", main=weight, rival=other)
    routes = shifting(blue, green, {"main": part, "rival": part})
    seen = Counter(cast("Any", routes.pick("main")).fleet for _ in range(20))
    assert set(seen) <= {"blue", "green"}
    if part in (0.0, 1.0):
        assert set(seen) == {"green" if part else "blue"}
    drawn = {cast("Any", routes.pick()).variant.name for _ in range(5)}
    assert drawn <= {"main", "rival"}


def test_nothing_is_drawn_without_weight_but_a_name_is_found() -> None:
    """A variant of weight 0 answers by its name; where all weights are 0 nobody answers."""
    routes = settled(fleet("one", main=1.0, challenger=0.0))
    assert {cast("Any", routes.pick()).variant.name for _ in range(50)} == {"main"}
    assert cast("Any", routes.pick("challenger")).variant.name == "challenger"
    assert settled(fleet("none", main=0.0)).pick() is None
    assert not routes.has("other")
