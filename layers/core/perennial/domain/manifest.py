"""A run's manifest: exactly which object versions it reads.

SageMaker's own manifest files cannot name versions, so this one is ours; ``check_data`` reads it.
Its bytes are canonical (compact JSON, sorted by key), so equal lists have equal digests.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import Any

from perennial.domain.errors import Rejected
from perennial.domain.naming import landing_prefix
from perennial.domain.signals import ObjectVersion, is_folder_mark

VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """The object versions of one run, ordered by key; ``body`` is what is stored."""

    model: str
    run: int
    objects: tuple[ObjectVersion, ...]
    body: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the body, in hex."""
        return hashlib.sha256(self.body).hexdigest()

    @property
    def bytes(self) -> int:
        """How many bytes the objects have together."""
        return sum(each.size for each in self.objects)

    @property
    def ids(self) -> frozenset[str]:
        """The signal ids of all objects."""
        return frozenset(each.id for each in self.objects)


def is_selected(key: str, model: str, patterns: Sequence[str]) -> bool:
    """Whether ``data.select`` takes an object: a pattern fits its key below the model's prefix.

    ``*`` stands for any characters, ``/`` among them; letters' case counts.
    """
    prefix = landing_prefix(model)
    if not key.startswith(prefix):
        return False
    return any(_pattern(each).match(key[len(prefix) :]) is not None for each in patterns)


def build(
    run: tuple[str, int],
    current: Iterable[ObjectVersion],
    *,
    select: Sequence[str],
    left_out: Collection[str],
    created_ms: int,
) -> Manifest:
    """The manifest of ``run`` (model and number).

    ``current``: every current object version under the model's prefix. ``left_out``: the signal
    ids of quarantined and excluded versions. The data window is ``all``.
    """
    model, number = run
    chosen = [
        each
        for each in current
        if is_selected(each.key, model, select)
        and not is_folder_mark(each.key, each.size)
        and each.id not in left_out
    ]
    chosen.sort(key=lambda each: each.key)
    document = {
        "version": VERSION,
        "model": model,
        "run": number,
        "created_ms": created_ms,
        "objects": [_entry(each) for each in chosen],
        "totals": {"objects": len(chosen), "bytes": sum(each.size for each in chosen)},
    }
    body = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return Manifest(model, number, tuple(chosen), body.encode())


def read(body: bytes | str) -> Manifest:
    """The manifest that :func:`build` wrote; raises ``Rejected`` for a version it cannot read."""
    document: Mapping[str, Any] = json.loads(body)
    if document.get("version") != VERSION:
        raise Rejected(
            f"this manifest has version {document.get('version')!r}; this Perennial reads {VERSION}"
        )
    objects = tuple(ObjectVersion(**each) for each in document["objects"])
    raw = body.encode() if isinstance(body, str) else body
    return Manifest(document["model"], document["run"], objects, raw)


def _entry(each: ObjectVersion) -> dict[str, Any]:
    return {
        "bucket": each.bucket,
        "key": each.key,
        "version_id": each.version_id,
        "etag": each.etag,
        "size": each.size,
        "last_modified_ms": each.last_modified_ms,
    }


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))
