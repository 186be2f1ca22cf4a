"""The sections of `model.yaml`, each read by one function; mistakes go to the reader's list."""

from __future__ import annotations

import difflib
import re
from itertools import pairwise
from typing import Any

from perennial.domain.naming import is_model_name, is_schedule_name
from perennial.domain.schema import NUMERIC, TYPES, BadValue, Column
from perennial.domain.settings import (
    FORMATS,
    PROBLEMS,
    REUSE,
    VERSION,
    DataSettings,
    ExplainSettings,
    Facet,
    Release,
    Settings,
    Triggers,
    Window,
)
from perennial.domain.settings_algorithm import check_trainer
from perennial.domain.settings_judgement import Judged, read_bias, read_explain, read_gates
from perennial.domain.settings_managed import check_managed
from perennial.domain.settings_monitor import (
    PROVIDERS,
    Monitoring,
    Provider,
    Watched,
    read_monitor,
)
from perennial.domain.settings_reader import (
    Mistake,
    Reader,
    is_number,
    one_of,
    parse_duration,
    shown,
)
from perennial.domain.settings_release import read_release
from perennial.domain.settings_training import read_jobs, read_train
from perennial.domain.sources import LANDED, SOURCES

COLUMN_NAME = r"[^\x00-\x1f]{1,100}"
RESERVED_PREFIX = "__"
RATE = re.compile(r"rate\((1 (minute|hour|day)|[1-9][0-9]{0,4} (minutes|hours|days))\)")
CRON = re.compile(r"cron\([^\s()]+( [^\s()]+){5}\)")
TAG_KEY = re.compile(r"[\w .:/=+@-]{1,128}")
TAG_VALUE = re.compile(r"[\w .:/=+@-]{0,256}")
WEEK = 7 * 86400
YEAR = 365 * 86400

LATER = {
    "review": "reviews",
    "network": "per-model networks; until then the main stack's VpcSubnetIds holds for all",
    "key": "per-model keys; until then the main stack's KmsKeyArn holds for all",
}


def read_settings(document: Any, project: str, mistakes: list[Mistake]) -> Settings:
    """Read the whole document; what is returned only counts when no mistake was added."""
    root = Reader(document, "", mistakes)
    if not is_model_name(project):
        root.mistake_at(
            "the project's folder",
            shown(project),
            "a letter, then up to 19 characters a-z, 0-9 and inner -",
        )
    root.integer("version", VERSION, least=VERSION, most=VERSION)
    root.text("project", project, choices=(project,))
    problem = root.text("problem", choices=PROBLEMS)
    label = root.text("label", expected="the name of the column to predict")
    data = _data(root.section("data"))
    facets = _facets(root, data)
    providers = root.section("providers")
    bias = read_bias(root.section("bias"), providers, data, facets, label)
    columns = {column.name: column for column in data.columns}
    judgement = read_gates(root.section("gates"), Judged(problem, facets, columns, bias))
    train, machine = read_train(root.section("train"), problem)
    settings = Settings(
        project=project,
        problem=problem,
        label=label,
        positive=root.text("positive", "", expected="the level of the label that counts as hit"),
        facets=facets,
        data=data,
        train=train,
        jobs=(*read_jobs(root.section("jobs")), ("train", machine)),
        gates=judgement.gates,
        comparison=judgement.comparison,
        compatible_schema=judgement.compatible_schema,
        producer_share=judgement.producer_share,
        bias=bias,
        explain=(explain := read_explain(root)),
        reuse=root.seconds("reuse", REUSE, least=0, most=YEAR),
        release=(release := read_release(root.section("release"))),
        monitor=_monitor(root, providers, (data, facets, explain, release)),
        triggers=_triggers(root.section("triggers")),
        tags=_tags(root.section("tags")),
    )
    for key, comes_with in LATER.items():
        root.not_built(key, comes_with, ({}, []))
    _providers(providers)
    root.done()
    _check_label(root, settings)
    _check_image(root, settings)
    check_trainer(root, settings)
    return settings


