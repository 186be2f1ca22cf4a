"""Objects in S3: version listings with a resumable cursor, JSON, digests, deletion."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import NotFound, Rejected
from perennial.domain.signals import ObjectVersion

LARGEST_DELETE = 1000


@dataclass(frozen=True)
class Listed:
    """One entry of a version listing; a delete marker has size 0 and no ETag."""

    version: ObjectVersion
    is_latest: bool
    is_delete_marker: bool


@dataclass(frozen=True)
class Page:
    """One page of a version listing; `cursor` continues after it, None at the end."""

    versions: tuple[Listed, ...]
    cursor: str | None


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`.

    A key may hold `#` and `?`, so only the scheme and the first slash are looked at.
    """
    scheme, separator, rest = uri.partition("://")
    bucket, slash, key = rest.partition("/")
    if scheme != "s3" or not separator or not bucket or not slash:
        raise Rejected(f"{uri!r} is no S3 URI: expected s3://bucket/key")
    return bucket, key


def list_versions(bucket: str, prefix: str, *, cursor: str | None = None, most: int = 1000) -> Page:
    """One page of all versions and delete markers under a prefix, by key, newest first."""
    request: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": most}
    if cursor:
        request["KeyMarker"], version = json.loads(cursor)
        if version:
            request["VersionIdMarker"] = version
    with translated(f"listing s3://{bucket}/{prefix}"):
        answer = client("s3").list_object_versions(**request)
    found = [_version(bucket, entry, marker=False) for entry in answer.get("Versions", [])]
    found += [_version(bucket, entry, marker=True) for entry in answer.get("DeleteMarkers", [])]
    following = None
    if answer.get("IsTruncated"):
        following = json.dumps(
            [answer["NextKeyMarker"], answer.get("NextVersionIdMarker", "")], ensure_ascii=False
        )
    return Page(tuple(sorted(found, key=_listing_order)), following)


def _listing_order(listed: Listed) -> tuple[str, bool, int]:
    version = listed.version
    return (version.key, not listed.is_latest, -version.last_modified_ms)


def _version(bucket: str, entry: Any, *, marker: bool) -> Listed:
    version = ObjectVersion(
        bucket=bucket,
        key=entry["Key"],
        version_id=entry["VersionId"],
        etag="" if marker else str(entry.get("ETag", "")).strip('"'),
        size=0 if marker else int(entry.get("Size", 0)),
        last_modified_ms=int(entry["LastModified"].timestamp() * 1000),
    )
    return Listed(version, bool(entry.get("IsLatest")), marker)


def all_versions(bucket: str, prefix: str) -> Iterator[Listed]:
    """Every version and delete marker under a prefix."""
    cursor = None
    while True:
        page = list_versions(bucket, prefix, cursor=cursor)
        yield from page.versions
        cursor = page.cursor
        if cursor is None:
            return


def current_versions(bucket: str, prefix: str) -> Iterator[ObjectVersion]:
    """The current version of each object under a prefix that is not deleted."""
    for listed in all_versions(bucket, prefix):
        if listed.is_latest and not listed.is_delete_marker:
            yield listed.version


def list_between(bucket: str, root: str, first: str, last: str) -> Iterator[tuple[str, int]]:
    """The current objects below `root` from the folder `first` to the folder `last`, in order.

    Each as its key below `root` and the time at which it landed (ms); a deleted one is left out.
    """
    paginator = client("s3").get_paginator("list_objects_v2")
    pages = paginator.paginate(Bucket=bucket, Prefix=root, StartAfter=f"{root}{first}/")
    with translated(f"listing s3://{bucket}/{root}"):
        for page in pages:
            for found in page.get("Contents", []):
                name = found["Key"][len(root) :]
                if name >= f"{last}0":  # the first text that sorts after all that begin "last/"
                    return
                if not name.endswith("/"):
                    yield name, int(found["LastModified"].timestamp() * 1000)


def find_current(bucket: str, key: str) -> ObjectVersion | None:
    """The current version of one object, or None when there is none or it is deleted."""
    for listed in list_versions(bucket, key, most=1).versions:
        if listed.version.key == key and listed.is_latest and not listed.is_delete_marker:
            return listed.version
    return None


