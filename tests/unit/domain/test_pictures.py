"""Pictures: whatever the figures, a drawing within its frame, with round ticks."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.pictures import (
    HEIGHT,
    WIDTH,
    Axis,
    Caption,
    Series,
    Span,
    axis_of,
    bars,
    columns,
    lines,
    spans,
    tick_text,
    ticks,
)

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(max_size=40)
CAPTION = Caption("one", "A <title>", "What & why")
ATTRIBUTES = {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height", "points", "d"}


def check(picture: str) -> None:
    """The picture is well-formed XML, and all of it lies within its frame."""
    root = ElementTree.fromstring(picture)
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    for element in root.iter():
        for name in ATTRIBUTES & set(element.attrib):
            for text in re.findall(r"[^\s,A-Za-z]+", element.attrib[name]):
                value = float(text)
                assert -1 <= value <= max(left + width, top + height) + 1, (name, text)
    assert root.findtext("title") == "A <title>"


@given(st.lists(NUMBERS, max_size=5), st.booleans())
def test_ticks_are_few_and_within_the_axis(values: list[float], zero: bool) -> None:
    """Between one and a dozen, in order."""
    axis = axis_of("x", values, zero=zero)
    found = ticks(axis)
    slack = (axis.high - axis.low) * 1e-6
    assert 1 <= len(found) <= 12
    assert found == sorted(found)
    assert all(axis.low - slack <= each <= axis.high + slack for each in found)


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [(0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (-8, 12, [-5, 0, 5, 10]), (0, 0, [0])],
)
def test_ticks_are_round(low: float, high: float, found: list[float]) -> None:
    """Ones, twos, fives and their like."""
    assert ticks(Axis("x", low, high)) == found


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.25, "0.25"), (1000, "1,000"), (25_000, "25k"), (2e6, "2M"), (-3e9, "-3G"), (0.0, "0")],
)
def test_tick_texts_are_short(value: float, text: str) -> None:
    """Large numbers by their unit."""
    assert tick_text(value) == text


@given(
    st.lists(st.tuples(st.none() | NUMBERS, st.none() | NUMBERS), max_size=6),
    st.lists(st.tuples(NAMES, NUMBERS), max_size=6),
)
def test_lines_and_bars_stay_in_their_frame(
    points: list[tuple[float | None, float | None]], entries: list[tuple[str, float]]
) -> None:
    """Any finite figures; a point that lacks one breaks the line."""
    across = axis_of("x", [x for x, _ in points])
    up = axis_of("y", [y for _, y in points])
    check(lines(CAPTION, [Series("a", points), Series("<b>", points)], across, up, diagonal=True))
    check(bars(CAPTION, entries, "size"))


@given(st.lists(st.tuples(NAMES, NUMBERS, NUMBERS, NUMBERS), max_size=5), NUMBERS)
def test_intervals_stay_in_their_frame(
    entries: list[tuple[str, float, float, float]], mark: float
) -> None:
    """A dot with its ends, and upright lines."""
    check(spans(CAPTION, [Span(*entry) for entry in entries], "difference", marks=(mark,)))


@given(
    st.lists(NUMBERS, min_size=2, max_size=6, unique=True),
    st.lists(st.integers(0, 10**12), min_size=5, max_size=5),
)
def test_histograms_stay_in_their_frame(edges: list[float], counts: list[int]) -> None:
    """Bins from the first edge to the last."""
    edges = sorted(edges)
    bins = [(a, b, float(n)) for a, b, n in zip(edges, edges[1:], counts, strict=False)]
    check(columns(CAPTION, bins, "residual", "rows"))


def test_long_and_wide_names_are_cut() -> None:
    """Latin letters at twenty-two, Han letters at half of it."""
    picture = bars(CAPTION, [("a" * 50, 1.0), ("国" * 50, 2.0), ("short", 3.0)], "size")
    names = re.findall(r'class="name"[^>]*>([^<]*)<', picture)
    assert names == ["a" * 21 + "…", "国" * 10 + "…", "short"]
    assert (WIDTH, HEIGHT) == (480, 320)
