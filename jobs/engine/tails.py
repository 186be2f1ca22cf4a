"""Tails of distributions, by the standard library alone: how likely is so much, by chance?

Formulas are those of Press and others, "Numerical Recipes" (3rd edition, 2007), sections 6.2
(gamma) and 6.4 (beta), and the hypergeometric and binomial distributions as sums of their terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

PRECISION = 1e-14
MOST_TERMS = 10_000
TINY = 1e-300


def surplus(bad: int, rows: int, base_bad: int, base_rows: int) -> float:
    """Fisher's exact test, one-sided: the chance of at least so many bad ones among `rows`.

    It holds for rows and base rows of one distribution, whatever that is: all are put together and
    dealt out anew. 1 without bad ones or without base rows.
    """
    total, marked = rows + base_rows, bad + base_bad
    if not bad or not base_rows:
        return 1.0
    first = (
        _choose(rows, bad) + _choose(base_rows, marked - bad) - _choose(total, marked)
    )  # logarithms
    return _sum_of_terms(
        first,
        lambda k: (rows - k) * (marked - k) / ((k + 1) * (base_rows - marked + k + 1)),
        bad,
        min(rows, marked),
        mean=rows * marked / total,
    )


def binomial_surplus(bad: int, rows: int, share: float) -> float:
    """The chance of at least so many bad ones among `rows` when each is bad with `share`."""
    if not bad or share >= 1:
        return 1.0
    if share <= 0:
        return 0.0
    first = _choose(rows, bad) + bad * math.log(share) + (rows - bad) * math.log1p(-share)
    odds = share / (1 - share)
    return _sum_of_terms(first, lambda k: (rows - k) / (k + 1) * odds, bad, rows, mean=rows * share)


def _choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _sum_of_terms(
    first: float, ratio: Callable[[int], float], start: int, end: int, *, mean: float
) -> float:
    """The sum of terms from `start` on, each `ratio(k)` times the one before.

    Below the mean the sum is no small chance; 1 is answered, which is on the safe side.
    """
    if start <= mean:
        return 1.0
    term = whole = math.exp(min(first, 0.0))
    for k in range(start, end):
        term *= ratio(k)
        whole += term
        if term < whole * PRECISION:
            break
    return min(whole, 1.0)


def chi_squared_tail(statistic: float, freedom: int) -> float:
    """The chance that a chi-squared variable of so many degrees of freedom is at least this."""
    return _gamma_tail(freedom / 2, statistic / 2)


def student_tail(statistic: float, freedom: float) -> float:
    """The chance that Student's t of so many degrees of freedom is at least this."""
    if freedom <= 0:
        return 1.0
    if math.isinf(statistic):
        return 0.0 if statistic > 0 else 1.0
    half = _beta_share(freedom / (freedom + statistic * statistic), freedom / 2, 0.5) / 2
    return half if statistic >= 0 else 1 - half


def normal_quantile(tail: float) -> float:
    """The value that a normal variable exceeds with this chance (0 to 1, both excluded)."""
    return -NormalDist().inv_cdf(tail)


def _gamma_tail(a: float, x: float) -> float:
    """Q(a, x), the upper incomplete gamma function's share."""
    if x <= 0:
        return 1.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = whole = 1 / a
        for n in range(1, MOST_TERMS):
            term *= x / (a + n)
            whole += term
            if term < whole * PRECISION:
                break
        return max(1 - whole * scale, 0.0)
    # Lentz's continued fraction.
    b = x + 1 - a
    c, d = 1 / TINY, 1 / b
    found = d
    for n in range(1, MOST_TERMS):
        factor = -n * (n - a)
        b += 2
        d = 1 / _kept(factor * d + b)
        c = _kept(b + factor / c)
        found *= d * c
        if abs(d * c - 1) < PRECISION:
            break
    return min(found * scale, 1.0)


def _beta_share(x: float, a: float, b: float) -> float:
    """I_x(a, b), the incomplete beta function's share."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    scale = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return scale * _beta_fraction(x, a, b) / a
    return 1 - scale * _beta_fraction(1 - x, b, a) / b


def _beta_fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _kept(1 - (a + b) * x / (a + 1))
    found = d
    for n in range(1, MOST_TERMS):
        for factor in (
            n * (b - n) * x / ((a + 2 * n - 1) * (a + 2 * n)),
            -(a + n) * (a + b + n) * x / ((a + 2 * n) * (a + 2 * n + 1)),
        ):
            d = 1 / _kept(1 + factor * d)
            c = _kept(1 + factor / c)
            found *= d * c
        if abs(d * c - 1) < PRECISION:
            break
    return found


def _kept(value: float) -> float:
    """A denominator that is not zero."""
    return value if abs(value) > TINY else TINY
