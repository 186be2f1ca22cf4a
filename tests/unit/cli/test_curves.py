"""Curves as text: what they look like, and that any points can be drawn within any width."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.curves import chart, figure, picture, sparkline

RISING = [(second, 1 - math.exp(-second / 10)) for second in range(0, 61, 2)]
POINTS = st.lists(
    st.tuples(
        st.floats(allow_nan=True, allow_infinity=True),
        st.floats(allow_nan=True, allow_infinity=True),
    ),
    max_size=60,
)
NAMES = st.text(max_size=40)


def test_a_rising_curve_looks_like_one() -> None:
    """Golden: the newest figure, the axis with least and largest, a line that rises, the time."""
    assert chart("auc", RISING, 44) == [
        "auc  0.9975",
        "0.9975 ┤⠀⠀⠀⠀⠀⠀⠀⣀⣀⡠⠤⠔⠒⠒⠒⠒⠒⠒⠒⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉",
        "       ┤⠀⠀⢀⡠⠔⠊⠉⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀",
        "0.0000 ┤⡠⠊⠁⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀",
        "       └0.0 s──────────────────────────1 min",
    ]


def test_a_curve_on_one_line() -> None:
    """Golden: bars from the least to the largest, and the newest figure."""
    assert sparkline("rmse", [(i, 10.0 - i) for i in range(8)], 60) == "rmse  █▇▆▅▄▃▂▁  3.0000"


def test_a_flat_curve_lies_in_the_middle() -> None:
    """Equal values have no span to be scaled by."""
    flat = [(second, 0.5) for second in range(10)]
    head, *plot = chart("auc", flat, 40)
    assert head == "auc  0.5000"
    assert "⠤" in plot[1] or "⠒" in plot[1]
    assert sparkline("auc", flat, 60) == f"auc  {'▅' * 10}  0.5000"


def test_what_is_missing_is_not_drawn() -> None:
    """No number has no place; one point is a figure and no curve; no point is nothing."""
    assert chart("auc", [(1, math.nan), (2, 0.7)], 60) == ["auc  0.7000"]
    assert chart("auc", [(1, math.nan)], 60) == []
    assert sparkline("auc", [], 60) == ""
    assert picture([("auc", [])], 60, 10) == []


def test_charts_come_first_then_lines_then_a_count() -> None:
    """A small terminal names the metrics that it has no room to draw."""
    curves = [(name, RISING) for name in ("auc", "f1", "recall")]
    assert [line.split(" ")[0] for line in picture(curves, 44, 7) if line[0].isalpha()] == [
        "auc",
        "f1",
        "recall",
    ]
    assert len(picture(curves, 44, 15)) == 15
    assert picture(curves, 44, 2)[1] == "and 2 more metrics"
    assert picture(curves, 44, 0) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0.0000"),
        (0.91234, "0.9123"),
        (-12.5, "-12.5000"),
        (1234.5, "1,234"),
        (4.2e-7, "4.2e-07"),
        (3.14159e9, "3.142e+09"),
    ],
)
def test_figures_are_short(value: float, words: str) -> None:
    """Four digits that matter, whatever the size."""
    assert figure(value) == words


@given(NAMES, POINTS, st.integers(0, 200), st.integers(1, 6))
def test_any_points_are_drawn_within_the_width(
    name: str, points: list[tuple[float, float]], width: int, rows: int
) -> None:
    """Whatever a job prints, no line is wider than asked for and nothing is raised."""
    lines = chart(name, points, width, rows)
    assert all(len(line) <= width for line in lines)
    assert len(lines) in {0, 1, rows + 2}
    assert len(sparkline(name, points, width)) <= width


@given(st.lists(st.tuples(NAMES, POINTS), max_size=8), st.integers(0, 120), st.integers(0, 40))
def test_a_picture_keeps_within_its_room(
    curves: list[tuple[str, list[tuple[float, float]]]], width: int, height: int
) -> None:
    """The live area never grows beyond the terminal, which would make it flicker."""
    lines = picture(curves, width, height)
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)


def test_points_as_far_apart_as_numbers_go_are_drawn() -> None:
    """The distance between two finite numbers may be infinite; there is a chart nevertheless."""
    far = [(-1.7e308, -1.7e308), (1.7e308, 1.7e308)]
    assert len(chart("loss", far, 40)) == 5
    assert sparkline("loss", far, 40).startswith("loss  ▁█")
