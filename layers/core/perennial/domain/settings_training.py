"""The sections `train` and `jobs` of `model.yaml`: what trains, on which machines, how it is tuned.

The limits are SageMaker's: a tuning job has at most 500 trials, 10 of them at a time, 30 ranges
and 30 values a range; a training job has at most 40 metric definitions.
"""

from __future__ import annotations

import difflib
import json
import re
import warnings
from collections.abc import Mapping
from typing import Any, Literal, cast

from perennial.domain.algorithm_parameters import OBJECTIVES, PARAMETERS, Parameter
from perennial.domain.gates import METRICS, goal
from perennial.domain.settings import (
    ALGORITHMS,
    STEPS,
    JobSettings,
    Range,
    TrainSettings,
    Tuning,
)
from perennial.domain.settings_reader import Reader, duration, is_number, one_of, shown
from perennial.domain.verdict import HEADLINES

INSTANCE = r"ml\.[a-z0-9-]{2,20}\.[a-z0-9-]{2,20}"
IMAGE = re.compile(
    r"[0-9]{12}\.dkr\.ecr(-fips)?\.[a-z]{2}(-[a-z]+)+-[0-9]\.amazonaws\.com(\.cn)?"
    r"/[a-z0-9]+([._/-][a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})?"
)
METRIC_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_:-]{0,99}")
LONGEST_JOB = 5 * 86400  # the limit of a processing job
LONGEST_WAIT = 28 * 86400
MOST_TRIALS, MOST_PARALLEL, MOST_RANGES, MOST_VALUES = 500, 10, 30, 30
MOST_METRICS = 20  # of 40: the rest are our own


def read_train(train: Reader, problem: str) -> tuple[TrainSettings, JobSettings]:
    """What trains, and the machine that it trains on."""
    job = read_machine(train, JobSettings())
    algorithm = _algorithm(train)
    image = _image(train)
    metrics = _metrics(train, algorithm)
    parameters = _hyperparameters(train.section("hyperparameters"), algorithm)
    spot = train.flag("spot", False)
    read = TrainSettings(
        hyperparameters=parameters,
        validation=train.number(
            "validation", 0.1, accept=lambda x: 0 <= x <= 0.5, expected="a share, 0 to 0.5"
        ),
        seed=train.integer("seed", 0, least=0, most=2**31 - 1),
        tuning=_tuning(train, problem, dict(parameters), algorithm, dict(metrics) if image else {}),
        spot=spot,
        max_wait=_max_wait(train, spot, job.max_seconds),
        algorithm=algorithm,
        image=image,
        input=_input(train, algorithm),
        metrics=metrics,
    )
    if read.tuning and read.validation == 0:
        train.mistake(
            "validation", "more than 0: a tuning job ranks its trials by the validation rows"
        )
    if train.raw("checkpoints") not in (None, False):
        train.mistake(
            "checkpoints", "no value: checkpoints are kept by spot: true, for every spot job"
        )
    train.done()
    return read, job


def read_jobs(jobs: Reader) -> tuple[tuple[str, JobSettings], ...]:
    """The machines of the other steps; what comes after `evaluate` is like it unless said."""
    read: dict[str, JobSettings] = {}
    for step in STEPS:
        if step != "train":
            entry = jobs.section(step)
            read[step] = read_machine(entry, read.get("evaluate", JobSettings()))
            entry.done()
    if jobs.has("train"):
        jobs.mistake("train", "no value: the training job's keys stand under train")
    jobs.done()
    return tuple(read.items())


def read_machine(entry: Reader, default: JobSettings) -> JobSettings:
    """Instance, volume and time limit; the caller says when the section is done."""
    read = JobSettings(
        instance=entry.text(
            "instance",
            default.instance,
            pattern=INSTANCE,
            expected="an instance type like ml.m5.large",
        ),
        volume_gb=entry.integer("volume_gb", default.volume_gb, least=1, most=16384),
        max_seconds=_max_seconds(entry, default.max_seconds),
    )
    entry.not_built("count", "several machines a job", (1,))
    return read


def _max_seconds(entry: Reader, default: int) -> int:
    """Seconds as a whole number, or a duration like 2h."""
    if isinstance(entry.raw("max_seconds"), str):
        return entry.seconds("max_seconds", default, least=1, most=LONGEST_JOB)
    return entry.integer("max_seconds", default, least=1, most=LONGEST_JOB)


def _max_wait(train: Reader, spot: bool, max_seconds: int) -> int:
    """Waiting and training together; without a value, as long again as training may take."""
    if not spot:
        if train.raw("max_wait") not in (None, 0, "0s"):
            train.mistake("max_wait", "no value (or 0s), as spot is not true")
        return 0
    wait = train.seconds("max_wait", 2 * max_seconds, least=1, most=LONGEST_WAIT)
    if wait < max_seconds:
        train.mistake("max_wait", f"at least max_seconds, which is {duration(max_seconds)}")
    return wait


def _algorithm(train: Reader) -> str:
    if train.raw("algorithm") is None:
        return ""
    return train.text("algorithm", "", choices=ALGORITHMS)


