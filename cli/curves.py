"""Curves as text: a small chart of braille dots with the figures of its axes, and one-line ones.

Pure drawing: points in, lines of plain text out, none wider than asked for. A braille character
holds two by four dots (Unicode, block U+2800).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

from cli.output import duration
from cli.terminal import visible

Points = Sequence[tuple[float, float]]

DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # by column and row of one character
BLANK = 0x2800
BARS = "▁▂▃▄▅▆▇█"
LEAST_PLOT = 8  # characters; a narrower chart shows nothing
LARGEST = 1e100  # spans of more would overflow


def figure(value: float) -> str:
    """A figure in few characters: '0.9123', '1,234', '1.2e+06'."""
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"


def drawable(points: Points) -> list[tuple[float, float]]:
    """The points that have a place in a chart, in the order of time."""
    return sorted(
        (x, max(-LARGEST, min(LARGEST, y)))
        for x, y in points
        if math.isfinite(x) and math.isfinite(y)
    )


def chart(name: str, points: Points, width: int, rows: int = 3) -> list[str]:
    """A metric as a head, `rows` of braille dots between its least and its largest, and its time.

    x is in seconds. One point is told in words; without room for a chart there is the head only.
    """
    known = drawable(points)
    if not known:
        return []
    low, high = min(y for _, y in known), max(y for _, y in known)
    head = f"{visible(name)}  {figure(known[-1][1])}"
    labels = [figure(high), *[""] * (rows - 2), figure(low)] if rows > 1 else [figure(high)]
    margin = max(len(label) for label in labels)
    plot = width - margin - 2
    if len(known) < 2 or plot < LEAST_PLOT:
        return [head[: max(0, width)]]
    dots = _dots(known, plot, rows, low, high)
    lines = [f"{label:>{margin}} ┤{row}" for label, row in zip(labels, dots, strict=True)]
    return [line[:width] for line in (head, *lines, _time_axis(known, margin, plot))]


def _time_axis(known: Points, margin: int, plot: int) -> str:
    first, last = duration(known[0][0]), duration(known[-1][0])
    room = plot - len(first) - len(last)
    return f"{'':>{margin}} └{first}{'─' * room}{last}" if room > 0 else f"{'':>{margin}} └{last}"


def _dots(known: Points, width: int, rows: int, low: float, high: float) -> list[str]:
    """The rows of a chart, a line drawn from point to point."""
    cells = [[0] * width for _ in range(rows)]
    begin, end = known[0][0], known[-1][0]

    def place(x: float, y: float) -> tuple[int, int]:
        across, up = _share(x, begin, end, alone=0.0), _share(y, low, high, alone=0.5)
        return round(across * (2 * width - 1)), round((1 - up) * (4 * rows - 1))

    spots = [place(x, y) for x, y in known]
    for column, row in _joined(spots):
        cells[row // 4][column // 2] |= DOTS[column % 2][row % 4]
    return ["".join(chr(BLANK + cell) for cell in line) for line in cells]


def _share(value: float, low: float, high: float, *, alone: float) -> float:
    """How far a value lies on the way from `low` to `high`; `alone` where there is no way.

    Halved first: the distance of two finite numbers need not be finite.
    """
    span = high / 2 - low / 2
    return alone if span <= 0 else (value / 2 - low / 2) / span


def _joined(spots: Sequence[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    """Every dot on the way from each spot to the next one."""
    yield spots[0]
    for (x0, y0), (x1, y1) in itertools.pairwise(spots):
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(1, steps + 1):
            yield x0 + round((x1 - x0) * step / steps), y0 + round((y1 - y0) * step / steps)


def sparkline(name: str, points: Points, width: int) -> str:
    """A metric on one line: its name, bars (the mean of what each stands for), its newest value."""
    known = drawable(points)
    if not known:
        return ""
    shown, newest = visible(name), figure(known[-1][1])
    room = width - len(shown) - len(newest) - 4
    values = [y for _, y in known]
    if len(values) < 2 or room < LEAST_PLOT:
        return f"{shown}  {newest}"[: max(0, width)]
    bars = min(room, len(values), 40)
    means = [
        _mean(values[i * len(values) // bars : (i + 1) * len(values) // bars]) for i in range(bars)
    ]
    low, high = min(means), max(means)
    heights = [_share(mean, low, high, alone=0.5) for mean in means]
    drawn = "".join(BARS[min(len(BARS) - 1, int(height * len(BARS)))] for height in heights)
    return f"{shown}  {drawn}  {newest}"


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def picture(curves: Sequence[tuple[str, Points]], width: int, height: int) -> list[str]:
    """All curves in at most `height` lines: charts while there is room, then a line each.

    What has no room at all is counted in the last line.
    """
    shown = [(name, points) for name, points in curves if drawable(points)]
    lines: list[str] = []
    for place, (name, points) in enumerate(shown):
        left, others = height - len(lines), len(shown) - place - 1
        drawn = chart(name, points, width)
        if len(drawn) + others > left:
            drawn = [sparkline(name, points, width)]
        if left == 1 and others:
            return [*lines, f"and {others + 1} more metrics"[: max(0, width)]]
        if left < 1:
            return lines
        lines += drawn
    return lines
