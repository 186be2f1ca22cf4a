"""What every unit test shares: AWS's own API models are read once, and empty queues at once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader

from local import tables


@pytest.fixture(scope="session", autouse=True)
def _models_are_read_once() -> Iterator[None]:
    """Each stack in moto has clients of its own, and each would read megabytes of JSON anew.

    Botocore shares a model between the clients of one session in just this way.
    """
    read = JSONFileLoader.load_file

    @cache
    def read_once(path: str) -> Any:
        return read(JSONFileLoader(), path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: read_once(path))
        patch.setattr("perennial.aws.signal_queue.LONGEST_POLL_S", 0)
        _write_values_at_once(patch)
        yield


def _write_values_at_once(patch: pytest.MonkeyPatch) -> None:
    """The local cloud's shorter way to write an item of DynamoDB, which saves a third of moto."""
    target = "moto.core.serialize:BaseJSONSerializer._serialize_type_structure"
    (found,) = (each for each in tables.patches() if each.target == target)
    patch.setattr(target.replace(":", "."), found.replacement)
