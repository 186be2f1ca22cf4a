"""The report page of a model's monitors: what each saw last, and how it went over time.

One HTML file without scripts and without anything from elsewhere, made like the model card
(card.py): pictures are inline SVG, each with a table of its numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

from perennial.domain import pictures
from perennial.domain.card import POLICY
from perennial.domain.card_style import STYLE
from perennial.domain.page import View, figure, listed, plain, section, table
from perennial.domain.pictures import Caption, Series, Span
from perennial.domain.settings_monitor import ATTRIBUTION, BIAS, DATA_QUALITY, MODEL_QUALITY
from perennial.domain.text import printable

TITLES = {
    DATA_QUALITY: "Data quality",
    MODEL_QUALITY: "Model quality",
    BIAS: "Bias",
    ATTRIBUTION: "Attributions",
}
#: Features with the farthest drift are drawn; all of them stand in the table.
MOST_PICTURES = 12
MOST_BARS = 20
#: Names of more would not fit above the picture.
MOST_LINES = 3
HOUR_MS = 3_600_000


def drift_page(document: Mapping[str, Any]) -> str:
    """The page of a document as `perennial.read_drift` makes it."""
    view = View(document)
    title = f"{plain(document['model'])}: what its monitors see"
    body = _head(view) + "".join(_monitor(each) for each in view["monitors"].entries())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def _head(view: View) -> str:
    alarms = [each["kind"].value for each in view["monitors"].entries() if _sounds(each)]
    badge = f"{len(alarms)} in ALARM" if alarms else "no alarm"
    tone = "fail" if alarms else "pass"
    version = view["version"].text() if view["version"] else "none"
    return (
        f'<header><h1>{view["model"].text()}<span class="badge {tone}">{badge}</span></h1>'
        f'<p class="note">live version {version} · stack {view["stack"].text()} · '
        f"{_time(view['at_ms'].value)}</p></header>"
    )


def _sounds(monitor: View) -> bool:
    return bool(monitor["alarm"].value == "ALARM")


def _monitor(monitor: View) -> str:
    kind, report = str(monitor["kind"].value), monitor["report"]
    if not report:
        state = monitor["alarm"].text()
        text = f'<p class="note">no window with anything to see yet (alarm {state})</p>'
        return section(TITLES[kind], text)
    window = report["window"]
    labelled = (
        f", {report['labelled_rows'].number()} labelled" if report["labelled_rows"].value else ""
    )
    tone = "fail" if _sounds(monitor) else "pass"
    head = (
        f"<p>version {report['model_version'].number()}, {_time(window['start_ms'].value)}"
        f" to {_time(window['end_ms'].value)}: "
        f"{report['rows'].number()} rows{labelled} · alarm "
        f'<span class="word {tone}">{monitor["alarm"].text()}</span></p>'
    )
    broken = listed([each["words"].text() for each in report["violations"].entries()])
    notes = [f'<p class="note">{each.text()}</p>' for each in report["notes"].entries()]
    draw = {
        DATA_QUALITY: _data_quality,
        MODEL_QUALITY: _model_quality,
        BIAS: _bias,
        ATTRIBUTION: _attribution,
    }[kind]
    return section(TITLES[kind], head, broken, draw(monitor), *notes)


def _data_quality(monitor: View) -> str:
    features = sorted(
        monitor["report"]["figures"].items(),
        key=lambda pair: -(pair[1]["distance"].value or 0),
    )
    rows = [
        [
            plain(name),
            each["distance"].number(),
            each["bound"].number(),
            each["missing"]["now"].number(),
            each["missing"]["baseline"].number(),
            '<span class="word fail">drifted</span>' if each["fires"].value else "as before",
        ]
        for name, each in features
    ]
    heads = ["feature", "distance", "bound", "missing now", "missing then", ""]
    drawn = [
        _distribution(i, name, each) for i, (name, each) in enumerate(features[:MOST_PICTURES])
    ]
    prefix = "feature_baseline_drift_"
    over = _over_time(monitor, "drift-over-time", "Drift over time", "distance", prefix)
    grid = f'<div class="grid">{over}{"".join(drawn)}</div>'
    return grid + table(heads, rows, caption="Each feature beside its baseline")


def _distribution(number: int, name: str, feature: View) -> str:
    """A feature's shares in the window and in the baseline."""
    now, then = feature["now"].value, feature["baseline"].value
    if not isinstance(now, Sequence) or not isinstance(then, Sequence) or not now:
        return ""
    bounds, texts = feature["bounds"].value, feature["texts"].value
    if isinstance(bounds, Sequence):
        names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(bounds)]
        picture = _curves(number, name, bounds, now, then)
    else:
        names = [str(text) for text in texts or ()]
        picture = _pairs(number, name, names, now, then)
    numbers = table(
        [plain(name), "now", "baseline"],
        [
            [plain(each), feature["now"][i].number(), feature["baseline"][i].number()]
            for i, each in enumerate(names[:MOST_BARS])
        ],
    )
    return figure(printable(name), picture, numbers)


