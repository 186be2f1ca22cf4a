"""Describe a model's A/B test: how its traffic is shared, and what it has shown so far.

The figures are computed here, where the question is asked: from CloudWatch, and from capture files
and labels in S3, line by line. A job would take minutes for what mostly takes a second.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from perennial.aws import objects, variant_metrics
from perennial.aws.variants import see_fleet
from perennial.describe_model import known_model, read_settings_of
from perennial.domain.ab_report import AbReport, Judged, report
from perennial.domain.captured import BadLine, read_answer, read_labels
from perennial.domain.errors import NotFound
from perennial.domain.ledger.ab_rows import AbTest
from perennial.domain.ledger.ab_tests import CHALLENGER, MAIN
from perennial.domain.schema import BadValue, Column, text_of
from perennial.domain.settings import Settings
from perennial.domain.signals import ObjectVersion
from perennial.domain.text import lines_of

if TYPE_CHECKING:
    from perennial.wiring import Ports

#: More capture than this is not read whole: whole files are left out, by a hash of their name.
MOST_BYTES = 200 << 20
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class AbDescription:
    """A test, open or the last one, with the share that the endpoint gives the challenger now.

    `skipped` counts lines of capture and labels that could not be read; `part` is the share of the
    captured files that was read, 1 but for very many.
    """

    model: str
    test: AbTest
    is_open: bool
    status: str
    permille: int
    report: AbReport
    skipped: int
    part: float


@dataclass(frozen=True)
class _Traffic:
    judged: Mapping[str, Sequence[Judged]]
    skipped: int
    part: float


def describe_ab(ports: Ports, model: str) -> AbDescription:
    """The open test, else the last one; raises `NotFound` when there never was one."""
    row = known_model(ports.ledger, model)
    test = row.ab or (row.ended_abs[-1] if row.ended_abs else None)
    if test is None:
        raise NotFound(
            f"{model} has had no A/B test; to start one: perennial ab start {model} --version <n> "
            '--because "..."'
        )
    until = test.ended_ms or ports.clock()
    settings = read_settings_of(ports.ledger, row)
    counted = variant_metrics.read_variants(
        test.endpoint, test.config, (MAIN, CHALLENGER), test.opened_ms, until
    )
    traffic = _traffic(ports, model, test, settings, until)
    seen = see_fleet(test.endpoint)
    return AbDescription(
        model=model,
        test=test,
        is_open=row.ab is not None,
        status=seen.endpoint.status if seen is not None else "",
        permille=seen.permille if seen is not None else 0,
        report=report(
            model,
            test,
            {each.variant: each.periods for each in counted},
            traffic.judged,
            is_error=settings.problem == "regression",
        ),
        skipped=traffic.skipped,
        part=traffic.part,
    )


def _traffic(ports: Ports, model: str, test: AbTest, settings: Settings, until: int) -> _Traffic:
    """The labelled requests of each variant within the time of the test."""
    bucket = ports.deployment.artifact_bucket
    column = settings.data.column(settings.label)
    missing = frozenset(settings.data.missing)
    labels, skipped = _labels(bucket, model, test.opened_ms)
    judged: dict[str, Sequence[Judged]] = {MAIN: (), CHALLENGER: ()}
    if not labels:
        return _Traffic(judged, skipped, 1.0)
    files = {
        variant: list(_files(bucket, f"capture/{model}/{test.endpoint}/{variant}", test, until))
        for variant in judged
    }
    whole = sum(each.size for found in files.values() for each in found)
    part = min(1.0, MOST_BYTES / whole) if whole else 1.0
    for variant, found in files.items():
        kept: dict[str, Judged] = {}
        for line in (line for each in found if _is_kept(each, part) for line in _lines(each)):
            try:
                answer = read_answer(line)
                truth = labels.get(answer.event)
                if truth is None or not test.opened_ms <= answer.at_ms <= until:
                    continue
                values = judge(column, missing, answer.predictions, truth)
                kept[answer.event] = Judged(answer.at_ms, values)
            except (BadLine, BadValue):
                skipped += 1
        judged[variant] = tuple(kept.values())
    return _Traffic(judged, skipped, part)


def judge(
    column: Column, missing: frozenset[str], predictions: Sequence[str], labels: Sequence[str]
) -> tuple[float, ...]:
    """1 or 0 by row, whether it was predicted right; of a number how far it was off.

    Raises `BadValue` for a label that the column refuses, and `BadLine` for another number of
    labels than of predictions.
    """
    if len(predictions) != len(labels):
        raise BadLine(f"{len(predictions)} predictions, {len(labels)} labels")
    pairs = zip(predictions, labels, strict=True)
    if column.numeric:
        return tuple(
            abs(_number(column, missing, said) - _number(column, missing, truth))
            for said, truth in pairs
        )
    return tuple(
        float(_label(column, missing, said) == _label(column, missing, truth))
        for said, truth in pairs
    )


def _label(column: Column, missing: frozenset[str], text: str) -> str:
    value = column.parse(text, missing)
    if value is None:
        raise BadValue("the label has no value")
    return text_of(value)


def _number(column: Column, missing: frozenset[str], text: str) -> float:
    # A prediction need not lie where labels do: it is read as a number alone.
    try:
        return float(text)
    except ValueError:
        value = column.parse(text, missing)
        if isinstance(value, (int, float)):
            return float(value)
        raise BadValue(f"{text!r} is no number") from None


def _labels(bucket: str, model: str, since_ms: int) -> tuple[dict[str, tuple[str, ...]], int]:
    """The labels by event of what landed since the test began, the newest of each; bad lines."""
    found: dict[str, tuple[str, ...]] = {}
    skipped = 0
    fresh = [
        each
        for each in objects.current_versions(bucket, f"labels/{model}/")
        if each.last_modified_ms >= since_ms
    ]
    for version in sorted(fresh, key=lambda each: (each.last_modified_ms, each.key)):
        for line in _lines(version):
            try:
                event, labels = read_labels(line)
            except BadLine:
                skipped += 1
            else:
                found[event] = labels
    return found, skipped


def _files(bucket: str, prefix: str, test: AbTest, until: int) -> Iterator[ObjectVersion]:
    """The capture files of the test's days: SageMaker's folders are yyyy/mm/dd/hh, in UTC."""
    day = datetime.fromtimestamp(test.opened_ms / 1000, timezone.utc).date()
    last = datetime.fromtimestamp(until / 1000, timezone.utc).date()
    while day <= last:
        yield from objects.current_versions(bucket, f"{prefix}/{day:%Y/%m/%d}/")
        day += timedelta(days=1)


def _is_kept(version: ObjectVersion, part: float) -> bool:
    """Whether a file belongs to the part that is read: chosen by its name, never by its content."""
    place = int.from_bytes(hashlib.sha256(version.key.encode()).digest()[:8], "big")
    return place < part * (1 << 64)


def _lines(version: ObjectVersion) -> Iterator[str]:
    body = objects.get_bytes(f"s3://{version.bucket}/{version.key}", version_id=version.version_id)
    if body.startswith(GZIP):
        body = gzip.decompress(body)
    for line in lines_of(body.decode("utf-8", "replace")):
        if line.strip():
            yield line
