"""The section `monitor`: which monitors watch a model in production, and what an alarm does.

A kind that is not named is not monitored: nobody gets jobs, and bills for them, unasked.
Durations are in seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from perennial.domain.gates import METRICS, OPERATORS
from perennial.domain.naming import MONITOR_KINDS
from perennial.domain.retrain_names import DEFAULT_EARLIER, DEFAULT_POLICY, POLICIES
from perennial.domain.settings_reader import Reader, duration, parse_duration, shown

MINUTE, HOUR, DAY = 60, 3600, 86400
SECOND_MS = 1000
DATA_QUALITY, MODEL_QUALITY, BIAS, ATTRIBUTION = MONITOR_KINDS
#: Monitors that need to know what was right.
LABELLED = (MODEL_QUALITY, BIAS)
#: How often a monitor may look: so that its times are the same every hour, or every day.
PERIODS = (
    *(minutes * MINUTE for minutes in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)),
    *(hours * HOUR for hours in (1, 2, 3, 4, 6, 8, 12, 24)),
)
#: Figures of an evaluation that Model Monitor puts no bound on.
UNBOUNDED = ("rows", "log_loss", "brier")
METHODS = ("robust", "simple", "chi-squared")
LONGEST_DELAY = 60 * DAY
LONGEST_JOB = 5 * DAY
LONGEST_PERIOD = 366 * DAY
#: Each is a job of its own after each labelled window.
MOST_EARLIER = 10
INSTANCE = r"ml\.[a-z0-9-]{2,20}\.[a-z0-9-]{2,20}"
#: How long the capture of a request may take to arrive in S3, and its label to be known.
CAPTURE_DELAY = 5 * MINUTE
LABEL_DELAY = DAY

Method = Literal["robust", "simple", "chi-squared"]
Provider = Literal["perennial", "sagemaker"]
PROVIDERS: tuple[Provider, ...] = ("perennial", "sagemaker")


@dataclass(frozen=True)
class FeatureWatch:
    """How one feature is watched otherwise than the rest; None: as the rest."""

    distance: float | None = None
    method: Method | None = None
    evaluate: bool = True


@dataclass(frozen=True)
class Monitor:
    """One monitor of a model: it looks `every` so often at windows of traffic of one length.

    `offset`: how long after the full hour or midnight (UTC) windows begin. `delay`: how long
    after its end a window is judged, so that its capture, or its labels, have arrived.
    `per_feature`: whether each figure is a metric of its own. The rest is what single kinds
    compare: data quality `distance`, `method` and `features`; model quality `bounds`, (figure,
    `min` or `max`, bound); attribution `ndcg` over at most `rows` rows.
    """

    kind: str
    every: int
    offset: int
    window: int
    delay: int
    per_feature: bool = False
    distance: float = 0.1
    method: Method = "robust"
    features: tuple[tuple[str, FeatureWatch], ...] = ()
    bounds: tuple[tuple[str, str, float], ...] = ()
    ndcg: float = 0.9
    rows: int = 2000


@dataclass(frozen=True)
class Retrain:
    """When a candidate is trained (`retrain_policy`).

    `at_least`: an alarm counts once so many monitors of the model are in ALARM. `every`: the
    period of the policy `fixed`, the longest pause of the others, in seconds; 0: none.
    `error_usd`: what one wrong answer costs; None: a run is worth `DEFAULT_PRICE`. `earlier`: so
    many earlier versions are scored on each labelled window; 0: none.
    """

    at_least: int = 1
    policy: str = DEFAULT_POLICY
    every: int = 0
    error_usd: float | None = None
    earlier: int = DEFAULT_EARLIER


@dataclass(frozen=True)
class Monitoring:
    """The whole section; without `monitors` nothing is watched.

    `provider`: who judges the windows, our own jobs or SageMaker Model Monitor's schedules.
    `instance`, `volume_gb` and `max_seconds` are of each monitor's job. `preprocess`: whether
    model.py's `preprocess_record` sees each captured record first.
    """

    monitors: tuple[Monitor, ...] = ()
    instance: str = "ml.m5.large"
    volume_gb: int = 30
    max_seconds: int = 1800
    preprocess: bool = False
    retrain: Retrain = field(default_factory=Retrain)
    provider: Provider = "perennial"

    @property
    def is_managed(self) -> bool:
        """Whether SageMaker's own schedules judge the windows."""
        return self.provider == "sagemaker"

    def monitor(self, kind: str) -> Monitor | None:
        """The monitor of a kind; None when it is not asked for."""
        return next((each for each in self.monitors if each.kind == kind), None)


@dataclass(frozen=True)
class Watched:
    """What the section is held against: the rest of the settings, as far as it matters here."""

    problem: str
    features: Collection[str]
    facets: Collection[str]
    explained: bool
    captured: bool


