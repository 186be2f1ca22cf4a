"""Each test gets a stack of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.world import World, new_world


@pytest.fixture
def world() -> Iterator[World]:
    """A fresh stack in moto."""
    with new_world() as made:
        yield made
