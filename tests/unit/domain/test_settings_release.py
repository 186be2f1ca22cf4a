"""The section `release`: what is read, what is refused, and that it reads back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.settings import (
    Endpoint,
    Guard,
    Release,
    Scaling,
    Settings,
    SettingsInvalid,
    SmokeTest,
    parse_settings,
)
from perennial.domain.settings_release import milliseconds, percent

from tests.unit.domain.settings_builders import GOOD

FULL: dict[str, Any] = {
    "approval": "policy",
    "approve_code_changes": True,
    "production": "person",
    "endpoint": {
        "kind": "instances",
        "instance": "ml.c5.xlarge",
        "count": 4,
        "capture": "20%",
        "scaling": {
            "min": 2,
            "max": 8,
            "invocations_per_instance": 600,
            "in_cooldown": "10m",
            "out_cooldown": "1m",
        },
    },
    "strategy": "linear",
    "share": "25%",
    "bake": "5m",
    "guard": {"errors": "0.5%", "latency_p99": "250ms", "period": "1m", "evaluations": 3},
    "smoke_test": {"rows": 10, "requests": 0, "latency_p99": "2s", "memory": "75%"},
}
SCALING = Scaling(2, 8, 600.0, in_cooldown=600, out_cooldown=60)


def parsed(release: Any) -> Settings:
    """The good settings with this section."""
    return parse_settings({**copy.deepcopy(GOOD), "release": release}, project="game")


def mistakes(release: Any) -> dict[str, str]:
    """Path and message of every mistake in the section."""
    with pytest.raises(SettingsInvalid) as caught:
        parsed(release)
    return {mistake.path: str(mistake) for mistake in caught.value.mistakes}


def with_change(path: str, value: Any) -> dict[str, Any]:
    """The full section with one change."""
    document = copy.deepcopy(FULL)
    *parents, last = path.split(".")
    place = document
    for key in parents:
        place = place[key]
    place[last] = value
    return document


def test_every_key_is_read() -> None:
    """Durations are seconds, latencies milliseconds, shares fractions."""
    assert parsed(FULL).release == Release(
        approval="policy",
        approve_code_changes=True,
        production="person",
        endpoint=Endpoint("instances", "ml.c5.xlarge", 4, 0.2, SCALING),
        strategy="linear",
        share=0.25,
        bake=300,
        guard=Guard(0.005, 250.0, 60, 3),
        smoke_test=SmokeTest(10, 0, 2000.0, 0.75),
    )


@pytest.mark.parametrize("endpoint", [{}, True, "on", {"count": 2}])
def test_an_endpoint_without_keys_has_the_defaults(endpoint: Any) -> None:
    """Two machines, everything captured, a canary of half the fleet for ten minutes."""
    release = parsed({"endpoint": endpoint}).release
    assert release == Release(endpoint=Endpoint())
    assert (release.share, release.bake, release.production) == (0.5, 600, "approved")


@pytest.mark.parametrize("endpoint", [None, False, "off"])
def test_no_endpoint_is_asked_for(endpoint: Any) -> None:
    """Then nothing is deployed, and the stored settings are as they were before releases."""
    settings = parsed({"endpoint": endpoint})
    assert settings.release.endpoint is None
    assert settings.to_json()["release"] == {"approval": "person", "approve_code_changes": False}


def test_plain_numbers_are_percent_when_whole() -> None:
    """`share: 50` and `share: 50%` are the same; a bare fraction could mean two things."""
    assert parsed(with_change("share", 50)).release.share == 0.5
    assert parsed(with_change("endpoint.capture", 100)).release.endpoint == Endpoint(
        "instances", "ml.c5.xlarge", 4, 1.0, SCALING
    )
    assert "like 50%" in mistakes(with_change("share", 0.5))["release.share"]


def test_bounds_can_be_off() -> None:
    """YAML reads off as false; both spellings are the same."""
    release = parsed(with_change("smoke_test", {"latency_p99": False, "memory": "off"})).release
    assert (release.smoke_test.latency_p99, release.smoke_test.memory) == (None, None)
    assert parsed(with_change("guard.errors", False)).release.guard.errors is None


def test_scaling_has_few_defaults() -> None:
    """The least count is the one that the endpoint begins with; cooldowns are AWS's own."""
    scaling = {"max": 6, "invocations_per_instance": 30}
    document: dict[str, Any] = {"endpoint": {"count": 3, "scaling": scaling}}
    settings = parsed(document)
    endpoint = settings.release.endpoint
    assert endpoint is not None
    assert endpoint.scaling == Scaling(3, 6, 30.0, 300, 300)
    assert Settings.from_json(settings.to_json(), project="game") == settings
    for off in (None, False, "off"):
        document["endpoint"]["scaling"] = off
        assert parsed(document).release.endpoint == Endpoint(count=3)


