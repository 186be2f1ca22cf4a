"""Pictures of a model card: small charts as inline SVG, without scripts and without outside files.

Colours come from the page's style by class, so that the same picture serves light, dark and
paper; series differ by dash as well as by colour. The only numbers in a picture are the ticks of
its axes: figures stand in the table beside it, where a reader can take and check them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from unicodedata import east_asian_width

from perennial.domain.text import printable

WIDTH, HEIGHT = 480, 320
LEFT, RIGHT, TOP, BOTTOM = 60, 16, 34, 46
ROW = 24
ROWS_TOP = 10
# Without a legend, nothing stands in the upper margin: so much of it is cut off.
NO_LEGEND = 20
LABEL_WIDTH = 172
LONGEST_LABEL = 22  # of Latin letters; a wide one counts twice
# What is beyond cannot be told apart in a picture, and spans of it would overflow.
LARGEST = 1e100
STYLES = ("a", "b", "c", "d")


@dataclass(frozen=True)
class Caption:
    """What a picture shows: `key` makes its ids unique on the page, `description` is for ears."""

    key: str
    title: str
    description: str


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high` with a label; `unit` scales nothing, it is only told."""

    label: str
    low: float
    high: float

    def share(self, value: float) -> float:
        """Where a value lies between the two ends, from 0 to 1; beyond an end, at the end."""
        span = self.high - self.low
        return 0.5 if span <= 0 else min(1.0, max(0.0, (value - self.low) / span))


@dataclass(frozen=True)
class Series:
    """Points that a line joins; a point that lacks a number breaks the line."""

    name: str
    points: Sequence[tuple[float | None, float | None]]


@dataclass(frozen=True)
class Span:
    """A figure with its interval, None where there is none."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


def axis_of(label: str, values: Iterable[float | None], *, zero: bool = False) -> Axis:
    """An axis that holds all values, and zero if asked, with a little room at its ends."""
    known = [max(-LARGEST, min(LARGEST, value)) for value in values if value is not None]
    if zero:
        known.append(0.0)
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    room = (high - low) * 0.05 or abs(high) * 0.05 or 0.5
    return Axis(
        label,
        low if zero and low == 0 else low - room,
        high if zero and high == 0 else high + room,
    )


def ticks(axis: Axis, most: int = 5) -> list[float]:
    """Round numbers within the axis, about `most` of them."""
    span = axis.high - axis.low
    if span <= 0 or not math.isfinite(span):
        return [axis.low]
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= raw * 0.999)
    first = math.ceil(axis.low / step - 1e-9)
    last = math.floor(axis.high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def tick_text(value: float) -> str:
    """A tick's number, short: `0.25`, `1,000`, `2M`."""
    size = abs(value)
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= unit:
            factor = 1e3 if name == "k" else unit
            return f"{value / factor:.4g}{name}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.4g}"


def lines(
    caption: Caption, series: Sequence[Series], across: Axis, up: Axis, *, diagonal: bool = False
) -> str:
    """Lines over two axes; `diagonal` draws the line from corner to corner, as a yardstick."""
    parts = [_grid(across, up)]
    if diagonal:
        start, end = (
            _place(across, up, across.low, up.low),
            _place(across, up, across.high, up.high),
        )
        parts.append(
            f'<line class="yardstick" x1="{start[0]}" y1="{start[1]}" x2="{end[0]}" y2="{end[1]}"/>'
        )
    for style, each in zip(STYLES, series, strict=False):
        for stretch in _stretches(each.points):
            places = [_place(across, up, x, y) for x, y in stretch]
            if len(places) == 1:
                x, y = places[0]
                parts.append(f'<circle class="dot {style}" cx="{x}" cy="{y}" r="3"/>')
            else:
                path = " ".join(f"{x},{y}" for x, y in places)
                parts.append(f'<polyline class="line {style}" points="{path}"/>')
    if len(series) > 1:
        parts.append(_legend([each.name for each in series[: len(STYLES)]]))
    return _svg(caption, HEIGHT, parts, cut=0 if len(series) > 1 else NO_LEGEND)


