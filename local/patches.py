"""Replace functions of moto, each guarded by the digest of the source that the patch was made for.

moto is pinned exactly. A patch written for other source could silently do the wrong thing, so the
local cloud refuses to start when one differs, and names it.
"""

import hashlib
import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


class PatchMismatchError(RuntimeError):
    """A function that a patch replaces is not the one the patch was written for."""


@dataclass(frozen=True)
class Patch:
    """One replacement: `target` as `module:Class.attribute`, digest of its source, new value."""

    target: str
    sha256: str
    replacement: Any


def _resolve(target: str) -> tuple[Any, str]:
    module_name, _, path = target.partition(":")
    owner: Any = importlib.import_module(module_name)
    *parents, attribute = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, attribute


def source_digest(target: str) -> str:
    """SHA-256 of the source text of the function at `module:Class.attribute`."""
    owner, attribute = _resolve(target)
    value = inspect.getattr_static(owner, attribute)
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    elif isinstance(value, property):
        value = value.fget
    return hashlib.sha256(inspect.getsource(value).encode()).hexdigest()


def apply(patches: Sequence[Patch]) -> None:
    """Check every digest, then put every replacement in place; nothing is changed on a mismatch."""
    differing = []
    for patch in patches:
        found = source_digest(patch.target)
        if found != patch.sha256:
            differing.append(f"{patch.target} (expected {patch.sha256}, found {found})")
    if differing:
        raise PatchMismatchError(
            "moto is not the version that the local cloud was written for; these functions differ: "
            + "; ".join(differing)
            + ". Install the pinned version (`make setup`) or renew the patch."
        )
    for patch in patches:
        owner, attribute = _resolve(patch.target)
        setattr(owner, attribute, patch.replacement)


def original(target: str) -> Callable[..., Any]:
    """The function as it is now, for a patch that wraps it (call before `apply`)."""
    owner, attribute = _resolve(target)
    found: Callable[..., Any] = getattr(owner, attribute)
    return found