def _curves(
    number: int, name: str, bounds: Sequence[float], now: Sequence[float], then: Sequence[float]
) -> str:
    """The shares of a number's buckets, now and in the baseline."""
    caption = Caption(f"feature-{number}", name, f"Shares of {name} now and in the baseline.")
    middles = [(low + high) / 2 for low, high in pairwise(bounds)]
    series = [
        Series("now", list(zip(middles, now, strict=False))),
        Series("baseline", list(zip(middles, then, strict=False))),
    ]
    up = pictures.axis_of("share of rows", [*now, *then], zero=True)
    return pictures.lines(caption, series, pictures.axis_of(name, bounds), up)


def _pairs(
    number: int, name: str, names: Sequence[str], now: Sequence[float], then: Sequence[float]
) -> str:
    """The shares of a text's main values: a dot for now, and a line from the baseline to it."""
    words = f"Shares of the main values of {name}: the dot is now, its line begins at the baseline."
    spans = [
        Span(text, here, min(here, there), max(here, there))
        for text, here, there in zip(names, now, then, strict=False)
    ]
    label = "share (dot: now, line: from the baseline)"
    return pictures.spans(Caption(f"feature-{number}", name, words), spans[:MOST_BARS], label)


def _model_quality(monitor: View) -> str:
    figures = list(monitor["report"]["figures"].items())
    rows = [
        [
            plain(name),
            each["now"].number(),
            each["baseline"].number(),
            f"{_operator(each)} {each['bound'].number()}"
            if each["bound"].value is not None
            else "-",
            '<span class="word fail">broken</span>' if each["fires"].value else "",
        ]
        for name, each in figures
    ]
    drawn = []
    for i, (name, each) in enumerate(figures):
        if each["bound"].value is not None:
            drawn.append(
                _over_time(
                    monitor, f"quality-{i}", f"{name} over time", name, name, each["bound"].value
                )
            )
    heads = ["figure", "now", "baseline", "bound", ""]
    return f'<div class="grid">{"".join(drawn[:MOST_PICTURES])}</div>' + table(heads, rows)


def _operator(each: View) -> str:
    return "at most" if "Greater" in str(each["operator"].value) else "at least"


def _bias(monitor: View) -> str:
    figures = list(monitor["report"]["figures"].items())
    spans = [
        _span(name, each) for name, each in figures if isinstance(each["now"].value, int | float)
    ]
    rows = [
        [
            plain(name),
            each["now"].number(),
            _interval(each["interval"]),
            each["baseline"].number(),
            _interval(each["baseline_interval"]),
            '<span class="word fail">apart</span>' if each["fires"].value else "",
        ]
        for name, each in figures
    ]
    caption = Caption("bias", "Bias", "Each metric with its interval, 0 is fair.")
    heads = ["metric", "now", "interval", "baseline", "interval", ""]
    drawn = figure(
        "Each facet's metrics in the window, with intervals",
        pictures.spans(caption, spans[:MOST_BARS], "metric"),
        table(["metric", "now"], [row[:2] for row in rows[:MOST_BARS]]),
    )
    return (drawn if spans else "") + table(heads, rows)


