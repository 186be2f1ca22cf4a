"""The objects of a window: which lie below its prefixes, in S3 or in folders of this machine.

Capture lies by endpoint, variant and hour: `<endpoint>/<variant>/yyyy/mm/dd/hh/<file>`; ground
truth by the hour in which it was collected. A clock that is off by less than an hour loses nothing:
the hours before and after the window are read too, and each line's own time decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from jobs.entries import Entry
from jobs.objects import fetch_all, list_keys

HOUR = timedelta(hours=1)
HOUR_PATH = re.compile(r"(?:^|/)(\d{4})/(\d{2})/(\d{2})/(\d{2})/[^/]+$")
OWNER_PATH = re.compile(r"(?:^|/)([^/]+)/([^/]+)/\d{4}/\d{2}/\d{2}/\d{2}/[^/]+$")
REMOTE = "s3://"


@dataclass(frozen=True)
class Found:
    """An object that is here now: its name, its file, the hour it lies under (None: no hour).

    `owner` is the endpoint and variant that its place names.
    """

    name: str
    path: Path
    hour_ms: int | None
    owner: tuple[str, str] | None


def objects(places: Sequence[str], start_ms: int, end_ms: int, folder: Path) -> Iterator[Found]:
    """Every object of some prefixes or folders between two times, by hour; in any other layout
    every object there is. What S3 has is in `folder` until the next one is asked for."""
    for place in places:
        if place.startswith(REMOTE):
            yield from _remote(place, start_ms, end_ms, folder)
        else:
            yield from _local(Path(place), start_ms, end_ms)


def _local(root: Path, start_ms: int, end_ms: int) -> Iterator[Found]:
    paths = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    for path in paths:
        # Only what lies below the given place tells whose it is: above may be any folders.
        name = path.name if path == root else path.relative_to(root).as_posix()
        hour = hour_of(name)
        if hour is None or _near(hour, start_ms, end_ms):
            yield Found(name, path, hour, owner_of(name))


def _remote(place: str, start_ms: int, end_ms: int, folder: Path) -> Iterator[Found]:
    bucket, _, prefix = place.removeprefix(REMOTE).partition("/")
    entries = [
        Entry(bucket, key, "")
        for key in list_keys(bucket, prefix, _hour_folders(start_ms, end_ms))
        if (hour := hour_of(key)) is None or _near(hour, start_ms, end_ms)
    ]
    for fetched in fetch_all(entries, folder):
        if fetched.path is None:
            continue  # deleted since it was listed: there is nothing of it to see
        key = fetched.entry.key
        below = key.removeprefix(prefix).lstrip("/")
        name = f"{REMOTE}{bucket}/{key}"
        try:
            yield Found(name, fetched.path, hour_of(key), owner_of(below))
        finally:
            fetched.path.unlink()


def hour_of(name: str) -> int | None:
    """The beginning of the hour that a name lies under, in milliseconds; None without one."""
    match = HOUR_PATH.search(name)
    if match is None:
        return None
    try:
        moment = datetime(*map(int, match.groups()), tzinfo=timezone.utc)  # type: ignore[misc,arg-type]
    except ValueError:
        return None
    return int(moment.timestamp() * 1000)


def owner_of(name: str) -> tuple[str, str] | None:
    """The endpoint and variant that a capture's name lies under."""
    match = OWNER_PATH.search(name)
    return (match[1], match[2]) if match else None


def _near(hour: int, start_ms: int, end_ms: int) -> bool:
    """Whether an hour's folder can hold lines of the window, clocks being off by up to an hour."""
    length = int(HOUR.total_seconds() * 1000)
    return hour + 2 * length > start_ms and hour - length < end_ms


def _hour_folders(start_ms: int, end_ms: int) -> list[str]:
    """`yyyy/mm/dd/hh/` of every hour that may hold lines of the window."""
    hour = datetime.fromtimestamp(start_ms / 1000, timezone.utc).replace(
        minute=0, second=0, microsecond=0
    )
    hour -= HOUR
    last = datetime.fromtimestamp(end_ms / 1000, timezone.utc) + HOUR
    found = []
    while hour < last:
        found.append(hour.strftime("%Y/%m/%d/%H/"))
        hour += HOUR
    return found