def _image(train: Reader) -> str:
    image = train.raw("image")
    if image is None:
        return ""
    if not isinstance(image, str) or len(image) > 255 or not IMAGE.fullmatch(image):
        train.mistake(
            "image",
            "an image in ECR: <account>.dkr.ecr.<region>.amazonaws.com/<repository>"
            "[:tag or @sha256:digest]",
        )
        return ""
    if train.has("algorithm"):
        train.mistake("image", "no image, as algorithm names a built-in one; keep one of the two")
    return image


def _input(train: Reader, algorithm: str) -> Literal["csv", "libsvm"]:
    """The format of the tables that a container is given; only XGBoost reads two."""
    if train.raw("input") is None:
        return "csv"
    given = train.text("input", "csv", choices=("csv", "libsvm"))
    if given == "libsvm" and algorithm != "xgboost":
        train.mistake("input", "csv (or no value): only algorithm xgboost reads libsvm")
    return "libsvm" if given == "libsvm" else "csv"


def _metrics(train: Reader, algorithm: str) -> tuple[tuple[str, str], ...]:
    metrics = train.section("metrics")
    names = list(metrics)
    if names and algorithm:
        metrics.mistake_at(
            metrics.path, shown(names[0]), "no metrics: a built-in algorithm reports its own"
        )
    if len(names) > MOST_METRICS:
        metrics.mistake_at(metrics.path, f"{len(names)} metrics", f"at most {MOST_METRICS}")
    read = []
    for name in names:
        if not METRIC_NAME.fullmatch(name):
            metrics.mistake_at(
                metrics.at(name), shown(name), "a name of letters, digits, _, : and -"
            )
        pattern = metrics.raw(name)
        if not isinstance(pattern, str) or not 1 <= len(pattern) <= 500:
            metrics.mistake(name, r"a regular expression like 'auc=([0-9.]+)', at most 500 long")
            continue
        trouble = _regex_trouble(pattern)
        if trouble:
            metrics.mistake(name, trouble)
        read.append((name, pattern))
    return tuple(sorted(read))