def _span(name: str, each: View) -> Span:
    ends = [end for end in each["interval"].value or [] if isinstance(end, int | float)]
    low, high = (ends[0], ends[1]) if len(ends) == 2 else (None, None)
    return Span(name, float(each["now"].value), low, high)


def _interval(ends: View) -> str:
    return f"{ends[0].number()} to {ends[1].number()}" if len(ends.value or []) == 2 else "-"


def _attribution(monitor: View) -> str:
    parts = []
    for i, (label, features) in enumerate(monitor["report"]["figures"].items()):
        ordered = sorted(features.items(), key=lambda pair: -(pair[1]["now"].value or 0))
        for j, when in enumerate(("now", "baseline")):
            entries = [(name, float(each[when].value or 0)) for name, each in ordered[:MOST_BARS]]
            caption = Caption(f"gain-{i}-{j}", when, f"What {label} rests on: {when}.")
            numbers = table(
                ["feature", when],
                [[plain(name), each[when].number()] for name, each in ordered[:MOST_BARS]],
            )
            title = f"{label}: what answers rest on, {when}"
            parts.append(
                figure(printable(title), pictures.bars(caption, entries, "mean |value|"), numbers)
            )
    over = _over_time(monitor, "ndcg", "nDCG over time", "nDCG", "ndcg")
    return f'<div class="grid">{over}{"".join(parts)}</div>'


def _over_time(  # noqa: PLR0913, PLR0917  # each is told apart
    monitor: View, key: str, title: str, label: str, prefix: str, bound: float | None = None
) -> str:
    """Figures of the windows, in hours before the newest one, with their bound if there is one."""
    windows = [each.value for each in monitor["windows"].entries()]
    if not windows:
        return ""
    newest = windows[-1]["end_ms"]
    names = _names(windows, prefix)
    series = [
        Series(
            name.removeprefix(prefix).split("[")[0] or label,
            [((each["end_ms"] - newest) / HOUR_MS, each["figures"].get(name)) for each in windows],
        )
        for name in names
    ]
    if not series:
        return ""
    hours = [(each["end_ms"] - newest) / HOUR_MS for each in windows]
    if bound is not None:
        series.append(Series("bound", [(hours[0], bound), (hours[-1], bound)]))
    values = [y for each in series for _, y in each.points]
    known = [value for value in values if value is not None and math.isfinite(value)]
    caption = Caption(key, title, f"{title}, in hours before the newest window.")
    across = pictures.axis_of("hours before the newest window", hours)
    picture = pictures.lines(caption, series, across, pictures.axis_of(label, known))
    rows = [
        [_time(each["end_ms"]), *(plain(_text(each["figures"].get(name))) for name in names)]
        for each in windows[-MOST_BARS:]
    ]
    heads = ["window to", *(plain(name.removeprefix(prefix) or label) for name in names)]
    return figure(printable(title), picture, table(heads, rows))


def _names(windows: Sequence[Mapping[str, Any]], prefix: str) -> list[str]:
    """The figures to draw: the one of that name, else those with the highest values."""
    highest: dict[str, float] = {}
    for each in windows:
        for name, value in each["figures"].items():
            plain_name = name.split("[")[0]
            if plain_name == prefix or (prefix.endswith("_") and plain_name.startswith(prefix)):
                highest[name] = max(value, highest.get(name, value))
    most = MOST_LINES if prefix.endswith("_") else 1
    return sorted(highest, key=lambda name: -highest[name])[:most]


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _time(moment_ms: Any) -> str:
    if not isinstance(moment_ms, int):
        return "-"
    moment = datetime.fromtimestamp(moment_ms / 1000, tz=timezone.utc)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