def dots(caption: Caption, points: Sequence[tuple[float, float]], across: Axis, up: Axis) -> str:
    """A joined line with a dot at each point, and the diagonal as a yardstick."""
    drawn = lines(caption, [Series("", points)], across, up, diagonal=True)
    marks = "".join(
        f'<circle class="dot a" cx="{x}" cy="{y}" r="3.5"/>'
        for x, y in (_place(across, up, *point) for point in points)
    )
    return drawn.replace("</svg>", f"{marks}</svg>")


def columns(
    caption: Caption, bins: Sequence[tuple[float, float, float]], across: str, up: str
) -> str:
    """A histogram of bins (from, to, height)."""
    horizontal = Axis(across, min(each[0] for each in bins), max(each[1] for each in bins))
    vertical = Axis(up, 0.0, max(each[2] for each in bins) * 1.05 or 1.0)
    parts = [_grid(horizontal, vertical)]
    for low, high, height in bins:
        x, y = _place(horizontal, vertical, low, height)
        end, floor = _place(horizontal, vertical, high, 0.0)
        width = max(0.5, round(end - x - 1, 1))
        tall = round(floor - y, 1)
        parts.append(f'<rect class="bar" x="{x}" y="{y}" width="{width}" height="{tall}"/>')
    return _svg(caption, HEIGHT, parts, cut=NO_LEGEND)


def bars(caption: Caption, entries: Sequence[tuple[str, float]], label: str) -> str:
    """Horizontal bars from zero, one a name."""
    axis = axis_of(label, [value for _, value in entries], zero=True)
    parts = [_rows_grid(axis, len(entries))]
    zero = _along(axis, 0.0)
    for i, (name, value) in enumerate(entries):
        middle = ROWS_TOP + ROW * (i + 0.5)
        x, end = sorted((zero, _along(axis, value)))
        width = max(0.5, round(end - x, 1))
        parts.append(_name(name, middle))
        parts.append(f'<rect class="bar" x="{x}" y="{middle - 7:g}" width="{width}" height="14"/>')
    parts.append(_upright("zero", zero, len(entries)))
    return _svg(caption, _rows_height(len(entries)), parts)


def spans(
    caption: Caption, entries: Sequence[Span], label: str, *, marks: Sequence[float] = ()
) -> str:
    """A dot with its interval, one a name; upright lines at zero and at each of `marks`."""
    known = [each for entry in entries for each in (entry.value, entry.low, entry.high)]
    axis = axis_of(label, [*known, *marks, 0.0])
    parts = [_rows_grid(axis, len(entries)), _upright("zero", _along(axis, 0.0), len(entries))]
    parts += [_upright("mark", _along(axis, each), len(entries)) for each in marks if each]
    for i, entry in enumerate(entries):
        middle = ROWS_TOP + ROW * (i + 0.5)
        parts.append(_name(entry.name, middle))
        if entry.low is not None and entry.high is not None:
            low, high = _along(axis, entry.low), _along(axis, entry.high)
            parts.append(
                f'<path class="interval" d="M{low} {middle:g}H{high}'
                f'M{low} {middle - 5:g}v10M{high} {middle - 5:g}v10"/>'
            )
        x = _along(axis, entry.value)
        parts.append(f'<circle class="dot a" cx="{x}" cy="{middle:g}" r="4"/>')
    return _svg(caption, _rows_height(len(entries)), parts)


