"""The quantile sketch: bounded in memory and in error, mergeable, in Model Monitor's layout."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.engine.sketch import Array, KllSketch

BATCHES = st.lists(
    st.lists(st.floats(-1e9, 1e9) | st.integers(-3, 3).map(float), max_size=200),
    max_size=8,
)


def _sketch(batches: list[list[float]], k: int = 8) -> KllSketch:
    sketch = KllSketch(k=k)
    for batch in batches:
        sketch.update(np.array(batch))
    return sketch


def _worst(sketch: KllSketch, numbers: Array) -> float:
    """The largest difference between a true rank and the sketch's, at every number."""
    ordered = np.sort(numbers)
    true = np.searchsorted(ordered, ordered, side="right")
    return float(np.abs(sketch.rank(ordered) - true).max(initial=0))


@given(BATCHES)
def test_no_rank_is_further_off_than_the_stated_error(batches: list[list[float]]) -> None:
    """The bound is certain, whatever the coins say; the weights sum to the count."""
    sketch = _sketch(batches)
    numbers = np.array([value for batch in batches for value in batch])
    assert sketch.count == sketch.points()[1].sum() == len(numbers)
    assert _worst(sketch, numbers) <= sketch.error
    if len(numbers):
        assert (sketch.minimum, sketch.maximum) == (numbers.min(), numbers.max())


@given(BATCHES, BATCHES)
def test_merged_sketches_keep_the_bound(one: list[list[float]], two: list[list[float]]) -> None:
    """Parts of a dataset can be seen by different processes."""
    sketch = _sketch(one)
    sketch.merge(_sketch(two))
    numbers = np.array([value for batch in [*one, *two] for value in batch])
    assert sketch.count == len(numbers)
    assert _worst(sketch, numbers) <= sketch.error


@given(BATCHES)
def test_memory_does_not_grow_with_the_numbers(batches: list[list[float]]) -> None:
    """After every update the sketch is within its capacity: k / (1 - c) and two a level."""
    sketch = KllSketch(k=8)
    for batch in batches:
        sketch.update(np.array(batch))
        levels = len(sketch.to_json()["data"])
        assert sketch.size <= sketch.capacity() <= 8 / (1 - 0.64) + 3 * levels


@given(BATCHES)
def test_a_sketch_is_read_back(batches: list[list[float]]) -> None:
    """Through JSON text, with the same ranks and a bound that still holds."""
    sketch = _sketch(batches)
    again = KllSketch.from_json(json.loads(json.dumps(sketch.to_json())))
    numbers = np.array([value for batch in batches for value in batch])
    assert again.count == sketch.count
    assert np.array_equal(again.rank(numbers), sketch.rank(numbers))
    assert _worst(again, numbers) <= again.error


@given(BATCHES)
def test_buckets_hold_every_number_once(batches: list[list[float]]) -> None:
    """Ten of them from the smallest to the largest number; one value fills the last."""
    sketch = _sketch(batches)
    buckets = sketch.buckets()
    assert sum(bucket["count"] for bucket in buckets) == sketch.count
    assert all(bucket["count"] >= 0 for bucket in buckets)
    if buckets:
        assert len(buckets) == 10
        assert buckets[0]["lower_bound"] == sketch.minimum
        assert buckets[-1]["upper_bound"] == sketch.maximum


@pytest.mark.parametrize("order", ["random", "rising", "falling", "one big batch", "ties"])
def test_a_million_numbers_are_ranked_within_a_thousandth(order: str) -> None:
    """At Model Monitor's k of 2,048: a typical rank error below 0.1 %, and within five standard
    deviations of the stated one."""
    random = np.random.default_rng(1)
    numbers = random.normal(size=1_000_000)
    if order in ("rising", "falling"):
        numbers = np.sort(numbers)[:: 1 if order == "rising" else -1]
    if order == "ties":
        numbers = np.round(numbers, 1)
    sketch = KllSketch()
    for batch in np.array_split(numbers, 1 if order == "one big batch" else 20):
        sketch.update(batch)
    worst = _worst(sketch, numbers)
    assert worst <= 5 * sketch.deviation
    assert worst < 1000
    assert sketch.size < 2048 / (1 - 0.64) + 60
    middle = sketch.quantile(np.array([0.0, 0.5, 1.0]))
    assert middle[0] == numbers.min()
    assert abs(middle[1]) < 0.11
    assert middle[2] == numbers.max()


def test_few_numbers_are_kept_exactly() -> None:
    """Below k nothing is thrown away, so every rank is right."""
    numbers = np.random.default_rng(2).normal(size=2000)
    sketch = KllSketch()
    sketch.update(numbers)
    assert sketch.error == 0
    assert sketch.size == 2000
    assert _worst(sketch, numbers) == 0


def test_the_layout_is_model_monitors() -> None:
    """Parameters c and k as fractions, and a list of levels."""
    sketch = KllSketch()
    sketch.update(np.array([3, 1, 2]))
    assert sketch.to_json() == {
        "parameters": {"c": 0.64, "k": 2048.0},
        "data": [[1.0, 2.0, 3.0]],
    }


def test_equal_input_gives_an_equal_sketch() -> None:
    """A step that runs twice writes the same bytes."""
    numbers = np.random.default_rng(3).normal(size=50_000)
    one, two = KllSketch(), KllSketch()
    one.update(numbers)
    two.update(numbers)
    assert one.to_json() == two.to_json()


@pytest.mark.parametrize(
    "document",
    [{}, {"parameters": {"k": 8, "c": 0.64}, "data": [["x"]]}, {"parameters": 1, "data": []},
     {"parameters": {"k": 8, "c": 0.64}, "data": [[[1.0]]]}],
)  # fmt: skip
def test_other_documents_are_refused(document: dict[str, object]) -> None:
    """A broken baseline fails by name and is not taken for an empty one."""
    with pytest.raises(ValueError, match="no KLL sketch"):
        KllSketch.from_json(document)


def test_sketches_of_other_parameters_do_not_merge() -> None:
    """Their levels mean different things."""
    with pytest.raises(ValueError, match="do not merge"):
        KllSketch(k=8).merge(KllSketch(k=16))
    with pytest.raises(ValueError, match="no quantiles"):
        KllSketch().quantile(np.array([0.5]))
