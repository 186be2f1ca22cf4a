"""Which rows a model may never learn from: decided by a hash of what names the row.

The identity of a row is the SHA-256 of the canonical texts of its identity columns (of all
columns but the label when the settings name none), each with its length in front, so that no two
lists of texts run into one another. A canonical text depends on the value alone, not on how a
file spelled or typed it: 39, 39.0 and "39" are one. The first 64 bits of the hash, as a fraction,
against the holdout's share decide the side; the next 64 bits decide validation within the
training rows. So a row stays on its side for ever, in every run, object and order.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Iterable

from perennial.domain.schema import Value, text_of

MISSING = "-"
HEX_DIGITS = 32  # 128 bits: two rows of a billion meet with a chance below 1e-20


def canonical(value: Value) -> str:
    """The part of an identity that one value gives; a missing one has a mark of its own."""
    text = unicodedata.normalize("NFC", text_of(value))
    return f"{len(text)}:{text}" if text else MISSING


def row_identity(parts: Iterable[str]) -> str:
    """The identity of a row from its `canonical` parts, as 32 hexadecimal digits."""
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:HEX_DIGITS]


def bound(share: float) -> int:
    """The least number of 64 bits that a share does not reach."""
    return math.ceil(share * 2**64)


def in_holdout(identity: str, share: float) -> bool:
    """Say whether a row is kept out of training; `share` is between 0 and 1."""
    return int(identity[:16], 16) < bound(share)


def in_validation(identity: str, share: float) -> bool:
    """Say whether a training row serves to watch the training instead of being learned from."""
    return int(identity[16:32], 16) < bound(share)
