"""The archives of the shared endpoint: each a version's own archive, with its variables added."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.aws.objects import digest, exists, put_bytes, split_uri
from perennial.domain.errors import NotFound, Rejected
from perennial.domain.shared_archive import repack, server_code
from perennial.domain.shared_naming import server_key
from perennial.domain.shared_plan import LARGEST_ARCHIVE

PIECE = 1 << 20
#: The metadata of a shared archive: of which archive and variables it was made, and which code
#: a server must have that serves it.
MADE_OF, SERVED_BY = "made-of", "served-by"


def share(source: str, sha256: str, bucket: str, key: str, variables: Mapping[str, str]) -> str:
    """Put a version's archive where the shared endpoint finds it, unless it is there already.

    `source`: the URI of the archive that was judged, `sha256` its digest. Answers the URI of the
    code that the endpoint's own server starts with. Raises `NotFound` without the archive,
    `Rejected` when it is another one by now, is too large to be shared, or cannot be read.
    """
    made_of = hashlib.sha256(repr((sha256, sorted(variables.items()))).encode()).hexdigest()
    found = _metadata(bucket, key)
    if found.get(MADE_OF) == made_of and SERVED_BY in found:
        return found[SERVED_BY]
    with TemporaryDirectory(prefix="perennial-shared-") as folder:
        theirs, ours = Path(folder) / "theirs", Path(folder) / "ours"
        if _download(source, theirs) != sha256:
            raise Rejected(f"{source} is not the archive any more that was judged ({sha256})")
        with theirs.open("rb") as packed:
            served_by = _put_server(bucket, server_code(packed))
        with theirs.open("rb") as packed, ours.open("wb") as target:
            repack(packed, target, variables)
        theirs.unlink()  # a function's disk is small
        with ours.open("rb") as body, translated(f"writing s3://{bucket}/{key}"):
            client("s3").put_object(
                Bucket=bucket,
                Key=key,
                Body=body,
                ContentType="application/gzip",
                Metadata={MADE_OF: made_of, SERVED_BY: served_by},
                ChecksumAlgorithm="SHA256",
            )
    return served_by


def delete_archives(bucket: str, prefix: str, kept: frozenset[str] = frozenset()) -> None:
    """Delete the archives below a prefix, but for the `kept` keys."""
    s3: Any = client("s3")
    for key in list_archives(bucket, prefix):
        if key not in kept:
            with translated(f"deleting s3://{bucket}/{key}"):
                s3.delete_object(Bucket=bucket, Key=key)


def list_archives(bucket: str, prefix: str) -> tuple[str, ...]:
    """The keys of all archives below a prefix."""
    pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    with translated(f"listing s3://{bucket}/{prefix}"):
        return tuple(entry["Key"] for page in pages for entry in page.get("Contents", []))


def _put_server(bucket: str, body: bytes) -> str:
    """Put the server's code under its digest, once for all models; its URI."""
    key = server_key(digest(body))
    if not exists(f"s3://{bucket}/{key}"):
        put_bytes(bucket, key, body, content_type="application/gzip")
    return f"s3://{bucket}/{key}"


def _metadata(bucket: str, key: str) -> dict[str, str]:
    try:
        with translated(f"looking for s3://{bucket}/{key}"):
            found: Any = client("s3").head_object(Bucket=bucket, Key=key)
    except NotFound:
        return {}
    return dict(found.get("Metadata", {}))


def _download(uri: str, target: Path) -> str:
    """Copy an object into a file and answer its SHA-256; raises `Rejected` if it is too large."""
    bucket, key = split_uri(uri)
    found = hashlib.sha256()
    with translated(f"reading {uri}"), target.open("wb") as file:
        answer = client("s3").get_object(Bucket=bucket, Key=key)
        if answer["ContentLength"] > LARGEST_ARCHIVE:
            raise Rejected(
                f"{uri} has {answer['ContentLength'] / 2**20:.0f} MiB; models that share an "
                f"endpoint have at most {LARGEST_ARCHIVE >> 20} MiB. Write kind: instances in "
                "model.yaml, push, and release again"
            )
        for piece in answer["Body"].iter_chunks(PIECE):
            found.update(piece)
            file.write(piece)
    return found.hexdigest()