def test_all_at_once_scales_down_to_one_machine() -> None:
    """It has no steps that need a second machine."""
    document = with_change("endpoint.scaling.min", 1) | {"strategy": "all-at-once"}
    del document["share"]
    endpoint = parsed(document).release.endpoint
    assert endpoint is not None
    assert endpoint.scaling is not None
    assert endpoint.scaling.min == 1


@given(st.integers(0, 100))
def test_a_shared_endpoint_has_no_size_of_one_model(captured: int) -> None:
    """Only how much is captured; its machines are the stack's, and need no second one."""
    kind = {"kind": "multi-model", "capture": captured}
    settings = parsed({"endpoint": kind, "strategy": "canary", "share": 20})
    assert settings.release.endpoint == Endpoint(kind="multi-model", capture=captured / 100)
    written = settings.to_json()["release"]["endpoint"]
    assert written == {"kind": "multi-model", "capture": f"{captured}%"}
    for key in ("instance", "count", "scaling", "memory_mb", "concurrency"):
        assert (
            "as kind is multi-model"
            in mistakes({"endpoint": {**kind, key: 1024}})[f"release.endpoint.{key}"]
        )


def test_all_at_once_serves_from_one_machine() -> None:
    """It has no steps, so it has no share, and needs no second machine."""
    document = {"endpoint": {"count": 1}, "strategy": "all-at-once"}
    settings = parsed(document)
    assert settings.release.endpoint == Endpoint(count=1)
    assert "share" not in settings.to_json()["release"]
    assert "all-at-once" in mistakes({**document, "share": 10})["release.share"]


@pytest.mark.parametrize(
    ("path", "value", "where", "words"),
    [
        ("endpoint.kind", "multi-model", "endpoint.count", "as kind is multi-model; it is of kind"),
        ("endpoint.memory_mb", 2048, "endpoint.memory_mb", "as kind is instances; it is of kind"),
        ("endpoint.concurrency", 5, "endpoint.concurrency", "as kind is instances; it is of kind"),
        ("endpoint.kind", "instance", "endpoint.kind", "did you mean instances?"),
        ("endpoint.scaling", {"max": 4}, "endpoint.scaling.invocations_per_instance", "no default"),
        ("endpoint.scaling.max", None, "endpoint.scaling.max", "a number: it has no default"),
        ("endpoint.scaling.max", 101, "endpoint.scaling.max", "from 2 to 100"),
        ("endpoint.scaling.max", 1, "endpoint.scaling.max", "from 2 to 100"),
        ("endpoint.scaling.max", 3, "endpoint.count", "from 2 to 3, the bounds of scaling"),
        ("endpoint.scaling.min", 0, "endpoint.scaling.min", "from 1 to 100"),
        ("endpoint.scaling.min", 1, "endpoint.scaling.min", "2 or more, as linear shifts"),
        ("endpoint.scaling.min", 5, "endpoint.count", "from 5 to 8, the bounds of scaling"),
        ("endpoint.scaling.out_cooldown", "2h", "endpoint.scaling.out_cooldown", "0s to 1h"),
        ("endpoint.scaling.in_cooldown", 60, "endpoint.scaling.in_cooldown", "like 30s, 5m"),
        (
            "endpoint.scaling.invocations_per_instance",
            0,
            "endpoint.scaling.invocations_per_instance",
            "above 0",
        ),
        ("endpoint.scaling.target", 5, "endpoint.scaling.target", "an unknown key"),
        ("endpoint.instance", "ml.t2.medium", "endpoint.instance", "does not scale ml.t2.*"),
        ("endpoint.instance", "large", "endpoint.instance", "an instance type like"),
        ("endpoint.count", 0, "endpoint.count", "a whole number from 1 to 100"),
        ("endpoint.count", 1, "endpoint.count", "2 or more, as linear shifts"),
        ("endpoint.capture", 101, "endpoint.capture", "from 0% to 100%"),
        ("endpoint.variant", "a", "endpoint.variant", "an unknown key"),
        ("endpoint", "yes please", "endpoint", "keys with values"),
        ("production", "nobody", "production", "approved or person"),
        ("strategy", "rolling", "strategy", "canary, linear or all-at-once"),
        ("share", "9%", "share", "from 10% to 50%"),
        ("share", 60, "share", "from 10% to 50%"),
        ("share", "half", "share", "a percentage"),
        ("share", "12.5%", "share", "a whole percentage, like 50%"),
        ("endpoint.capture", "0.5%", "endpoint.capture", "a whole percentage"),
        ("bake", "2h", "bake", "from 0s to 1h"),
        ("bake", "3m", "bake", "longer than 3m: the guard's alarms need 3 x 1m"),
        ("bake", "0s", "bake", "longer than 3m"),
        ("guard", {"errors": "off", "latency_p99": "off"}, "guard", "at least one that guards"),
        ("guard.errors", 0.01, "guard.errors", "a percentage from 0% to 100%, like 50% or off"),
        ("guard.errors", True, "guard.errors", "a percentage"),
        ("guard.period", "90s", "guard.period", "whole minutes"),
        ("guard.period", "30s", "guard.period", "from 1m to 1h"),
        ("guard.evaluations", 11, "guard.evaluations", "from 1 to 10"),
        ("guard.latency_p99", 500, "guard.latency_p99", "a time like 500ms or 2s"),
        ("guard.latency_p99", "0ms", "guard.latency_p99", "a time like 500ms"),
        ("guard.latency_p99", "61s", "guard.latency_p99", "up to 60s"),
        ("guard.latency", "5ms", "guard.latency", "latency_p99?"),
        ("smoke_test.rows", 0, "smoke_test.rows", "from 1 to 10,000"),
        ("smoke_test.requests", -1, "smoke_test.requests", "from 0 to 1,000"),
        ("smoke_test.memory", "200%", "smoke_test.memory", "or off"),
        ("canary", 10, "canary", "an unknown key"),
    ],
)
def test_each_mistake_is_named(path: str, value: Any, where: str, words: str) -> None:
    """Key path, what was found, what was expected."""
    found = mistakes(with_change(path, value))
    assert f"release.{where}" in found, found
    assert words in found[f"release.{where}"]


