"""The archives of pushed code: their digest, and that of the files in them."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from dataclasses import dataclass
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.aws.objects import split_uri
from perennial.domain.file_digests import CODE_LISTING

PIECE = 1 << 20


@dataclass(frozen=True)
class CodeDigests:
    """The SHA-256 of an archive, and the digest of its files (empty if it lists none)."""

    archive: str
    files: str


class _Hashed:
    """What is read of a stream, and its SHA-256 so far."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece: bytes = self._body.read(size if size >= 0 else None)
        self.sha256.update(piece)
        return piece


def read_digests(uri: str) -> CodeDigests:
    """Both digests of a code archive, read as a stream; raises `NotFound`."""
    bucket, key = split_uri(uri)
    with translated(f"reading {uri}"):
        body = _Hashed(client("s3").get_object(Bucket=bucket, Key=key)["Body"])
        files = _listing_digest(body)
        while body.read(PIECE):
            pass
    return CodeDigests(body.sha256.hexdigest(), files)


def _listing_digest(body: _Hashed) -> str:
    """The SHA-256 of the listing in the archive; nothing is read beyond it."""
    try:
        with tarfile.open(fileobj=body, mode="r|gz") as archive:  # type: ignore[call-overload]  # a stream needs read alone
            for member in archive:
                if member.name == CODE_LISTING:
                    listing = archive.extractfile(member)
                    return hashlib.sha256(listing.read()).hexdigest() if listing else ""
    except (tarfile.TarError, zlib.error, EOFError):
        return ""  # its own digest tells that it is not what was pushed
    return ""
