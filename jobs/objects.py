"""The objects of a manifest, fetched in parallel: the only place of the jobs that uses boto3."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from jobs.failures import ServiceError

PARALLEL = 8
# How far fetching may run ahead of reading: bounds the disk that unread objects take.
AHEAD = 2 * PARALLEL
BODY_ATTEMPTS = 4
GONE = ("NoSuchKey", "NoSuchVersion", "404", "405", "MethodNotAllowed")


@dataclass(frozen=True)
class Entry:
    """One object version of the manifest."""

    bucket: str
    key: str
    version_id: str
    size: int = 0
    last_modified_ms: int = 0

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Entry:
        """An entry of manifest.json."""
        return cls(
            bucket=document["bucket"],
            key=document["key"],
            version_id=document["version_id"],
            size=int(document.get("size", 0)),
            last_modified_ms=int(document.get("last_modified_ms", 0)),
        )


@dataclass(frozen=True)
class Fetched:
    """An object's local file, or why there is none."""

    entry: Entry
    path: Path | None
    gone: str = ""


def fetch_all(entries: Iterable[Entry], folder: Path) -> Iterator[Fetched]:
    """Fetch every entry, some ahead, and answer them in their order.

    The caller deletes each file once it is read. An object version that no longer exists is
    answered as gone; any other failure raises `ServiceError`.
    """
    client = boto3.client(
        "s3",
        config=Config(
            max_pool_connections=PARALLEL, retries={"mode": "standard", "total_max_attempts": 6}
        ),
    )
    waiting: deque[Future[Fetched]] = deque()
    with ThreadPoolExecutor(PARALLEL) as pool:
        try:
            for number, entry in enumerate(entries):
                path = folder / f"object-{number}"
                waiting.append(pool.submit(_fetch, client, entry, path))
                if len(waiting) >= AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _fetch(client: Any, entry: Entry, path: Path) -> Fetched:
    request = {"Bucket": entry.bucket, "Key": entry.key}
    if entry.version_id and entry.version_id != "null":
        request["VersionId"] = entry.version_id
    try:
        _download(client, request, path)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in GONE:
            return Fetched(entry, None, "this version was deleted before the run read it")
        raise ServiceError(
            f"{code} for s3://{entry.bucket}/{entry.key}: {error}. "
            "If it is AccessDenied, the job's role may not read it."
        ) from error
    except BotoCoreError as error:
        raise ServiceError(f"s3://{entry.bucket}/{entry.key}: {error}") from error
    return Fetched(entry, path)


def _download(client: Any, request: dict[str, str], path: Path) -> None:
    """Write the object to the file; botocore repeats requests, but not a body that breaks off."""
    for attempt in range(1, BODY_ATTEMPTS + 1):
        answer = client.get_object(**request)
        try:
            with path.open("wb") as file:
                for part in answer["Body"].iter_chunks(1 << 20):
                    file.write(part)
        except BotoCoreError:
            if attempt == BODY_ATTEMPTS:
                raise
            continue
        return
