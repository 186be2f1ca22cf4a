"""What every unit test shares: AWS's own API models are read once, and empty queues at once."""

from __future__ import annotations

import pkgutil
import random
import string
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from cryptography.hazmat.primitives.asymmetric import rsa

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
        patch.setattr("perennial.remove_endpoint.PAUSE_S", 0.01)
        _write_values_at_once(patch)
        _prepare_requests_once(patch)
        yield


def _write_values_at_once(patch: pytest.MonkeyPatch) -> None:
    """The local cloud's shorter way to write an item of DynamoDB, which saves a third of moto."""
    target = "moto.core.serialize:BaseJSONSerializer._serialize_type_structure"
    (found,) = (each for each in tables.patches() if each.target == target)
    patch.setattr(target.replace(":", "."), found.replacement)


def _prepare_requests_once(patch: pytest.MonkeyPatch) -> None:
    """What is the same for each of the many requests is found once: a fifth of their time.

    Botocore cleans the words of its user agent, moto lists the methods of the service's class,
    draws a request's number letter by letter, and makes an RSA key for each subscription.
    """
    for name in (
        "botocore.useragent.sanitize_user_agent_string_component",
        "moto.core.responses.method_names_from_class",
    ):
        patch.setattr(name, cache(pkgutil.resolve_name(name)))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    patch.setattr("moto.sns.models.Subscription.private_key", lambda _: key)
    patch.setattr("moto.moto_api._internal.moto_random.MotoRandom.get_random_string", _letters)


def _letters(
    source: random.Random, length: int = 20, include_digits: bool = True, lower_case: bool = False
) -> str:
    """moto's random letters, drawn all at once."""
    pool = string.ascii_letters + (string.digits if include_digits else "")
    drawn = "".join(source.choices(pool, k=length))
    return drawn.lower() if lower_case else drawn