SERVERLESS = {"kind": "serverless", "memory_mb": 3072, "concurrency": 20, "capture": "10%"}


def test_a_serverless_endpoint_has_a_size_and_no_machines() -> None:
    """A canary needs no second machine there; what is stored reads back."""
    settings = parsed({"endpoint": SERVERLESS})
    assert settings.release.endpoint == Endpoint(
        kind="serverless", capture=0.1, memory_mb=3072, concurrency=20
    )
    assert settings.to_json()["release"]["endpoint"] == SERVERLESS
    assert Settings.from_json(settings.to_json(), project="game") == settings
    assert parsed({"endpoint": {"kind": "serverless"}}).release.endpoint == Endpoint("serverless")
    assert (Endpoint.memory_mb, Endpoint.concurrency) == (2048, 5)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("instance", "ml.m5.large", "no value, as kind is serverless; it is of kind instances"),
        ("count", 2, "as kind is serverless"),
        ("scaling", {"max": 4}, "as kind is serverless"),
        ("memory_mb", 1000, "from 1,024 to 6,144"),
        ("memory_mb", 2000, "one of 1024, 2048, 3072, 4096, 5120, 6144"),
        ("memory_mb", 7168, "from 1,024 to 6,144"),
        ("concurrency", 0, "from 1 to 200"),
        ("concurrency", 201, "from 1 to 200"),
        ("capture", "0.5%", "a whole percentage"),
    ],
)
def test_each_mistake_about_a_serverless_endpoint_is_named(
    key: str, value: Any, words: str
) -> None:
    """What only machines have is refused, and so is a size that SageMaker does not offer."""
    found = mistakes({"endpoint": {**SERVERLESS, key: value}})
    assert set(found) == {f"release.endpoint.{key}"}
    assert words in found[f"release.endpoint.{key}"]


@pytest.mark.parametrize("key", ["production", "strategy", "share", "bake", "guard", "smoke_test"])
def test_what_nothing_acts_on_is_refused(key: str) -> None:
    """A guard of no endpoint guards nothing, and its writer should know."""
    assert "no release.endpoint" in mistakes({key: FULL[key]})[f"release.{key}"]


@given(
    share=st.integers(10, 50),
    capture=st.integers(0, 100),
    errors=st.none() | st.integers(0, 100_000),
    latency=st.none() | st.integers(1, 60_000),
    bake=st.integers(121, 3600),
)
def test_any_section_reads_back(
    share: int, capture: int, errors: int | None, latency: int | None, bake: int
) -> None:
    """What the ledger keeps is what was pushed, to the thousandth of a percent."""
    document = {
        "endpoint": {"capture": percent(capture / 100)},
        "share": percent(share / 100),
        "bake": f"{bake}s",
        "guard": {"errors": percent(None if errors is None else errors / 100_000)},
        "smoke_test": {"latency_p99": milliseconds(latency)},
    }
    settings = parsed(document)
    assert settings.release.share == share / 100
    assert settings.release.guard.errors == (None if errors is None else errors / 100_000)
    assert settings.release.smoke_test.latency_p99 == latency
    again = Settings.from_json(settings.to_json(), project="game")
    assert again == settings
    assert again.to_json() == settings.to_json()