def read_monitor(root: Reader, watched: Watched, provider: Provider = "perennial") -> Monitoring:
    """The whole section; empty or absent, nothing is watched."""
    value = root.raw("monitor")
    if value is None or value is False or value in ("off", {}):
        return Monitoring(provider=provider)
    before = len(root.mistakes)
    entry = root.section("monitor")
    is_managed = provider == "sagemaker"
    monitors = tuple(
        _monitor(_section(entry, kind), kind, watched, is_managed=is_managed)
        for kind in MONITOR_KINDS
        if _asked(entry, kind)
    )
    default = Monitoring()
    read = Monitoring(
        monitors=monitors,
        instance=entry.text(
            "instance",
            default.instance,
            pattern=INSTANCE,
            expected="an instance type like ml.m5.large",
        ),
        volume_gb=entry.integer("volume_gb", default.volume_gb, least=1, most=16384),
        max_seconds=_max_seconds(entry, default.max_seconds),
        preprocess=_preprocess(entry),
        retrain=read_retrain(entry.section("retrain"), len(monitors)),
        provider=provider,
    )
    entry.done()
    if len(root.mistakes) == before:
        _check(root, read, watched)
    return read


def write_monitor(monitoring: Monitoring) -> dict[str, Any]:
    """The section as `read_monitor` reads it back; empty when nothing is watched."""
    if not monitoring.monitors:
        return {}
    return {
        "instance": monitoring.instance,
        "volume_gb": monitoring.volume_gb,
        "max_seconds": monitoring.max_seconds,
        **({"preprocess": "hook"} if monitoring.preprocess else {}),
        **{each.kind: {**_times(each), **slice_of(each)} for each in monitoring.monitors},
        "retrain": _retrain(monitoring.retrain),
    }


def slice_of(monitor: Monitor) -> dict[str, Any]:
    """What a monitor's job is told of its settings: what it compares, and by which bounds."""
    found: dict[str, Any] = {"metrics": "features" if monitor.per_feature else "aggregate"}
    if monitor.kind == DATA_QUALITY:
        found |= {"distance": monitor.distance, "method": monitor.method}
        if monitor.features:
            found["features"] = {name: _feature(each) for name, each in monitor.features}
    if monitor.kind == MODEL_QUALITY and monitor.bounds:
        bounds: dict[str, dict[str, float]] = {}
        for metric, operator, bound in monitor.bounds:
            bounds.setdefault(metric, {})[operator] = bound
        found["bounds"] = bounds
    if monitor.kind == ATTRIBUTION:
        found |= {"ndcg": monitor.ndcg, "rows": monitor.rows}
    return found


def read_retrain(retrain: Reader, monitors: int) -> Retrain:
    """When an alarm counts: `any`, or `{at_least: k}` of the model's monitors; and the policy."""
    value = retrain.raw("when")
    at_least = 1
    if value is not None and value != "any":
        when = retrain.section("when") if isinstance(value, Mapping) else None
        if when is None:
            retrain.mistake("when", "any, or {at_least: 2}")
        else:
            at_least = when.integer("at_least", 1, least=1, most=max(1, monitors))
            when.done()
    policy = retrain.text("policy", DEFAULT_POLICY, choices=POLICIES)
    if policy == "fixed" and not retrain.has("every"):
        retrain.mistake("every", "the period of the policy fixed, like 30d")
    read = Retrain(
        at_least=at_least,
        policy=policy,
        every=retrain.seconds("every", 0, least=HOUR, most=LONGEST_PERIOD),
        error_usd=retrain.number(
            "error_usd", None, accept=lambda x: x > 0, expected="USD per wrong answer, above 0"
        ),
        earlier=retrain.integer("earlier", DEFAULT_EARLIER, least=0, most=MOST_EARLIER),
    )
    retrain.done()
    return read


def _retrain(retrain: Retrain) -> dict[str, Any]:
    found: dict[str, Any] = {"when": {"at_least": retrain.at_least}}
    if retrain.policy != DEFAULT_POLICY:
        found["policy"] = retrain.policy
    if retrain.every:
        found["every"] = duration(retrain.every)
    if retrain.error_usd is not None:
        found["error_usd"] = retrain.error_usd
    if retrain.earlier != DEFAULT_EARLIER:
        found["earlier"] = retrain.earlier
    return found


def _asked(entry: Reader, kind: str) -> bool:
    """Whether a kind is named; `bias:` alone, with no keys, asks for its defaults."""
    value = entry.raw(kind)
    if value is False or value == "off":
        return False
    return value is not None or kind in entry


def _section(entry: Reader, kind: str) -> Reader:
    """The keys of a kind; `on` (which YAML reads as true) has none."""
    value = entry.raw(kind)
    plain = value is True or value == "on"
    return Reader({} if plain else value, entry.at(kind), entry.mistakes)


