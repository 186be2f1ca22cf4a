"""The texts of HTTP/1.1 requests (RFC 9112), strict where two readers could disagree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LINE = re.compile(rb"([A-Z]+) ([^ \x00-\x20]+) HTTP/1\.([01])")
NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(;.*)?")
LONGEST_SIZE_LINE = 256


class BadHttp(Exception):
    """What came is no request that can be answered; `status` says how."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True)
class Head:
    """A request's line and headers. `length` is None for a chunked body."""

    method: str
    path: str
    headers: Mapping[str, str]
    length: int | None
    keeps: bool
    expects: bool


def parse_head(raw: bytes) -> Head:
    """Read the lines before the empty one; raises `BadHttp`."""
    first, *lines = raw.split(b"\r\n")
    match = LINE.fullmatch(first)
    if not match:
        raise BadHttp(400, "the request line is not of HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not NAME.fullmatch(name):
            raise BadHttp(400, "a header line is not of the form name: value")
        key = name.decode("ascii").lower()
        if key in headers and key in ("content-length", "transfer-encoding", "content-type"):
            raise BadHttp(400, f"the header {key} is there twice")
        headers[key] = value.strip(b" \t").decode("latin-1")
    tokens = headers.get("connection", "").lower()
    keeps = "close" not in tokens if match[3] == b"1" else "keep-alive" in tokens
    return Head(
        match[1].decode("ascii"),
        match[2].decode("latin-1").partition("?")[0],
        headers,
        _length(headers),
        keeps,
        headers.get("expect", "").lower() == "100-continue",
    )


def _length(headers: Mapping[str, str]) -> int | None:
    coding = headers.get("transfer-encoding", "").lower()
    given = headers.get("content-length")
    if coding:
        if coding != "chunked" or given is not None:
            raise BadHttp(400, "the length of the body is not clear")
        return None
    if given is None:
        return 0
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise BadHttp(400, "content-length is not a number")
    return int(given)


def read_body(head: Head, data: bytes, limit: int) -> tuple[bytes, bytes] | None:
    """The body and what follows it, or None when more must come; raises `BadHttp`."""
    if head.length is None:
        return _chunks(data, limit)
    if head.length > limit:
        raise BadHttp(413, f"the body has {head.length:,} bytes; at most {limit:,} are read")
    if len(data) < head.length:
        return None
    return data[: head.length], data[head.length :]


def _chunks(data: bytes, limit: int) -> tuple[bytes, bytes] | None:
    pieces: list[bytes] = []
    place = total = 0
    while True:
        end = data.find(b"\r\n", place, place + LONGEST_SIZE_LINE)
        if end < 0:
            if len(data) - place >= LONGEST_SIZE_LINE:
                raise BadHttp(400, "a chunk begins without its size")
            return None
        match = SIZE.fullmatch(data[place:end])
        if not match:
            raise BadHttp(400, "the size of a chunk is not a hexadecimal number")
        size = int(match[1], 16)
        total += size
        if total > limit:
            raise BadHttp(413, f"the body has more than {limit:,} bytes")
        begin = end + 2
        if size == 0:
            return _trailer(b"".join(pieces), data, begin)
        if len(data) < begin + size + 2:
            return None
        if data[begin + size : begin + size + 2] != b"\r\n":
            raise BadHttp(400, "a chunk is longer or shorter than it says")
        pieces.append(data[begin : begin + size])
        place = begin + size + 2


def _trailer(body: bytes, data: bytes, place: int) -> tuple[bytes, bytes] | None:
    """Skip the trailer fields; the body ends with an empty line."""
    while True:
        end = data.find(b"\r\n", place)
        if end < 0:
            return None
        if end == place:
            return body, data[end + 2 :]
        place = end + 2
