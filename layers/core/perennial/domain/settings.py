"""The settings of a model: `model.yaml`, validated whole, as frozen values.

`parse_settings` reads a parsed YAML document and names every mistake at once; `Settings.to_json`
writes the same form with every default spelled out, so `from_json` is the same reading again.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from perennial.domain.gates import Gate
from perennial.domain.schema import Column
from perennial.domain.settings_monitor import Monitoring
from perennial.domain.settings_reader import Mistake
from perennial.domain.sources import LANDED

VERSION = 1
PROBLEMS = ("binary", "multiclass", "regression")
FORMATS = ("csv", "jsonlines", "parquet")
STEPS = (
    "check_data",
    "train",
    "evaluate",
    "evaluate_champion",
    "compare",
    "measure_bias",
    "explain",
    "baseline",
)
ALGORITHMS = ("xgboost", "linear-learner")
REUSE = 7 * 86400

# What a single run may be given with `retrain --set`: everything else would have no effect on
# it (triggers), or make its figures incomparable with the champion's (label, columns, holdout).
RUN_OVERRIDES = (
    "train.",
    "jobs.",
    "gates.",
    "bias.",
    "explain.",
    "reuse",
    "data.max_bad_rows",
    "data.min_rows",
)


class SettingsInvalid(ValueError):
    """A `model.yaml` with mistakes: `mistakes` holds all of them, the message lists them."""

    def __init__(self, project: str, mistakes: list[Mistake], file: str = "model.yaml") -> None:
        self.project = project
        self.file = file
        self.mistakes = tuple(mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        lines = [f"{file} of {project}: {count}", *(f"  {mistake}" for mistake in mistakes)]
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Facet:
    """A column whose groups are judged apart; a numeric one is cut at `edges` (right open)."""

    column: str
    edges: tuple[float, ...] = ()

    def groups(self) -> tuple[str, ...]:
        """The names of a numeric facet's groups, for example `<25`, `25-45`, `>=45`."""
        texts = [f"{edge:g}" for edge in self.edges]
        inner = [f"{low}-{high}" for low, high in pairwise(texts)]
        return (f"<{texts[0]}", *inner, f">={texts[-1]}") if texts else ()


@dataclass(frozen=True)
class Window:
    """The data window: which objects of the model a run may learn from.

    `all`; `days`: what landed within `seconds` before the run opened; `rows`: the newest `rows`
    rows; `since_drift`: what landed since the drift that the run answers was first seen.
    """

    kind: Literal["all", "days", "rows", "since_drift"] = "all"
    seconds: int = 0
    rows: int = 0