def _monitor(entry: Reader, kind: str, watched: Watched, *, is_managed: bool) -> Monitor:
    capture_delay = 0 if is_managed else CAPTURE_DELAY
    every = _every(entry, HOUR if kind == DATA_QUALITY else DAY)
    read = Monitor(
        kind=kind,
        every=every,
        offset=entry.seconds("offset", 0, least=0, most=every - MINUTE),
        window=entry.seconds("window", every, least=1, most=DAY),
        delay=entry.seconds(
            "delay",
            LABEL_DELAY if kind in LABELLED else capture_delay,
            least=0,
            most=LONGEST_DELAY,
        ),
        per_feature=entry.text("metrics", "aggregate", choices=("aggregate", "features"))
        == "features",
        **_compared(entry, kind, watched),
    )
    entry.done()
    return read


def _every(entry: Reader, default: int) -> int:
    value = entry.raw("every")
    if value is None:
        return default
    parsed = parse_duration(value)
    if parsed is not None and parsed in PERIODS:
        return parsed
    allowed = ", ".join(duration(period) for period in PERIODS)
    entry.mistake("every", f"a period that divides the hour or the day: {allowed}")
    return default


def _compared(entry: Reader, kind: str, watched: Watched) -> dict[str, Any]:
    """What single kinds compare."""
    default = Monitor(kind, DAY, 0, DAY, 0)
    if kind == DATA_QUALITY:
        return {
            "distance": _share(entry, "distance", default.distance),
            "method": entry.text("method", default.method, choices=METHODS),
            "features": _features(entry.section("features"), watched.features),
        }
    if kind == MODEL_QUALITY:
        return {"bounds": _bounds(entry.section("bounds"), watched.problem)}
    if kind == ATTRIBUTION:
        return {
            "ndcg": _share(entry, "ndcg", default.ndcg),
            "rows": entry.integer("rows", default.rows, least=1, most=1_000_000),
        }
    return {}


def _share(entry: Reader, key: str, default: float) -> float:
    return entry.number(
        key, default, accept=lambda x: 0 < x <= 1, expected="a number above 0, up to 1"
    )


def _features(features: Reader, known: Collection[str]) -> tuple[tuple[str, FeatureWatch], ...]:
    read = []
    for name in features:
        entry = features.section(name)
        if name not in known:
            features.mistake_at(features.at(name), shown(name), "the name of a feature column")
        method = entry.text("method", "", choices=METHODS) if entry.has("method") else ""
        watch = FeatureWatch(
            distance=entry.number(
                "distance", None, accept=lambda x: 0 < x <= 1, expected="a number above 0, up to 1"
            ),
            method=cast("Method", method) or None,
            evaluate=entry.flag("evaluate", True),
        )
        entry.done()
        read.append((name, watch))
    return tuple(read)


def _feature(watch: FeatureWatch) -> dict[str, Any]:
    return {
        **({} if watch.distance is None else {"distance": watch.distance}),
        **({} if watch.method is None else {"method": watch.method}),
        **({} if watch.evaluate else {"evaluate": False}),
    }


def _bounds(bounds: Reader, problem: str) -> tuple[tuple[str, str, float], ...]:
    figures = [name for name in METRICS.get(problem, ()) if name not in UNBOUNDED]
    read = []
    for metric in bounds:
        entry = bounds.section(metric)
        if problem and metric not in figures:
            bounds.mistake_at(
                bounds.at(metric), shown(metric), f"a figure of {problem}: {', '.join(figures)}"
            )
        found = [(metric, operator, entry.number(operator, None)) for operator in OPERATORS]
        entry.done()
        kept = [(name, operator, bound) for name, operator, bound in found if bound is not None]
        if not kept:
            bounds.mistake(metric, "a bound: {min: 0.88} or {max: 0.2}")
        read.extend(kept)
    return tuple(read)


def _max_seconds(entry: Reader, default: int) -> int:
    if isinstance(entry.raw("max_seconds"), str):
        return entry.seconds("max_seconds", default, least=1, most=LONGEST_JOB)
    return entry.integer("max_seconds", default, least=1, most=LONGEST_JOB)


def _preprocess(entry: Reader) -> bool:
    value = entry.raw("preprocess")
    if value is None or value is False or value == "off":
        return False
    return entry.text("preprocess", "hook", choices=("hook",)) == "hook"


def _times(monitor: Monitor) -> dict[str, str]:
    return {
        "every": duration(monitor.every),
        "offset": duration(monitor.offset),
        "window": duration(monitor.window),
        "delay": duration(monitor.delay),
    }


def _check(root: Reader, read: Monitoring, watched: Watched) -> None:
    """What holds between the section and the rest."""
    if not read.monitors:
        root.mistake_at(
            "monitor", "no monitor", f"at least one of {', '.join(MONITOR_KINDS)}, or no section"
        )
        return
    if not watched.captured:
        root.mistake_at(
            "monitor",
            shown([each.kind for each in read.monitors]),
            "no value, as no requests are captured: a monitor needs release.endpoint, and its "
            "capture above 0%",
        )
    if read.monitor(BIAS) is not None and not watched.facets:
        root.mistake_at("monitor.bias", "a monitor", "no value, as there are no facets to watch")
    if read.monitor(ATTRIBUTION) is not None and not watched.explained:
        root.mistake_at(
            "monitor.attribution", "a monitor", "no value, as explain is off: it has no baseline"
        )