def _data(data: Reader) -> DataSettings:
    columns = _columns(data)
    delimiter = data.text("delimiter", ",", expected="one character", pattern=r'[^"\r\n\x00]')
    identity = data.names("identity")
    for name in identity:
        if name not in {column.name for column in columns}:
            data.mistake_at(data.at("identity"), shown(name), "names of columns")
    settings = DataSettings(
        columns=columns,
        format=data.text("format", "csv", choices=FORMATS),
        header=data.flag("header", True),
        delimiter=delimiter,
        missing=_missing(data),
        select=_select(data),
        max_bad_rows=data.integer("max_bad_rows", 0, least=0, most=1_000_000_000),
        identity=identity,
        min_rows=data.integer("min_rows", 1, least=1, most=1_000_000_000),
        holdout=data.number(
            "holdout", 0.2, accept=lambda x: 0.01 <= x <= 0.9, expected="a share, 0.01 to 0.9"
        ),
        window=_window(data),
        sources=_sources(data),
    )
    data.done()
    return settings


def _window(data: Reader) -> Window:
    value = data.raw("window")
    if value is None or value == "all":
        return Window()
    if value == "since_drift":
        return Window("since_drift")
    if isinstance(value, dict):
        window = data.section("window")
        if window.raw("rows") is None:
            window.mistake("rows", "how many of the newest rows, like {rows: 100000}")
        rows = window.integer("rows", 1, least=1, most=1_000_000_000)
        window.done()
        return Window("rows", rows=rows)
    seconds = parse_duration(value) if isinstance(value, str) else None
    if seconds is None or not 1 <= seconds <= 10 * YEAR:
        data.mistake("window", "all, since_drift, a duration like 30d, or {rows: 100000}")
        return Window()
    return Window("days", seconds=seconds)


def _sources(data: Reader) -> tuple[tuple[str, float], ...]:
    """The sources with their weights, in one order; a list gives each the weight 1."""
    value = data.raw("sources")
    if value is None:
        return ((LANDED, 1.0),)
    if not isinstance(value, dict):
        value = dict.fromkeys(data.names("sources", (LANDED,)), 1)
    sources = Reader(value, data.at("sources"), data.mistakes)
    weights = {}
    for name in sources:
        if name not in SOURCES:
            near = difflib.get_close_matches(name, SOURCES, 1)
            hint = f"{near[0]}?" if near else one_of(SOURCES)
            sources.mistake_at(sources.at(name), "no source of labelled rows", hint)
        elif sources.raw(name) is None:
            sources.mistake(name, "a weight, like 1")
        weights[name] = sources.number(
            name, 1.0, accept=lambda x: 0 <= x <= 1e6, expected="a weight of at least 0, like 1"
        )
    if not any(weights.values()):
        data.mistake("sources", "at least one source with a weight above 0")
    return tuple((name, weights[name]) for name in SOURCES if name in weights)


def _missing(data: Reader) -> tuple[str, ...]:
    value = data.raw("missing")
    if value is None:
        return ("",)
    entries = [value] if isinstance(value, str) else value
    if isinstance(entries, list) and all(isinstance(entry, str) for entry in entries):
        return tuple(dict.fromkeys(["", *(entry.strip() for entry in entries)]))
    data.mistake("missing", 'a list of texts that mean "no value"; quote each')
    return ("",)


def _select(data: Reader) -> tuple[str, ...]:
    patterns = data.names("select", ("*",))
    if not patterns or any(pattern.startswith(("/", "incoming/")) for pattern in patterns):
        data.mistake("select", "key patterns below incoming/<model>/, like *.csv or 2026/*.gz")
        return ("*",)
    return patterns


def _columns(data: Reader) -> tuple[Column, ...]:
    """The columns, as `model.yaml` writes them (by name) or as the ledger keeps them (a list)."""
    value = data.raw("columns")
    if isinstance(value, list):
        names = [entry.get("name") if isinstance(entry, dict) else None for entry in value]
        if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
            data.mistake("columns", "columns with a name each, none of them twice")
            return ()
        value = {
            entry["name"]: {key: part for key, part in entry.items() if key != "name"}
            for entry in value
        }
    columns = Reader(value, data.at("columns"), data.mistakes)
    read = []
    for name in columns:
        entry = columns.raw(name)
        shorthand = {"type": entry} if isinstance(entry, str) else entry
        if not re.fullmatch(COLUMN_NAME, name) or name.startswith(RESERVED_PREFIX):
            columns.mistake_at(
                columns.at(name),
                shown(name),
                "a column name of at most 100 characters, not beginning __",
            )
        read.append(_column(name, Reader(shorthand, columns.at(name), columns.mistakes)))
    if len(read) < 2:
        columns.mistake_at(
            columns.path, f"{len(read)} columns", "at least two: a label and a feature"
        )
    return tuple(read)


