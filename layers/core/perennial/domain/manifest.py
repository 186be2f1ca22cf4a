"""A run's manifest: exactly which object versions it reads.

SageMaker's own manifest files cannot name versions, so this one is ours; ``check_data`` reads it.
Its bytes are canonical (compact JSON, sorted by key), so equal lists have equal digests.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from typing import Any

from perennial.domain.errors import Rejected
from perennial.domain.naming import landing_prefix
from perennial.domain.signals import ObjectVersion, is_folder_mark
from perennial.domain.sources import CAPTURE, LABELLED_TRAFFIC, LANDED
from perennial.domain.window import ALL, Span

VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """The object versions of one run, ordered by key; ``body`` is what is stored.

    ``outside``: the ids of landed versions that its data window leaves out. It is not stored.
    """

    model: str
    run: int
    objects: tuple[ObjectVersion, ...]
    body: bytes
    outside: frozenset[str] = field(default=frozenset(), compare=False)

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


def build(  # noqa: PLR0913  # what a run rests on, by name
    run: tuple[str, int],
    current: Iterable[ObjectVersion],
    *,
    select: Sequence[str],
    left_out: Collection[str],
    created_ms: int,
    span: Span = ALL,
    others: Iterable[tuple[str, ObjectVersion]] = (),
) -> Manifest:
    """The manifest of ``run`` (model and number).

    ``current``: every current object version under the model's prefix. ``left_out``: the signal
    ids of quarantined versions and of those that people excluded. ``span``: the data window.
    ``others``: current versions of the artifact bucket, each with its source. Captured requests
    are listed whatever their age, for a label may come late; without any label, none is.
    """
    model, number = run
    selected = [
        each
        for each in current
        if is_selected(each.key, model, select)
        and not is_folder_mark(each.key, each.size)
        and each.id not in left_out
    ]
    inside = [each for each in selected if each.last_modified_ms >= span.from_ms]
    chosen = [(LANDED, each) for each in inside]
    chosen += _others(others, left_out, span)
    chosen.sort(key=lambda pair: pair[1].key)
    objects = tuple(each for _, each in chosen)
    document = {
        "version": VERSION,
        "model": model,
        "run": number,
        "created_ms": created_ms,
        "objects": [_entry(each, source) for source, each in chosen],
        "sources": dict(Counter(source for source, _ in chosen)),
        "totals": {"objects": len(chosen), "bytes": sum(each.size for each in objects)},
        "window": {"kind": span.kind, "words": span.words, "from_ms": span.from_ms},
    }
    body = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    outside = {each.id for each in selected} - {each.id for each in inside}
    return Manifest(model, number, objects, body.encode(), frozenset(outside))


def _others(
    others: Iterable[tuple[str, ObjectVersion]], left_out: Collection[str], span: Span
) -> list[tuple[str, ObjectVersion]]:
    """What a run reads of the artifact bucket; a label's own age decides, not its request's."""
    found = [
        (source, each)
        for source, each in others
        if not is_folder_mark(each.key, each.size)
        and each.id not in left_out
        and (is_capture(each) or each.last_modified_ms >= span.from_ms)
    ]
    if any(source == LABELLED_TRAFFIC and not is_capture(each) for source, each in found):
        return found
    return [(source, each) for source, each in found if source != LABELLED_TRAFFIC]


def is_capture(version: ObjectVersion) -> bool:
    """Whether an object of the artifact bucket holds captured requests."""
    return version.key.startswith(CAPTURE)


def read(body: bytes | str) -> Manifest:
    """The manifest that :func:`build` wrote; raises ``Rejected`` for a version it cannot read."""
    document: Mapping[str, Any] = json.loads(body)
    if document.get("version") != VERSION:
        raise Rejected(
            f"this manifest has version {document.get('version')!r}; this Perennial reads {VERSION}"
        )
    objects = tuple(_version(each) for each in document["objects"])
    raw = body.encode() if isinstance(body, str) else body
    return Manifest(document["model"], document["run"], objects, raw)


def _entry(each: ObjectVersion, source: str) -> dict[str, Any]:
    return {
        "bucket": each.bucket,
        "key": each.key,
        "version_id": each.version_id,
        "etag": each.etag,
        "size": each.size,
        "last_modified_ms": each.last_modified_ms,
        "source": source,
    }


def _version(entry: Mapping[str, Any]) -> ObjectVersion:
    return ObjectVersion(**{name: value for name, value in entry.items() if name != "source"})


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))