def _svg(caption: Caption, height: float, parts: Sequence[str], *, cut: float = 0) -> str:
    title, description = f"{caption.key}-title", f"{caption.key}-description"
    return (
        f'<svg role="img" viewBox="0 {cut:g} {WIDTH} {height - cut:g}" '
        f'aria-labelledby="{title} {description}">'
        f'<title id="{title}">{_text(caption.title)}</title>'
        f'<desc id="{description}">{_text(caption.description)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _text(text: str) -> str:
    return escape(printable(text))


def _place(across: Axis, up: Axis, x: float, y: float) -> tuple[float, float]:
    return (
        round(LEFT + across.share(x) * (WIDTH - LEFT - RIGHT), 1),
        round(HEIGHT - BOTTOM - up.share(y) * (HEIGHT - TOP - BOTTOM), 1),
    )


def _stretches(
    points: Sequence[tuple[float | None, float | None]],
) -> list[list[tuple[float, float]]]:
    found: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if x is None or y is None:
            found.append([])
        else:
            found[-1].append((x, y))
    return [stretch for stretch in found if stretch]


def _grid(across: Axis, up: Axis) -> str:
    parts = []
    floor, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in ticks(up):
        _, y = _place(across, up, across.low, value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{right}" y2="{y}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 6}" y="{y + 4:g}" text-anchor="end">'
            f"{tick_text(value)}</text>"
        )
    for value in ticks(across):
        x, _ = _place(across, up, value, up.low)
        parts.append(f'<line class="grid" x1="{x}" y1="{TOP}" x2="{x}" y2="{floor}"/>')
        parts.append(
            f'<text class="tick" x="{x}" y="{floor + 16}" text-anchor="middle">'
            f"{tick_text(value)}</text>"
        )
    middle, height = (LEFT + right) / 2, (TOP + floor) / 2
    parts.append(
        f'<text class="label" x="{middle:g}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{_text(across.label)}</text>"
        f'<text class="label" transform="translate(14 {height:g}) rotate(-90)" '
        f'text-anchor="middle">{_text(up.label)}</text>'
    )
    return "".join(parts)


def _legend(names: Sequence[str]) -> str:
    """Names with a piece of their line, above the picture."""
    room = (WIDTH - LEFT - RIGHT) / len(names)
    parts = []
    for i, (style, name) in enumerate(zip(STYLES, names, strict=False)):
        x = LEFT + room * i
        parts.append(
            f'<line class="line {style}" x1="{x:g}" y1="16" x2="{x + 22:g}" y2="16"/>'
            f'<text class="label" x="{x + 28:g}" y="20">{_text(_cut(name))}</text>'
        )
    return "".join(parts)


def _cut(name: str) -> str:
    """A name that fits beside a picture; names of wide letters (Han, Hangul) are half as long."""
    plain = printable(name)
    room = LONGEST_LABEL
    for place, letter in enumerate(plain):
        room -= 2 if east_asian_width(letter) in "WF" else 1
        if room < 0:
            return plain[: max(place - 1, 1)] + "…"
    return plain


def _along(axis: Axis, value: float) -> float:
    return round(LABEL_WIDTH + axis.share(value) * (WIDTH - LABEL_WIDTH - RIGHT), 1)


def _rows_height(count: int) -> float:
    return ROWS_TOP + ROW * count + BOTTOM


def _rows_grid(axis: Axis, count: int) -> str:
    floor = ROWS_TOP + ROW * count
    parts = []
    for value in ticks(axis):
        x = _along(axis, value)
        parts.append(f'<line class="grid" x1="{x}" y1="{ROWS_TOP}" x2="{x}" y2="{floor}"/>')
        parts.append(
            f'<text class="tick" x="{x}" y="{floor + 16}" text-anchor="middle">'
            f"{tick_text(value)}</text>"
        )
    middle = (LABEL_WIDTH + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="label" x="{middle:g}" y="{floor + 38}" text-anchor="middle">'
        f"{_text(axis.label)}</text>"
    )
    return "".join(parts)


def _upright(style: str, x: float, count: int) -> str:
    floor = ROWS_TOP + ROW * count
    return f'<line class="{style}" x1="{x}" y1="{ROWS_TOP - 4}" x2="{x}" y2="{floor}"/>'


def _name(name: str, middle: float) -> str:
    return (
        f'<text class="name" x="{LABEL_WIDTH - 8}" y="{middle + 4:g}" text-anchor="end">'
        f"{_text(_cut(name))}</text>"
    )
