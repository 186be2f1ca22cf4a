"""Rows drawn with replacement, as how often each row is in a draw.

Few rows are drawn one by one. Many get a Poisson number each, at a rate a little below one, and
the rest of the draw one by one: independent Poisson numbers, given their sum, are a multinomial
draw of that many rows (and one whose sum is too large is made again), so the counts have the
plain bootstrap's distribution, to the 32 bits of a random number, in less than half the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

BLOCK = 1 << 17  # rows x draws that are worked on at once: 1 MiB a column
MANY = 20_000
COMMON = 5  # a row is in a draw more often in 6 of 10,000 cases
ROOM = 5.0  # standard errors by which the Poisson numbers' sum stays below the rows


def drawn_counts(
    rows: int, draws: int, random: np.random.Generator
) -> Iterator[tuple[slice, Array]]:
    """How often each row is in each draw, block of draws by block."""
    if rows >= MANY:
        bounds = thresholds(1 - ROOM / math.sqrt(rows))
        for start in range(draws):
            yield slice(start, start + 1), _poisson_draw(rows, bounds, random)[None, :]
        return
    step = max(BLOCK // rows, 1)
    for start in range(0, draws, step):
        size = min(step, draws - start)
        picked = random.integers(0, rows, (size, rows))
        picked += np.arange(size)[:, None] * rows
        counts = np.bincount(picked.ravel(), minlength=size * rows).reshape(size, rows)
        yield slice(start, start + size), counts


def thresholds(rate: float) -> Array:
    """Where a random number of 32 bits must lie for each count: from bound k on, above k.

    The cumulative probabilities of Poisson's distribution, in units of 2^-32.
    """
    chance, cumulated, found = math.exp(-rate), 0.0, []
    for count in range(1, 100):
        cumulated += chance
        bound = round(cumulated * 2**32)
        if bound >= 2**32:
            break
        found.append(bound)
        chance *= rate / count
    return np.array(found, dtype=np.uint32)


def _poisson_draw(rows: int, bounds: Array, random: np.random.Generator) -> Array:
    while True:
        words = random.bit_generator.random_raw((rows + 1) // 2).view(np.uint32)[:rows]
        counts: Array = (words >= bounds[0]).view(np.uint8)
        for bound in bounds[1:COMMON]:
            counts += (words >= bound).view(np.uint8)
        rare = np.flatnonzero(words >= bounds[COMMON])
        for bound in bounds[COMMON:]:
            counts[rare] += words[rare] >= bound
        lacking = rows - int(counts.sum(dtype=np.int64))
        if lacking >= 0:
            np.add.at(counts, random.integers(0, rows, lacking), 1)
            return counts