@dataclass(frozen=True)
class DataSettings:
    """What the model's data look like and which objects belong to it."""

    columns: tuple[Column, ...]
    format: str = "csv"
    header: bool = True
    delimiter: str = ","
    missing: tuple[str, ...] = ("",)
    select: tuple[str, ...] = ("*",)
    max_bad_rows: int = 0
    identity: tuple[str, ...] = ()
    min_rows: int = 1
    holdout: float = 0.2
    window: Window = Window()
    sources: tuple[tuple[str, float], ...] = ((LANDED, 1.0),)

    def column(self, name: str) -> Column:
        """The column of that name; raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True)
class JobSettings:
    """The machine of one job and its time limit in seconds."""

    instance: str = "ml.m5.large"
    volume_gb: int = 30
    max_seconds: int = 3600
    count: int = 1


@dataclass(frozen=True)
class Range:
    """What a tuning job may try for one hyperparameter: `low` to `high`, or one of `values`.

    `values` are texts as the training job is given them (`true`, `0.1`, `gini`).
    """

    name: str
    kind: Literal["int", "float", "category"]
    low: float = 0
    high: float = 0
    scale: Literal["auto", "linear", "log"] = "auto"
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tuning:
    """The search for hyperparameters: `jobs` trials, `parallel` at a time.

    Trials are ranked by `objective`, a figure of the validation rows; `goal` follows from it.
    """

    objective: str
    goal: Literal["maximize", "minimize"]
    ranges: tuple[Range, ...]
    strategy: Literal["Bayesian", "Random"] = "Bayesian"
    jobs: int = 10
    parallel: int = 2
    early_stopping: bool = True
    warm_start: bool = False


@dataclass(frozen=True)
class TrainSettings:
    """What `train` in model.py is given. `validation` is the share of the training rows.

    `max_wait` is in seconds and 0 without `spot`. At most one of `algorithm` (a built-in) and
    `image` (an ECR URI) is set; without both the project's model.py trains. `input` is the format
    of the tables that those two are given. `metrics` are (name, regular expression) of figures
    that the training log prints.
    """

    hyperparameters: tuple[tuple[str, Any], ...] = ()
    validation: float = 0.1
    seed: int = 0
    tuning: Tuning | None = None
    spot: bool = False
    max_wait: int = 0
    algorithm: str = ""
    image: str = ""
    input: Literal["csv", "libsvm"] = "csv"
    metrics: tuple[tuple[str, str], ...] = ()

    def parameters(self) -> dict[str, Any]:
        """The hyperparameters as model.py gets them; a copy."""
        return copy.deepcopy(dict(self.hyperparameters))


@dataclass(frozen=True)
class Comparison:
    """The gate `champion`: how a candidate's `metric` is compared with the champion's.

    The candidate may be worse by `margin`; `significance` is the share of pairs of equal models
    that pass at margin 0; `windows` (by landing time, equal counts) are shown, not judged.
    """

    metric: str
    margin: float = 0.0
    significance: float = 0.05
    windows: int = 5
    draws: int = 10_000


@dataclass(frozen=True)
class BiasSettings:
    """How bias is measured: `group` is the column that the conditional metrics split by.

    `methods` are Clarify's short names, or `all`. The favourable outcome is `Settings.positive`
    for a binary label, some classes (`positive`; none: the last one) of several, and what lies
    above a `threshold` (None: the median) of a number.
    """

    group: str = ""
    methods: tuple[str, ...] = ("all",)
    provider: Literal["perennial", "sagemaker"] = "perennial"
    positive: tuple[str, ...] = ()
    threshold: float | None = None


@dataclass(frozen=True)
class ExplainSettings:
    """How many holdout rows are explained, drawn with `seed`; `enabled` False: none."""

    rows: int = 2000
    seed: int = 0
    enabled: bool = True


@dataclass(frozen=True)
class Scaling:
    """Between how many instances an endpoint has as its load asks for; cooldowns in seconds.

    `invocations_per_instance` is how many requests a minute each instance shall get.
    """

    min: int
    max: int
    invocations_per_instance: float
    in_cooldown: int = 300
    out_cooldown: int = 300


@dataclass(frozen=True)
class Endpoint:
    """The endpoint that serves the model; `capture` is the share of requests that is recorded.

    Without `scaling` one of instances has `count` of them, else it begins with as many. A
    serverless one has `memory_mb` for each of up to `concurrency` requests at once. The machines
    of a multi-model one are the stack's, for all of its models.
    """

    kind: Literal["instances", "serverless", "multi-model"] = "instances"
    instance: str = "ml.m5.large"
    count: int = 2
    capture: float = 1.0
    scaling: Scaling | None = None
    memory_mb: int = 2048
    concurrency: int = 5


@dataclass(frozen=True)
class Guard:
    """The alarms on a new fleet: any of them rolls its release back. None: not watched.

    `errors` is the share of requests answered with 5xx, `latency_p99` is in milliseconds,
    `period` in seconds. An alarm goes off after `evaluations` bad periods in a row.
    """

    errors: float | None = 0.01
    latency_p99: float | None = 500.0
    period: int = 60
    evaluations: int = 2


@dataclass(frozen=True)
class SmokeTest:
    """What a version must show on its staging endpoint. None: not judged.

    `rows` of its holdout and up to `requests` captured ones are sent; `latency_p99` is in
    milliseconds, `memory` a share.
    """

    rows: int = 200
    requests: int = 50
    latency_p99: float | None = 500.0
    memory: float | None = 0.8


@dataclass(frozen=True)
class Release:
    """Who approves a version that kept its gates, and how it reaches production.

    Without an `endpoint` an approved version is recorded as champion at once, and nothing below
    it counts. `production`: whether an approved version goes to production by itself, or waits
    for a person after its smoke test. `share` is the canary's share of the fleet, or that of each
    step of `linear`; `bake` is how long, in seconds, each step is watched.
    """

    approval: Literal["person", "policy"] = "person"
    approve_code_changes: bool = False
    endpoint: Endpoint | None = None
    production: Literal["approved", "person"] = "approved"
    strategy: Literal["canary", "linear", "all-at-once"] = "canary"
    share: float = 0.5
    bake: int = 600
    guard: Guard = Guard()
    smoke_test: SmokeTest = SmokeTest()


@dataclass(frozen=True)
class Triggers:
    """When signals become runs; durations in seconds. `schedules` are (name, expression)."""

    quiet_period: int = 300
    max_wait: int = 3600
    cool_down: int = 3600
    max_runs_per_day: int = 24
    schedules: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Settings:
    """One validated `model.yaml`.

    `gates` are the absolute bounds; `comparison` is None with `gates: {champion: off}`;
    `producer_share` is the largest share of rows that one producer may have, None for any.
    `reuse` is how old, in seconds, a finished step may be to be taken again; 0 for never.
    """

    project: str
    problem: str
    label: str
    data: DataSettings
    positive: str = ""
    facets: tuple[Facet, ...] = ()
    train: TrainSettings = TrainSettings()
    jobs: tuple[tuple[str, JobSettings], ...] = ()
    gates: tuple[Gate, ...] = ()
    comparison: Comparison | None = None
    compatible_schema: bool = True
    producer_share: float | None = None
    bias: BiasSettings = BiasSettings()
    explain: ExplainSettings = ExplainSettings()
    reuse: int = REUSE
    release: Release = Release()
    monitor: Monitoring = field(default_factory=Monitoring)
    triggers: Triggers = Triggers()
    tags: tuple[tuple[str, str], ...] = ()

    def job(self, step: str) -> JobSettings:
        """The machine of one of `STEPS`; raises KeyError."""
        return dict(self.jobs)[step]

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns without the label, in order."""
        return tuple(column for column in self.data.columns if column.name != self.label)

    def to_json(self) -> dict[str, Any]:
        """The settings as a document that `parse_settings` reads back to equal settings."""
        # The writers of the sections need this module's types, so they are imported here.
        from perennial.domain.settings_document import write_settings  # noqa: PLC0415

        return write_settings(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any], *, project: str) -> Settings:
        """Read what `to_json` wrote; raises `SettingsInvalid` as `parse_settings` does."""
        return parse_settings(document, project=project)