def put_bytes(
    bucket: str, key: str, body: bytes, *, content_type: str = "application/octet-stream"
) -> str:
    """Write an object whole and return its URI; an equal write twice is harmless."""
    with translated(f"writing s3://{bucket}/{key}"):
        client("s3").put_object(
            Bucket=bucket,
            Key=key,
            Body=body,
            ContentType=content_type,
            ChecksumAlgorithm="SHA256",
        )
    return f"s3://{bucket}/{key}"


def put_json(bucket: str, key: str, document: Any) -> str:
    """Write a document as compact JSON in UTF-8 and return its URI."""
    return put_bytes(bucket, key, compact_json(document), content_type="application/json")


def compact_json(document: Any) -> bytes:
    """The bytes that a document is stored as, and that digests are taken of."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest(body: bytes) -> str:
    """The SHA-256 of some bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(body).hexdigest()


def get_bytes(uri: str, *, version_id: str | None = None) -> bytes:
    """The content of an object; raises `NotFound`."""
    bucket, key = split_uri(uri)
    request: dict[str, Any] = {"Bucket": bucket, "Key": key}
    if version_id:
        request["VersionId"] = version_id
    with translated(f"reading {uri}"):
        content: bytes = client("s3").get_object(**request)["Body"].read()
    return content


def stream_digest(uri: str) -> str:
    """The SHA-256 of an object of any size, read piece by piece; raises `NotFound`."""
    bucket, key = split_uri(uri)
    found = hashlib.sha256()
    with translated(f"reading {uri}"):
        body = client("s3").get_object(Bucket=bucket, Key=key)["Body"]
        for piece in body.iter_chunks(1 << 20):
            found.update(piece)
    return found.hexdigest()


def get_json(uri: str) -> Any:
    """The document at a URI; raises `NotFound`, or `Rejected` when it is no JSON."""
    body = get_bytes(uri)
    try:
        return json.loads(body)
    except ValueError as error:
        raise Rejected(f"{uri} holds no JSON: {error}") from error


def find_json(uri: str) -> Any | None:
    """The document at a URI, or None when there is none."""
    try:
        return get_json(uri)
    except NotFound:
        return None


def exists(uri: str) -> bool:
    """Say whether there is an object at the URI."""
    bucket, key = split_uri(uri)
    try:
        with translated(f"looking for {uri}"):
            client("s3").head_object(Bucket=bucket, Key=key)
    except NotFound:
        return False
    return True


def delete_versions(
    bucket: str, prefix: str, *, before_page: Callable[[], None] = lambda: None
) -> int:
    """Delete every version under a prefix ("" empties the bucket) and count them.

    `before_page()` may stop the deletion by raising; the rest is left, and a repetition goes
    on with it. A missing bucket is an empty one.
    """
    deleted = 0
    while True:
        before_page()
        try:
            page = list_versions(bucket, prefix, most=LARGEST_DELETE)
        except NotFound:
            return deleted
        if not page.versions:
            return deleted
        _delete_page(bucket, page)
        deleted += len(page.versions)
    return deleted


def _delete_page(bucket: str, page: Page) -> None:
    """Delete a page's versions; one that could not be deleted raises with its key."""
    entries: Any = [
        {"Key": each.version.key, "VersionId": each.version.version_id} for each in page.versions
    ]
    with translated(f"deleting from s3://{bucket}"):
        answer: Mapping[str, Any] = client("s3").delete_objects(
            Bucket=bucket, Delete={"Objects": entries, "Quiet": True}
        )
    for failed in answer.get("Errors", []):
        raise Rejected(
            f"deleting s3://{bucket}/{failed.get('Key')}: "
            f"{failed.get('Code')}: {failed.get('Message')}"
        )


def delete_bucket(bucket: str) -> None:
    """Remove an empty bucket; one that is gone stays gone."""
    try:
        with translated(f"deleting bucket {bucket}"):
            client("s3").delete_bucket(Bucket=bucket)
    except NotFound:
        return
