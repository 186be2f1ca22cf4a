"""Try the challenger of an A/B test at no weight, on requests that main has answered."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from perennial.aws import objects, runtime
from perennial.describe_model import read_settings_of
from perennial.domain.errors import NotAllowed, Rejected
from perennial.domain.ledger.ab_rows import AbTest
from perennial.domain.ledger.ab_tests import CHALLENGER, MAIN
from perennial.domain.ledger.rows import ModelRow
from perennial.domain.prediction_answer import ModelFailed, TooSlow
from perennial.domain.signals import ObjectVersion
from perennial.domain.text import lines_of
from perennial.domain.trial import Tried, tried_requests, wrong_answer
from perennial.list_releases import list_releases

if TYPE_CHECKING:
    from perennial.wiring import Ports

DAYS, DAY_S = 7, 24 * 3600
MOST_FILES = 50
#: How many requests, where the smoke test's settings ask for none.
REQUESTS = 50
#: Seconds that each answer may take.
SECONDS = 60.0
MOST_RELEASES = 200


def check_trial(ports: Ports, row: ModelRow, test: AbTest) -> None:
    """Raise `NotAllowed` for a challenger that nothing is known of, and that cannot be tried."""
    if not _requests(ports, row, test, most=1) and not _passed_release(ports, row, test):
        raise NotAllowed(
            f"{row.model} {test.challenger} never passed a release's smoke test, and there is no "
            f"request to try it on: none that {test.endpoint} answered was captured within {DAYS} "
            f"days. Let it answer some, with release.endpoint.capture above 0%, or release the "
            f"version: perennial release {row.model} --version {test.challenger}"
        )


def try_challenger(ports: Ports, row: ModelRow, test: AbTest) -> str:
    """Let the challenger answer what main has answered lately; how that went, in words.

    Raises `Rejected` when one request fails, and `NotAllowed` when there is none.
    """
    wanted = read_settings_of(ports.ledger, row).release.smoke_test.requests or REQUESTS
    requests = _requests(ports, row, test, most=wanted)
    if not requests:
        check_trial(ports, row, test)
        return "it passed a release's smoke test; there is no captured request to try it on"
    wrong = [words for words in (_wrong(row, test, each) for each in requests) if words]
    if wrong:
        raise Rejected(
            f"version {test.challenger} failed {len(wrong)} of {len(requests)} requests that main "
            f"has answered, before it got any traffic: {wrong[0]}"
        )
    return f"it answered {len(requests)} of {len(requests)} requests that main has answered"


def _wrong(row: ModelRow, test: AbTest, request: Tried) -> str:
    """What is wrong with the answer to a request, in words; empty: nothing."""
    mark = f"trial-{uuid.uuid4()}"
    try:
        said = runtime.invoke(
            row.model,
            test.endpoint,
            request.body,
            mark,
            SECONDS,
            content_type=request.content_type,
            variant=CHALLENGER,
        )
    except (ModelFailed, TooSlow) as error:
        return str(error)
    return wrong_answer(said.body, test.challenger, request)


def _requests(ports: Ports, row: ModelRow, test: AbTest, *, most: int) -> list[Tried]:
    """The newest captured requests that main answered, at most so many."""
    found: list[Tried] = []
    for number, version in enumerate(_newest(ports, row, test)):
        if len(found) >= most or number >= MOST_FILES:
            break
        body = objects.get_bytes(f"s3://{version.bucket}/{version.key}")
        found += tried_requests(lines_of(body.decode("utf-8", "replace")))
    return found[:most]


def _newest(ports: Ports, row: ModelRow, test: AbTest) -> Iterator[ObjectVersion]:
    """Files of main's capture, the newest first; their folders are days and hours (UTC)."""
    place = f"capture/{row.model}/{test.endpoint}/{MAIN}"
    for days in range(DAYS):
        day = time.strftime("%Y/%m/%d", time.gmtime(ports.clock() / 1000 - days * DAY_S))
        files = objects.current_versions(ports.deployment.artifact_bucket, f"{place}/{day}/")
        yield from sorted(files, key=lambda each: (-each.last_modified_ms, each.key))


def _passed_release(ports: Ports, row: ModelRow, test: AbTest) -> bool:
    """Whether a release of this very version passed its smoke test, however it ended."""
    found = list_releases(ports, row.model, MOST_RELEASES)
    return any(each.arn == test.arn and each.figures for each in found)
