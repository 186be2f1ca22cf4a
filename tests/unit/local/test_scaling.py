"""How many instances target tracking asks for."""

import math

from hypothesis import given
from hypothesis import strategies as st

from local.jsonapi.validation import compile_pattern
from local.scaling import decide

TARGETS = st.floats(0.5, 1e4)
LOADS = st.lists(st.floats(0, 1e6), min_size=1, max_size=15)
COUNTS = st.integers(1, 100)


@given(load=st.floats(0, 1e6), target=TARGETS)
def test_instances_are_as_few_as_keep_each_at_the_target(load: float, target: float) -> None:
    """Each gets no more than the target, and one fewer would get more."""
    count = decide.instances_for(load, target)
    near = 1e-6 * target  # of what a division rounds
    assert load <= count * target + near
    assert count == 0 or load > (count - 1) * target - near


def test_a_load_of_whole_targets_needs_no_further_instance() -> None:
    """Rounding errors of a division add no machine."""
    assert decide.instances_for(0.1 * 3, 0.1) == 3


@given(loads=LOADS, target=TARGETS, desired=COUNTS, most=COUNTS)
def test_scaling_out_stays_between_what_there_is_and_the_most(
    loads: list[float], target: float, desired: int, most: int
) -> None:
    """More than there is, never above the most; else nothing."""
    count = decide.more(loads, target, desired, most)
    assert count is None or desired < count <= most


@given(loads=LOADS, target=TARGETS, desired=COUNTS, least=COUNTS)
def test_scaling_in_leaves_enough_for_the_busiest_period(
    loads: list[float], target: float, desired: int, least: int
) -> None:
    """Fewer than there is, never below the least, nor below what the busiest period needs."""
    count = decide.fewer(loads, target, desired, least)
    if count is not None:
        assert least <= count < desired
        assert count >= math.floor(max(loads) / target)


def test_one_period_that_is_not_counted_yet_does_not_hold_back() -> None:
    """The median of the periods decides, not the newest."""
    assert decide.more([600.0, 600.0, 40.0], 100.0, 2, 10) == 6


def test_nothing_is_asked_for_without_figures() -> None:
    """No data point, no more instances; and fewer down to the least."""
    assert decide.more([], 100.0, 2, 10) is None
    assert decide.fewer([], 100.0, 4, 2) == 2


def test_a_cooldown_counts_what_the_last_scale_out_added() -> None:
    """From one instance to three: a load of 200 each is less than was asked for, 400 is more."""
    assert decide.more_in_cooldown([200.0] * 3, 1, 100.0, 3, 10) is None
    assert decide.more_in_cooldown([400.0] * 3, 1, 100.0, 3, 10) == 4


def test_patterns_of_botocores_model_take_printable_text_and_any_script() -> None:
    """`\\p{Print}` is ASCII's printable text; pairs of surrogates are the characters beyond."""
    assert compile_pattern(r"\p{Print}+").fullmatch("scale census: 1/2")
    assert not compile_pattern(r"\p{Print}+").fullmatch("line\n")
    wide = compile_pattern(r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*")
    assert wide.fullmatch("census \U0001f600\n")
    assert not wide.fullmatch("\x00")
