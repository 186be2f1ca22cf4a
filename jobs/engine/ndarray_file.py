"""Reads MXNet's files of named arrays, in which AWS's linear learner keeps its weights.

The format is that of `mx.nd.save` (MXNet 1.x, src/ndarray/ndarray.cc): a magic number, the arrays,
then their names, all little-endian. Dense arrays of versions 1 and 2 are read. Numpy only.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

LIST_MAGIC = 0x112
DENSE_MAGICS = {0xF993FAC8: False, 0xF993FAC9: True}  # whether a storage type follows
TYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8"}
MOST_ARRAYS = 1_000
MOST_DIMENSIONS = 32

Array = np.ndarray[Any, Any]


class _Bytes:
    """The content of a file, read from front to back."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._place = 0

    def take(self, count: int) -> bytes:
        """The next bytes; raises ValueError when there are fewer."""
        end = self._place + count
        if count < 0 or end > len(self._body):
            raise ValueError("the file of arrays is cut off")
        part, self._place = self._body[self._place : end], end
        return part

    def number(self, form: str) -> int:
        """The next number, in the notation of `struct`."""
        (found,) = struct.unpack(f"<{form}", self.take(struct.calcsize(form)))
        return int(found)


def read_arrays(body: bytes) -> dict[str, Array]:
    """The arrays by name; raises ValueError for what is no such file."""
    source = _Bytes(body)
    if len(body) < 24 or source.number("Q") != LIST_MAGIC:
        raise ValueError("this is no file of MXNet arrays")
    source.number("Q")  # reserved
    count = source.number("Q")
    if count > MOST_ARRAYS:
        raise ValueError(f"{count} arrays, at most {MOST_ARRAYS} are read")
    arrays = [_read_array(source) for _ in range(count)]
    if source.number("Q") != count:
        raise ValueError("not every array has a name")
    names = [source.take(source.number("Q")).decode("utf-8", "replace") for _ in range(count)]
    return dict(zip(names, arrays, strict=True))


def _read_array(source: _Bytes) -> Array:
    magic = source.number("I")
    if magic not in DENSE_MAGICS:
        raise ValueError(f"an array of a version that is not read ({magic:#x})")
    if DENSE_MAGICS[magic] and source.number("i") != 0:
        raise ValueError("a sparse array")
    dimensions = source.number("I")
    if dimensions > MOST_DIMENSIONS:
        raise ValueError(f"an array of {dimensions} dimensions")
    shape = tuple(source.number("q") for _ in range(dimensions))
    if not shape:
        raise ValueError("an array without a shape")
    source.take(8)  # the device that it lay on
    kind = source.number("i")
    if kind not in TYPES:
        raise ValueError(f"an array of the unknown type {kind}")
    dtype = np.dtype(TYPES[kind])
    if any(length < 0 for length in shape):
        raise ValueError(f"an array of shape {shape}")
    size = 1
    for length in shape:
        size *= length
    return np.frombuffer(source.take(size * dtype.itemsize), dtype=dtype).reshape(shape)
