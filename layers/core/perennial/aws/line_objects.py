"""Objects that hold lines: their first one, how many there are, and a copy as a file."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import Rejected
from perennial.domain.signals import ObjectVersion

PIECE = 1 << 20
#: A first line that is longer is not looked at whole.
START = 1 << 16
GZIP_WINDOW = 31  # zlib's number for a stream with gzip's header


def first_line(version: ObjectVersion, *, gzip: bool) -> str | None:
    """The first line, without its end; None of an object without any, or one that is too long.

    Raises `Rejected` for an object that is not UTF-8, or not gzip although its name says so.
    """
    if not version.size:
        return None
    start = b"".join(_pieces(version, gzip=gzip, most=START))
    line, end, _ = start.partition(b"\n")
    if not end and len(start) >= START:
        return None
    try:
        return line.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError as error:
        raise Rejected(f"{_uri(version)} is not UTF-8: {error.reason}") from error


def count_lines(version: ObjectVersion, *, gzip: bool) -> int:
    """The lines that are not empty, read to the end of the object."""
    found, has_text = 0, False
    for piece in _pieces(version, gzip=gzip):
        *lines, rest = piece.split(b"\n")
        for line in lines:
            found += has_text or bool(line.strip())
            has_text = False
        has_text = has_text or bool(rest.strip())
    return found + has_text


def download(version: ObjectVersion, target: Path) -> None:
    """Copy an object into a new file, whose folder is made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        for piece in _pieces(version, gzip=False):
            file.write(piece)


def _pieces(version: ObjectVersion, *, gzip: bool, most: int | None = None) -> Iterator[bytes]:
    """The content of one version piece by piece, unpacked; at most so many stored bytes of it."""
    request: dict[str, Any] = {"Bucket": version.bucket, "Key": version.key}
    if version.version_id not in ("", "null"):
        request["VersionId"] = version.version_id
    if most is not None:
        request["Range"] = f"bytes=0-{most - 1}"
    with translated(f"reading {_uri(version)}"):
        body = client("s3").get_object(**request)["Body"]
        pieces = body.iter_chunks(PIECE)
        yield from _unpacked(version, pieces) if gzip else pieces


def _unpacked(version: ObjectVersion, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Of gzip members one after another, as `gzip` and appending write them."""
    reader = zlib.decompressobj(GZIP_WINDOW)
    try:
        for piece in pieces:
            data = piece
            while data:
                if reader.eof:
                    reader = zlib.decompressobj(GZIP_WINDOW)
                yield reader.decompress(data)
                data = reader.unused_data
    except zlib.error as error:
        raise Rejected(
            f"{_uri(version)} is not gzip, although its name says so: {error}"
        ) from error


def _uri(version: ObjectVersion) -> str:
    return f"s3://{version.bucket}/{version.key}"
