"""The section `release`: who approves, where a version serves, and how it gets there."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Literal, cast

from perennial.domain.settings import Endpoint, Guard, Release, SmokeTest
from perennial.domain.settings_reader import Reader, duration
from perennial.domain.settings_scaling import MOST_INSTANCES, read_scaling, write_scaling
from perennial.domain.settings_training import INSTANCE

STRATEGIES = ("canary", "linear", "all-at-once")
KINDS = ("instances", "serverless", "multi-model")
#: What only an endpoint of each kind has.
OF_KIND = {
    "instances": ("instance", "count", "scaling"),
    "serverless": ("memory_mb", "concurrency"),
    "multi-model": (),  # the stack's parameters say how large the shared endpoint is
}
MEMORY_SIZES = tuple(range(1024, 6145, 1024))  # of a serverless endpoint, in MB
MOST_CONCURRENCY = 200
#: What only a release to an endpoint can mean.
OF_ENDPOINTS = ("production", "strategy", "share", "bake", "guard", "smoke_test")
LONGEST_BAKE = 3600  # WaitIntervalInSeconds of UpdateEndpoint
MINUTE, HOUR = 60, 3600
SHARES = (0.1, 0.5)  # LinearStepSize, and CanarySize's upper bound
PERCENT = re.compile(r"(\d{1,3}(\.\d{1,3})?)%")
MILLISECONDS = re.compile(r"(\d{1,6})(ms|s)")
LONGEST_LATENCY = 60_000.0  # a model container must answer within 60 seconds


def read_release(release: Reader) -> Release:
    """The whole section."""
    approval = release.text("approval", "person", choices=("person", "policy"))
    code = release.flag("approve_code_changes", False)
    endpoint = _endpoint(release)
    approval_only = Release(
        approval="policy" if approval == "policy" else "person", approve_code_changes=code
    )
    if endpoint is None:
        for key in OF_ENDPOINTS:
            if release.has(key):
                release.mistake(key, "no value, as there is no release.endpoint that it is for")
        release.done()
        return approval_only
    strategy = release.text("strategy", "canary", choices=STRATEGIES)
    read = Release(
        approval=approval_only.approval,
        approve_code_changes=code,
        endpoint=endpoint,
        production=(
            "person"
            if release.text("production", "approved", choices=("approved", "person")) == "person"
            else "approved"
        ),
        strategy=cast("Literal['canary', 'linear', 'all-at-once']", strategy),
        share=_share(release, strategy),
        bake=release.seconds("bake", 600, least=0, most=LONGEST_BAKE),
        guard=_guard(release.section("guard")),
        smoke_test=_smoke_test(release.section("smoke_test")),
    )
    _check(release, read, endpoint)
    release.done()
    return read


def write_release(release: Release) -> dict[str, Any]:
    """The section as `read_release` reads it back; without an endpoint only who approves."""
    document: dict[str, Any] = {
        "approval": release.approval,
        "approve_code_changes": release.approve_code_changes,
    }
    endpoint = release.endpoint
    if endpoint is None:
        return document
    stepwise = {} if release.strategy == "all-at-once" else {"share": percent(release.share)}
    guard, smoke_test = release.guard, release.smoke_test
    return {
        **document,
        "production": release.production,
        "endpoint": _write_endpoint(endpoint),
        "strategy": release.strategy,
        **stepwise,
        "bake": duration(release.bake),
        "guard": {
            "errors": percent(guard.errors),
            "latency_p99": milliseconds(guard.latency_p99),
            "period": duration(guard.period),
            "evaluations": guard.evaluations,
        },
        "smoke_test": {
            "rows": smoke_test.rows,
            "requests": smoke_test.requests,
            "latency_p99": milliseconds(smoke_test.latency_p99),
            "memory": percent(smoke_test.memory),
        },
    }


def _endpoint(release: Reader) -> Endpoint | None:
    """The endpoint; `endpoint: off` (which YAML reads as false) is none."""
    value = release.raw("endpoint")
    if value is None or value is False or value == "off":
        return None
    if value is True or value == "on":
        return Endpoint()
    endpoint = release.section("endpoint")
    kind = endpoint.text("kind", "instances", choices=KINDS)
    for other, keys in OF_KIND.items():
        for key in keys if other != kind else ():
            if endpoint.has(key):
                endpoint.mistake(key, f"no value, as kind is {kind}; it is of kind {other}")
    reads = {"serverless": _serverless, "multi-model": _multi_model}
    read = reads.get(kind, _instances)(endpoint)
    endpoint.done()
    return read


def _instances(endpoint: Reader) -> Endpoint:
    read = Endpoint(
        instance=endpoint.text(
            "instance",
            "ml.m5.large",
            pattern=INSTANCE,
            expected="an instance type like ml.m5.large",
        ),
        count=endpoint.integer("count", 2, least=1, most=MOST_INSTANCES),
        capture=_whole_percent(endpoint, "capture", 1.0),
    )
    return replace(read, scaling=read_scaling(endpoint, read.count, read.instance))


def _serverless(endpoint: Reader) -> Endpoint:
    memory_mb = endpoint.integer("memory_mb", Endpoint.memory_mb, least=1024, most=6144)
    if memory_mb not in MEMORY_SIZES:
        sizes = ", ".join(map(str, MEMORY_SIZES))
        endpoint.mistake("memory_mb", f"one of {sizes}, as SageMaker has them")
    most = MOST_CONCURRENCY
    return Endpoint(
        kind="serverless",
        capture=_whole_percent(endpoint, "capture", 1.0),
        memory_mb=memory_mb,
        concurrency=endpoint.integer("concurrency", Endpoint.concurrency, least=1, most=most),
    )


def _multi_model(endpoint: Reader) -> Endpoint:
    return Endpoint(kind="multi-model", capture=_whole_percent(endpoint, "capture", 1.0))


def _write_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    size: dict[str, Any] = {}
    if endpoint.kind == "serverless":
        size = {"memory_mb": endpoint.memory_mb, "concurrency": endpoint.concurrency}
    if endpoint.kind == "instances":
        scaling = {"scaling": write_scaling(endpoint.scaling)} if endpoint.scaling else {}
        size = {"instance": endpoint.instance, "count": endpoint.count, **scaling}
    return {"kind": endpoint.kind, "capture": percent(endpoint.capture), **size}


def _share(release: Reader, strategy: str) -> float:
    if strategy == "all-at-once":
        if release.has("share"):
            release.mistake("share", "no value, as strategy is all-at-once")
        return Release.share
    return _whole_percent(release, "share", Release.share, between=SHARES)


def _guard(guard: Reader) -> Guard:
    read = Guard(
        errors=_percent(guard, "errors", Guard.errors, can_be_off=True),
        latency_p99=_latency(guard, Guard.latency_p99),
        period=guard.seconds("period", Guard.period, least=MINUTE, most=HOUR),
        evaluations=guard.integer("evaluations", Guard.evaluations, least=1, most=10),
    )
    if read.period % MINUTE:
        guard.mistake("period", "whole minutes, by which CloudWatch has an endpoint's figures")
    if read.errors is None and read.latency_p99 is None:
        guard.mistake_at(
            guard.path, "errors and latency_p99 both off", "at least one that guards the release"
        )
    guard.done()
    return read


def _smoke_test(smoke_test: Reader) -> SmokeTest:
    read = SmokeTest(
        rows=smoke_test.integer("rows", SmokeTest.rows, least=1, most=10_000),
        requests=smoke_test.integer("requests", SmokeTest.requests, least=0, most=1000),
        latency_p99=_latency(smoke_test, SmokeTest.latency_p99),
        memory=_percent(smoke_test, "memory", SmokeTest.memory, can_be_off=True),
    )
    smoke_test.done()
    return read


def _check(release: Reader, read: Release, endpoint: Endpoint) -> None:
    """What holds between the keys."""
    by_instances = endpoint.kind == "instances" and read.strategy != "all-at-once"
    if by_instances and endpoint.count < 2:
        release.mistake_at(
            release.at("endpoint.count"),
            str(endpoint.count),
            f"2 or more, as {read.strategy} shifts traffic instance by instance; or strategy: "
            "all-at-once",
        )
    scaling = endpoint.scaling
    if by_instances and scaling is not None and scaling.min < 2 <= endpoint.count:
        release.mistake_at(
            release.at("endpoint.scaling.min"),
            str(scaling.min),
            f"2 or more, as {read.strategy} shifts traffic instance by instance; or strategy: "
            "all-at-once",
        )
    alarm_s = read.guard.period * read.guard.evaluations
    if read.bake <= alarm_s:
        release.mistake_at(
            release.at("bake"),
            duration(read.bake),
            f"longer than {duration(alarm_s)}: the guard's alarms need {read.guard.evaluations} x "
            f"{duration(read.guard.period)} to go off",
        )


def _percent(
    entry: Reader,
    key: str,
    default: float | None,
    *,
    between: tuple[float, float] = (0.0, 1.0),
    can_be_off: bool = False,
) -> float | None:
    """A share, written `1%`, `0.5%` or as a whole number of percent; `off` is None."""
    value = entry.raw(key)
    if value is None:
        return default
    if can_be_off and (value is False or value == "off"):
        return None
    least, most = between
    share = _parse_percent(value)
    if share is not None and least <= share <= most:
        return share
    or_off = " or off" if can_be_off else ""
    entry.mistake(key, f"a percentage from {percent(least)} to {percent(most)}, like 50%{or_off}")
    return default


def _whole_percent(
    entry: Reader, key: str, default: float, *, between: tuple[float, float] = (0.0, 1.0)
) -> float:
    """A share of so many whole percent, which is all that SageMaker takes of this one."""
    share = _percent(entry, key, default, between=between) or 0.0
    if share != round(share, 2):
        entry.mistake(key, "a whole percentage, like 50%")
    return share


def _parse_percent(value: Any) -> float | None:
    """A fraction like 0.01 without a sign could mean itself or a percentage: it is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value / 100
    match = PERCENT.fullmatch(value) if isinstance(value, str) else None
    return round(float(match[1]) / 100, 5) if match else None


def percent(share: float | None) -> str:
    """The spelling of a share that the settings read back; None is `off`."""
    return "off" if share is None else f"{round(share * 100, 3):g}%"


def _latency(entry: Reader, default: float | None) -> float | None:
    """Milliseconds, written `500ms` or `2s`; `off` is None."""
    value = entry.raw("latency_p99")
    if value is None:
        return default
    if value is False or value == "off":
        return None
    match = MILLISECONDS.fullmatch(value) if isinstance(value, str) else None
    found = float(match[1]) * (1000 if match[2] == "s" else 1) if match else 0.0
    if 0 < found <= LONGEST_LATENCY:
        return found
    entry.mistake("latency_p99", "a time like 500ms or 2s, up to 60s, or off")
    return default


def milliseconds(latency: float | None) -> str:
    """The spelling of a latency that the settings read back; None is `off`."""
    return "off" if latency is None else f"{latency:.0f}ms"