def parse_settings(document: Any, *, project: str, file: str = "model.yaml") -> Settings:
    """Validate a parsed `model.yaml`; raises `SettingsInvalid` with every mistake in it.

    `project` is the model's name (its folder); `file` is how messages call the document.
    """
    # The readers of the sections need this module's types, so they are imported here.
    from perennial.domain.settings_sections import read_settings  # noqa: PLC0415

    mistakes: list[Mistake] = []
    settings = read_settings(document, project, mistakes)
    if mistakes:
        raise SettingsInvalid(project, mistakes, file)
    return settings


def apply_overrides(
    settings: Settings,
    overrides: Mapping[str, Any],
    *,
    scope: Literal["run", "push"] = "run",
) -> Settings:
    """The settings with some keys replaced, validated again as a whole.

    `overrides` maps key paths (`train.hyperparameters.num_leaves`) to values; a text is read as
    JSON when it is JSON (`63`, `true`, `[1,2]`), else as text. `scope` is "run" for
    `retrain --set`, which may only touch what one run can answer for, or "push" for any key.
    Raises `SettingsInvalid`.
    """
    document = settings.to_json()
    columns = {column.name: column.to_json() for column in settings.data.columns}
    document["data"]["columns"] = columns
    mistakes: list[Mistake] = []
    for path, given in sorted(overrides.items()):
        if scope == "run" and not path.startswith(RUN_OVERRIDES):
            mistakes.append(
                Mistake(path, "a key that one run cannot change", f"one of {_patterns()}")
            )
            continue
        _replace(document, path, _read_value(given), mistakes)
    if mistakes:
        raise SettingsInvalid(settings.project, mistakes, "--set")
    return parse_settings(document, project=settings.project, file="model.yaml with --set")


def _patterns() -> str:
    return ", ".join(f"{key}*" if key.endswith(".") else key for key in RUN_OVERRIDES)


def _read_value(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        return given


def _replace(document: dict[str, Any], path: str, value: Any, mistakes: list[Mistake]) -> None:
    *parents, last = path.split(".")
    place = document
    for key in parents:
        following = place.setdefault(key, {})
        if not isinstance(following, dict):
            mistakes.append(Mistake(path, f"{key}, which holds no keys", "a path of keys"))
            return
        place = following
    if not last or not all(parents):
        mistakes.append(Mistake(path, "an empty key", "a path like train.hyperparameters.eta"))
        return
    place[last] = value