def _regex_trouble(pattern: str) -> str:
    """What a pattern lacks as a metric definition; empty: nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a pattern that Python will read otherwise one day
            groups = re.compile(pattern).groups
    except (re.error, RecursionError, OverflowError) as error:
        return f"a regular expression; this one does not compile: {error}"
    return "" if groups else "one group in brackets around the number, like 'auc=([0-9.]+)'"


def _hyperparameters(parameters: Reader, algorithm: str) -> tuple[tuple[str, Any], ...]:
    known = PARAMETERS.get(algorithm, {})
    read = []
    for name in parameters:
        value = _hyperparameter(parameters, name)
        read.append((name, value))
        if known and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            parameters.mistake(name, f"a hyperparameter of {algorithm}{hint}")
        elif known and not known[name].accepts(value):
            parameters.mistake(name, f"{known[name].wanted}, as {algorithm} asks")
    return tuple(read)


def _hyperparameter(parameters: Reader, name: str) -> Any:
    value = parameters.raw(name)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,99}", name) or name.startswith("sagemaker_"):
        parameters.mistake_at(
            parameters.at(name), shown(name), "a name of letters, digits, _ and -"
        )
    if not (isinstance(value, str | bool | list) or is_number(value)):
        parameters.mistake(name, "a text, number, truth value or list")
    elif len(shown(value)) > 80 and len(str(value)) > 2000:
        parameters.mistake(name, "at most 2,000 characters; put long values into model.py")
    return value


def _tuning(
    train: Reader,
    problem: str,
    parameters: Mapping[str, Any],
    algorithm: str,
    printed: Mapping[str, str],
) -> Tuning | None:
    """The tuning job; `printed` are the metrics of an own image, which must name the objective."""
    if train.raw("tuning") in (None, False, "off"):
        return None
    tuning = train.section("tuning")
    strategy = tuning.text("strategy", "Bayesian", choices=("Bayesian", "Random"))
    jobs = tuning.integer("jobs", 10, least=1, most=MOST_TRIALS)
    parallel = tuning.integer("parallel", min(2, jobs), least=1, most=MOST_PARALLEL)
    if parallel > jobs:
        tuning.mistake("parallel", f"at most jobs, which is {jobs}")
    objective = _objective(tuning, problem, algorithm, printed, own=train.has("image"))
    read = Tuning(
        strategy="Random" if strategy == "Random" else "Bayesian",
        jobs=jobs,
        parallel=parallel,
        objective=objective,
        goal=_goal(tuning, problem, objective),
        early_stopping=tuning.flag("early_stopping", True),
        warm_start=tuning.flag("warm_start", False),
        ranges=_ranges(tuning.section("ranges"), parameters, algorithm),
    )
    tuning.done()
    return read


def _objective(
    tuning: Reader, problem: str, algorithm: str, printed: Mapping[str, str], *, own: bool
) -> str:
    """A figure of the validation rows that whatever trains will print."""
    choices: tuple[str, ...] = tuple(name for name in METRICS.get(problem, ()) if name != "rows")
    if algorithm and problem in METRICS:
        choices = tuple(OBJECTIVES[algorithm][problem])
    if own:
        choices = tuple(printed)
        if not choices:
            tuning.mistake("objective", "a name of train.metrics, which an own image must print")
            return ""
    if not choices:
        return ""  # the problem is a mistake of its own
    only = choices[0] if len(choices) == 1 else None
    default = next((name for name in HEADLINES.get(problem, ()) if name in choices), only)
    return tuning.text("objective", default, choices=choices)


def _goal(tuning: Reader, problem: str, objective: str) -> Literal["maximize", "minimize"]:
    """Follows from a figure of ours; the metric of an own image must say it."""
    known = objective in METRICS.get(problem, ())
    if not known and objective:
        given = tuning.text("goal", choices=("maximize", "minimize"))
    else:
        follows = goal(objective)
        given = follows
        if tuning.raw("goal") not in (None, follows):
            tuning.mistake("goal", f"{follows}, as {objective or 'the objective'} wants, or none")
    return "minimize" if given == "minimize" else "maximize"


def _ranges(ranges: Reader, parameters: Mapping[str, Any], algorithm: str) -> tuple[Range, ...]:
    known = PARAMETERS.get(algorithm, {})
    names = sorted(ranges)
    if not 1 <= len(names) <= MOST_RANGES:
        ranges.mistake_at(ranges.path, f"{len(names)} ranges", f"1 to {MOST_RANGES} of them")
    read = []
    for name in names:
        entry = ranges.section(name)
        if name not in parameters and name not in known:
            near = difflib.get_close_matches(name, [*parameters, *known], 1)
            hint = f"{near[0]}?" if near else _named(parameters)
            ranges.mistake_at(ranges.at(name), "no hyperparameter of that name", hint)
        read.append(_range(entry, name, parameters.get(name), known.get(name)))
        entry.done()
    return tuple(read)


def _named(parameters: Mapping[str, Any]) -> str:
    listed = one_of(list(parameters)[:10]) if parameters else "none there yet"
    return f"a name of train.hyperparameters: {listed}"


def _range(entry: Reader, name: str, value: Any, parameter: Parameter | None) -> Range:
    if entry.has("values"):
        return _category(entry, name, parameter)
    if isinstance(value, str | bool | list) and parameter is None:
        entry.mistake_at(
            entry.path, "a range of numbers", f"values: [...], as {name} is {shown(value)}"
        )
    low, high = _bound(entry, "min"), _bound(entry, "max")
    whole = float(low).is_integer() and float(high).is_integer()
    written = isinstance(entry.raw("min"), int) and isinstance(entry.raw("max"), int)
    default = "int" if written and not isinstance(value, float) else "float"
    if parameter is not None:
        default = "int" if parameter.kind == "int" else "float"
    kind = entry.text("type", default, choices=("int", "float"))
    scale = entry.text("scale", "auto", choices=("auto", "linear", "log"))
    if entry.has("min") and entry.has("max"):
        if low >= high:
            entry.mistake("min", f"less than max, which is {high:g}")
        if kind == "int" and not whole:
            entry.mistake("type", "float, as the bounds are no whole numbers")
        _check_bounds(entry, low, high, parameter)
    if scale == "log" and low <= 0:
        entry.mistake("scale", "linear or auto: a log scale needs a min above 0")
    return Range(
        name=name,
        kind="int" if kind == "int" else "float",
        low=low,
        high=high,
        scale=cast("Literal['auto', 'linear', 'log']", scale),
    )


def _bound(entry: Reader, key: str) -> float:
    if entry.raw(key) is None:
        entry.mistake(key, "a number; or values: [...] in place of min and max")
    return entry.number(key, 0.0, accept=lambda x: abs(x) <= 1e300)


def _check_bounds(entry: Reader, low: float, high: float, parameter: Parameter | None) -> None:
    """A built-in algorithm takes no value outside its own bounds."""
    if parameter is None:
        return
    for key, bound in (("min", low), ("max", high)):
        if parameter.kind == "text" or not parameter.accepts(bound):
            entry.mistake(key, parameter.wanted)


def _category(entry: Reader, name: str, parameter: Parameter | None) -> Range:
    for key in ("min", "max", "scale"):
        if entry.has(key):
            entry.mistake(key, f"no {key}, as values lists what to try")
    if entry.raw("type") not in (None, "category"):
        entry.mistake("type", "no type, as values lists what to try")
    given = entry.raw("values")
    texts = [_value_text(value) for value in given] if isinstance(given, list) else []
    if not 2 <= len(texts) <= MOST_VALUES or None in texts or len(set(texts)) < len(texts):
        entry.mistake("values", f"a list of 2 to {MOST_VALUES} different texts or numbers")
    values = tuple(text for text in texts if text is not None)
    if parameter is not None and not all(parameter.accepts(value) for value in values):
        entry.mistake("values", parameter.wanted)
    return Range(name=name, kind="category", values=values)


def _value_text(value: Any) -> str | None:
    """A value as a training job is given it; None: no such value can be given."""
    if isinstance(value, str):
        return value if 0 < len(value) <= 500 else None
    return json.dumps(value) if isinstance(value, bool) or is_number(value) else None
