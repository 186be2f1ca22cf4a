"""What the tests of handlers share: an AWS of moto's, an environment, a Lambda context."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from perennial import wiring


@dataclass
class Context:
    """What Lambda tells a handler about its invocation."""

    function_name: str = "function"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:function"
    aws_request_id: str = "11111111-2222-3333-4444-555555555555"
    remaining_ms: int = 60_000

    def get_remaining_time_in_millis(self) -> int:
        """How long the invocation may still take."""
        return self.remaining_ms


@pytest.fixture
def context() -> Context:
    """A fresh invocation."""
    return Context()


@pytest.fixture
def handler() -> Callable[[str], Any]:
    """The handler of a function by its name, as a cold start imports it."""

    def load(name: str) -> Any:
        module = f"functions.{name}.app"
        sys.modules.pop(module, None)
        return importlib.import_module(module).handler

    return load


@pytest.fixture(autouse=True)
def _cold() -> Iterator[None]:
    """Every test starts as a new process does: its ports read the environment again."""
    wiring.ports.cache_clear()
    yield
    wiring.ports.cache_clear()
