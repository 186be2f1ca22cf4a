"""Lists and fetches objects, in parallel; beside `jobs.invoking` alone in calling AWS.

Through botocore alone: boto3 would add a quarter of a second to every start for nothing.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from jobs.entries import Entry, Fetched
from jobs.failures import ServiceError

PARALLEL = 8
# How far fetching may run ahead of reading: bounds the disk that unread objects take.
AHEAD = 2 * PARALLEL
BODY_ATTEMPTS = 4
YEAR = re.compile(r"(^|/)\d{4}/$")
GONE = ("NoSuchKey", "NoSuchVersion", "404", "405", "MethodNotAllowed")


def fetch_all(entries: Iterable[Entry], folder: Path) -> Iterator[Fetched]:
    """Fetch every entry, some ahead, and answer them in their order.

    The caller deletes each file once it is read. An object version that no longer exists is
    answered as gone; any other failure raises `ServiceError`.
    """
    client = _client()
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


def list_keys(bucket: str, prefix: str, folders: Sequence[str]) -> Iterator[str]:
    """The keys below a prefix in some of its folders, and those at the prefix that lie in none.

    An hour is a folder: only the wanted ones are listed. Where the prefix has no folder of years
    right below it, all of its keys are answered. Raises `ServiceError`.
    """
    client = _client()
    prefix = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    try:
        years = _page(client, bucket, prefix, delimiter="/")
        folders_there = {each["Prefix"] for each in years.get("CommonPrefixes", [])}
        if any(YEAR.search(name) for name in folders_there):
            for folder in folders:
                if prefix + folder[:5] in folders_there:
                    yield from _keys(client, bucket, prefix + folder)
            return
        yield from _keys(client, bucket, prefix)
    except (ClientError, BotoCoreError) as error:
        raise ServiceError(
            f"cannot list s3://{bucket}/{prefix}: {error}. "
            "If it is AccessDenied, the job's role may not list it."
        ) from error


def _keys(client: Any, bucket: str, prefix: str) -> Iterator[str]:
    token = ""
    while True:
        page = _page(client, bucket, prefix, token=token)
        yield from (entry["Key"] for entry in page.get("Contents", []) if entry["Size"])
        token = page.get("NextContinuationToken", "")
        if not token:
            return


def _page(client: Any, bucket: str, prefix: str, *, delimiter: str = "", token: str = "") -> Any:
    request = {"Bucket": bucket, "Prefix": prefix}
    if delimiter:
        request["Delimiter"] = delimiter
    if token:
        request["ContinuationToken"] = token
    return client.list_objects_v2(**request)


def _client() -> Any:
    return get_session().create_client(
        "s3",
        # A job's container is told its Region by AWS_REGION, which botocore does not look at.
        region_name=os.environ.get("AWS_REGION"),
        config=Config(
            max_pool_connections=PARALLEL, retries={"mode": "standard", "total_max_attempts": 6}
        ),
    )


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