def _column(name: str, entry: Reader) -> Column:
    kind = entry.text("type", choices=TYPES)
    levels = entry.names("levels")
    column = Column(
        name=name,
        type=kind or "string",
        required=entry.flag("required", True),
        minimum=entry.number("min", None),
        maximum=entry.number("max", None),
        levels=levels,
        open=entry.flag("open", False),
        aliases=_aliases(entry, levels),
    )
    entry.done()
    if kind and kind not in NUMERIC:
        for key in ("min", "max"):
            if entry.has(key):
                entry.mistake(key, f"no {key}: only int and float columns have one")
    else:
        _check_bounds(entry, column.minimum, column.maximum)
    if kind and kind != "category":
        for key in ("levels", "open", "aliases"):
            if entry.has(key):
                entry.mistake(key, f"no {key}: only category columns have them")
    elif kind and entry.raw("levels") in (None, []) and not column.open:
        entry.mistake("levels", "the list of levels, or open: true")
    return column


def _check_bounds(entry: Reader, low: float | None, high: float | None) -> None:
    if low is not None and high is not None and low > high:
        entry.mistake("min", f"at most max, which is {high:g}")


def _aliases(entry: Reader, levels: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    aliases = entry.section("aliases")
    return tuple(
        (spelling, aliases.text(spelling, choices=levels or ("a level",))) for spelling in aliases
    )


def _facets(root: Reader, data: DataSettings) -> tuple[Facet, ...]:
    value = root.raw("facets")
    if value is None:
        return ()
    short = isinstance(value, list | str)
    entries = dict.fromkeys(root.names("facets")) if short else value
    facets = Reader(entries, "facets", root.mistakes)
    columns = {column.name: column for column in data.columns}
    read = []
    for name in facets:
        entry = facets.section(name)
        edges = _edges(entry)
        entry.done()
        column = columns.get(name)
        if column is None or column.name == root.raw("label"):
            facets.mistake_at(facets.at(name), shown(name), "the name of a feature column")
        elif column.numeric and not edges and not entry.has("edges"):
            entry.mistake("edges", "the bounds that cut a numeric facet into groups, like [25, 45]")
        elif not column.numeric and edges:
            entry.mistake("edges", f"no edges: {name} is no number")
        elif column.type not in ("category", "bool") and not column.numeric:
            facets.mistake_at(facets.at(name), column.type, "a category, bool or numeric column")
        read.append(Facet(name, edges))
    return tuple(read)


def _edges(entry: Reader) -> tuple[float, ...]:
    value = entry.raw("edges")
    if value is None:
        return ()
    if (
        isinstance(value, list)
        and value
        and all(is_number(edge) for edge in value)
        and all(low < high for low, high in pairwise(value))
    ):
        return tuple(float(edge) for edge in value)
    entry.mistake("edges", "numbers, each larger than the one before")
    return ()


def _triggers(triggers: Reader) -> Triggers:
    default = Triggers()
    read = Triggers(
        quiet_period=triggers.seconds("quiet_period", default.quiet_period, least=0, most=WEEK),
        max_wait=triggers.seconds("max_wait", default.max_wait, least=0, most=WEEK),
        cool_down=triggers.seconds("cool_down", default.cool_down, least=0, most=WEEK),
        max_runs_per_day=triggers.integer(
            "max_runs_per_day", default.max_runs_per_day, least=1, most=1440
        ),
        schedules=_schedules(triggers.section("schedules")),
    )
    if read.max_wait < read.quiet_period:
        triggers.mistake("max_wait", f"at least quiet_period, which is {read.quiet_period}s")
    triggers.done()
    return read


def _schedules(schedules: Reader) -> tuple[tuple[str, str], ...]:
    read = []
    for name in schedules:
        if not is_schedule_name(name):
            schedules.mistake_at(
                schedules.at(name), shown(name), "a name of 1 to 32 characters a-z, 0-9 and inner -"
            )
        expression = schedules.raw(name)
        if isinstance(expression, str) and (
            RATE.fullmatch(expression) or CRON.fullmatch(expression)
        ):
            read.append((name, expression))
        else:
            schedules.mistake(name, "rate(1 day) or a cron of six fields: cron(0 3 * * ? *)")
    return tuple(read)


def _tags(tags: Reader) -> tuple[tuple[str, str], ...]:
    read = []
    for key in tags:
        value = tags.raw(key)
        if key.lower().startswith(("aws:", "perennial:")) or not TAG_KEY.fullmatch(key):
            tags.mistake_at(tags.at(key), shown(key), "a tag key; aws: and perennial: are taken")
        elif isinstance(value, str) and TAG_VALUE.fullmatch(value):
            read.append((key, value))
        else:
            tags.mistake(key, "a tag value: text of at most 256 letters, digits and .:/=+@-")
    if len(read) > 40:
        tags.mistake_at("tags", f"{len(read)} tags", "at most 40")
    return tuple(read)


def _monitor(
    root: Reader,
    providers: Reader,
    rest: tuple[DataSettings, tuple[Facet, ...], ExplainSettings, Release],
) -> Monitoring:
    data, facets, explain, release = rest
    endpoint = release.endpoint
    watched = Watched(
        problem=str(root.raw("problem") or ""),
        features=[each.name for each in data.columns if each.name != root.raw("label")],
        facets=[each.column for each in facets],
        explained=explain.enabled,
        captured=endpoint is not None and endpoint.capture > 0,
    )
    asked = providers.text("monitor", "perennial", choices=PROVIDERS)
    provider: Provider = "sagemaker" if asked == "sagemaker" else "perennial"
    read = read_monitor(root, watched, provider)
    check_managed(root, read, endpoint.kind if endpoint is not None else "")
    return read


def _providers(providers: Reader) -> None:
    providers.not_built("review", "reviews", ("perennial",))
    providers.done()


def _check_image(root: Reader, settings: Settings) -> None:
    """A tag can be moved to other code, which a policy that wants a person for code cannot see."""
    release = settings.release
    unattended = release.approval == "policy" and not release.approve_code_changes
    if settings.train.image and unattended and "@sha256:" not in settings.train.image:
        root.mistake_at(
            "train.image",
            shown(settings.train.image),
            "the image by its digest (@sha256:...), as release.approval is policy and changes of "
            "code need a person",
        )


def _check_label(root: Reader, settings: Settings) -> None:
    """What holds between problem, label and columns."""
    columns = {column.name: column for column in settings.data.columns}
    label = columns.get(settings.label)
    if label is None:
        if settings.label:
            root.mistake("label", f"a column of data.columns: {', '.join(columns) or 'none'}")
        return
    path = f"data.columns.{label.name}"
    if not label.required:
        root.mistake_at(f"{path}.required", "false", "true: a row without label teaches nothing")
    if settings.label in settings.data.identity:
        root.mistake_at("data.identity", settings.label, "columns without the label")
    if settings.problem == "regression":
        if not label.numeric:
            root.mistake_at(f"{path}.type", label.type, "int or float, as problem is regression")
    elif settings.problem and (label.type != "category" or label.open or len(label.levels) < 2):
        root.mistake_at(
            path,
            shown(label.to_json()),
            f"a category with its levels listed, as problem is {settings.problem}",
        )
    elif settings.problem == "binary" and len(label.levels) != 2:
        root.mistake_at(f"{path}.levels", f"{len(label.levels)} levels", "two, as it is binary")
    _check_positive(root, settings, label)


def _check_positive(root: Reader, settings: Settings, label: Column) -> None:
    if settings.problem != "binary":
        if settings.positive and settings.problem in PROBLEMS:
            root.mistake("positive", "no such key: only binary problems have one")
        return
    try:
        if settings.positive == label.check(settings.positive):
            return
    except BadValue:
        pass
    root.mistake("positive", f"one of the label's levels: {', '.join(label.levels)}")
