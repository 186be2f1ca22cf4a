"""The clock of the local cloud's own waits."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.clock import Clock


class Wall:
    """The machine's clock in the hands of a test."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """A machine whose clock stands still between two steps of a test."""
    made = Wall()
    monkeypatch.setattr(time, "time", made)
    return made


def test_what_was_stamped_keeps_its_place(wall: Wall) -> None:
    """Twenty quick minutes stay twenty minutes ago when the clock goes slowly again."""
    clock = Clock(60)
    wall.now += 20
    clock.factor = 1
    wall.now += 5
    assert clock.service_now() == 1_000 + 1_200 + 5
    assert clock.service_at(1_000) == 1_000
    assert clock.service_at(1_010) == 1_600
    assert clock.real_at(1_600) == 1_010
    assert clock.real_at(2_203) == 1_023


@given(
    steps=st.lists(st.tuples(st.floats(0.01, 500), st.floats(0.01, 1_000)), max_size=6),
    part=st.floats(-2, 2),
)
def test_both_clocks_name_one_moment(steps: list[tuple[float, float]], part: float) -> None:
    """Whatever became of the factor, there and back is the same moment, also before the start."""
    wall = Wall()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", wall)
        clock = Clock(30)
        for seconds, factor in steps:
            wall.now += seconds
            clock.factor = factor
        moment = 1_000 + part * (wall.now - 999)
        assert clock.real_at(clock.service_at(moment)) == pytest.approx(moment, abs=1e-3)


@pytest.mark.parametrize("factor", [0, -1, 100_001, float("nan")])
def test_a_factor_that_is_none_is_refused(factor: float) -> None:
    """Nothing changes then."""
    clock = Clock(2)
    with pytest.raises(ValueError, match="must lie in"):
        clock.factor = factor
    assert clock.factor == 2
