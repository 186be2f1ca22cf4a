"""A tuning job's ranges, its search over them, and when it stops a training job or itself."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.sagemaker.early_stopping import PEERS, MedianRule
from local.sagemaker.errors import SageMakerError
from local.sagemaker.measurements import SINGLE, condensed
from local.sagemaker.ranges import Range, read_ranges
from local.sagemaker.search import Search
from local.sagemaker.tuning_rules import is_enough

VALUES = st.floats(-1e6, 1e6)
CURVES = st.lists(st.lists(VALUES, min_size=1, max_size=8), max_size=6)


def entry(name: str, low: str, high: str, scale: str | None = None) -> dict[str, Any]:
    """One range as a request has it."""
    return {
        "Name": name,
        "MinValue": low,
        "MaxValue": high,
        **({"ScalingType": scale} if scale else {}),
    }


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 50),
    st.integers(0, 5000),
    st.floats(1e-6, 0.5),
    st.sampled_from(["Linear", "Logarithmic", "ReverseLogarithmic", "Auto"]),
    st.sampled_from(["Bayesian", "Random"]),
)
def test_suggestions_stay_in_their_ranges(
    low: int, width: int, start: float, scale: str, strategy: str
) -> None:
    """Whatever the scale, each value is a text that lies in its range and is read back."""
    ranges = read_ranges(
        {
            "IntegerParameterRanges": [entry("depth", str(low), str(low + width))],
            "ContinuousParameterRanges": [entry("rate", repr(start), "0.999", scale)],
            "CategoricalParameterRanges": [{"Name": "kind", "Values": ["a", "b"]}],
        }
    )
    search = Search(ranges, strategy, maximize=True, jobs=6, seed=low)
    for value in range(5):
        number, chosen = search.suggest()
        assert low <= int(chosen["depth"]) <= low + width
        assert start <= float(chosen["rate"]) <= 0.999
        assert chosen["kind"] in ("a", "b")
        for found in ranges:
            assert found.text(found.parsed(chosen[found.name])) == chosen[found.name]
        search.tell(number, None if value == 2 else float(value))


def test_auto_chooses_the_logarithm_for_orders_of_magnitude() -> None:
    """Two orders are wide; a range from zero never is."""
    scales = {
        found.name: found.scale
        for found in read_ranges(
            {
                "ContinuousParameterRanges": [
                    entry("wide", "0.0001", "0.1"),
                    entry("narrow", "0.1", "0.5", "Auto"),
                    entry("zero", "0", "100"),
                ]
            }
        )
    }
    assert scales == {"wide": "Logarithmic", "narrow": "Linear", "zero": "Linear"}


def test_a_reverse_logarithm_looks_near_one() -> None:
    """Half of the values of 0 to 0.9999 lie above 0.99."""
    ranges = [Range("x", "Continuous", 0.0, 0.9999, "ReverseLogarithmic")]
    search = Search(ranges, "Random", maximize=True, jobs=400, seed=1)
    values = [float(search.suggest()[1]["x"]) for _ in range(400)]
    assert 140 < sum(value > 0.99 for value in values) < 260


def test_the_bayesian_search_finds_better_places_than_chance() -> None:
    """Over ten seeds, two at a time, with the same number of jobs."""
    ranges = [
        Range("x", "Continuous", 0.0001, 1.0, "Logarithmic"),
        Range("y", "Continuous", 0.0, 1.0),
    ]

    def best(strategy: str, seed: int) -> float:
        search = Search(ranges, strategy, maximize=False, jobs=40, seed=seed)
        found = math.inf
        for _ in range(20):
            for number, chosen in [search.suggest(), search.suggest()]:
                loss = abs(math.log10(float(chosen["x"])) + 2) + abs(float(chosen["y"]) - 0.3)
                search.tell(number, loss)
                found = min(found, loss)
        return found

    bayesian = sum(best("Bayesian", seed) for seed in range(10))
    assert bayesian < 0.7 * sum(best("Random", seed) for seed in range(10))


def test_the_same_seed_makes_the_same_search() -> None:
    """RandomSeed repeats a search whose results are the same."""
    ranges = [Range("x", "Integer", 1, 1000, "Logarithmic")]

    def path() -> list[dict[str, str]]:
        search = Search(ranges, "Bayesian", maximize=True, jobs=9, seed=5)
        found = []
        for _ in range(9):
            number, chosen = search.suggest()
            search.tell(number, -float(chosen["x"]))
            found.append(chosen)
        return found

    assert path() == path()


def test_a_search_learns_and_begins_only_inside_its_ranges() -> None:
    """What a parent tried outside the new ranges, or without a value, is left out."""
    ranges = [Range("x", "Integer", 1, 10), Range("kind", "Categorical", values=("a", "b"))]
    search = Search(ranges, "Bayesian", maximize=True, jobs=3, seed=0)
    assert search.observe({"x": "3", "kind": "a", "other": "z"}, 0.5)
    assert search.observe({"x": '"3"', "kind": "b"}, 0.5)  # static until now, in JSON
    assert not search.observe({"x": "11", "kind": "a"}, 0.5)
    assert not search.observe({"x": "3", "kind": "c"}, 0.5)
    assert not search.begin_with({"x": "3"})
    assert not search.begin_with({"x": "many", "kind": "a"})
    assert search.begin_with({"x": "7", "kind": "b"})
    assert search.suggest()[1] == {"x": "7", "kind": "b"}


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ({"AutoParameters": [{"Name": "x", "ValueHint": "1"}]}, "Autotune"),
        ({"IntegerParameterRanges": [entry("x", "1", "2"), entry("x", "1", "2")]}, "unique"),
        ({"IntegerParameterRanges": [entry("x", "1.5", "2")]}, "not an integer"),
        ({"IntegerParameterRanges": [entry("x", "0", "1", "ReverseLogarithmic")]}, "continuous"),
        ({"ContinuousParameterRanges": [entry("x", "0", "inf")]}, "not a number"),
        ({"CategoricalParameterRanges": [{"Name": "x", "Values": ["a", "a"]}]}, "not unique"),
        ({"IntegerParameterRanges": [entry(f"x{i}", "1", "2") for i in range(31)]}, "at most 30"),
    ],
)
def test_wrong_ranges_are_refused(ranges: Any, words: str) -> None:
    """Each by the name of its hyperparameter or member."""
    with pytest.raises(SageMakerError, match=words):
        read_ranges(ranges)


@given(CURVES, st.lists(VALUES, min_size=1, max_size=8), st.booleans())
def test_the_median_rule_is_awss(
    earlier: list[list[float]], curve: list[float], maximize: bool
) -> None:
    """Worse than the median of the running averages at the same epoch, by its definition."""
    rule = MedianRule(maximize=maximize)
    for values in earlier:
        rule.completed(values)
    epoch = len(curve)
    averages = sorted(sum(c[:epoch]) / epoch for c in earlier if len(c) >= epoch)
    count = len(averages)
    if count < PEERS:
        assert not rule.is_hopeless(curve)
        return
    middle = (averages[(count - 1) // 2] + averages[count // 2]) / 2
    if math.isclose(curve[-1], middle, rel_tol=1e-9, abs_tol=1e-9):
        return  # rounding decides
    assert rule.is_hopeless(curve) == ((curve[-1] < middle) == maximize)


def test_nothing_is_hopeless_before_its_first_epoch() -> None:
    """Also beside many completed ones."""
    rule = MedianRule(maximize=True)
    for _ in range(5):
        rule.completed([1.0])
    assert not rule.is_hopeless([])
    assert rule.is_hopeless([0.5])


LIMITED = {
    "ResourceLimits": {"MaxParallelTrainingJobs": 1, "MaxRuntimeInSeconds": 120},
    "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
    "TuningJobCompletionCriteria": {
        "TargetObjectiveMetricValue": 0.5,
        "BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3},
    },
}


@pytest.mark.parametrize(
    ("seconds", "best", "since_best", "enough"),
    [
        (119.0, None, 0, False),
        (120.0, None, 0, True),
        (1.0, 0.6, 2, False),
        (1.0, 0.5, 0, True),
        (1.0, 0.6, 3, True),
    ],
)
def test_a_search_ends_by_its_criteria(
    seconds: float, best: float | None, since_best: int, enough: bool
) -> None:
    """Its time, its target, or too many training jobs that are no better."""
    assert is_enough(LIMITED, seconds=seconds, best=best, since_best=since_best) is enough


@given(st.lists(st.tuples(VALUES, st.floats(1_000_000, 1_000_009)), max_size=3 * SINGLE))
def test_condensed_measurements_keep_count_sum_and_extremes(
    values: list[tuple[float, float]],
) -> None:
    """Few stay one by one; of many, at most one set a second, with the same figures in all."""
    values.sort(key=lambda entry: entry[1])
    points = condensed(values)
    assert len(points) == (
        len(values) if len(values) <= SINGLE else len({int(m) for _, m in values})
    )
    assert sum(point.count for point in points) == len(values)
    assert math.isclose(
        sum(point.total for point in points), sum(v for v, _ in values), abs_tol=1e-3
    )
    if values:
        assert min(point.low for point in points) == min(v for v, _ in values)
        assert max(point.high for point in points) == max(v for v, _ in values)
    assert [point.moment for point in points] == sorted(point.moment for point in points)
