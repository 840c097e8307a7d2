"""Quantiles of the chi-square distribution for whole degrees of freedom, so that serving needs no scipy."""

import math
from functools import lru_cache

#: Steps of the bisection, more than a double has bits.
_STEPS = 64


def tail(value: float, degrees: int) -> float:
    """Return the probability that a chi-square variable with these degrees of freedom exceeds the value.

    The sum is finite: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.4.4 and 26.4.5.
    """
    if value <= 0:
        return 1.0
    half, is_odd = value / 2, degrees % 2
    first = math.erfc(math.sqrt(half)) if is_odd else 0.0
    exponents = (index + is_odd / 2 for index in range(degrees // 2))
    terms = (exponent * math.log(half) - half - math.lgamma(exponent + 1) for exponent in exponents)
    return min(1.0, first + math.fsum(map(math.exp, terms)))


@lru_cache(maxsize=4096)
def quantile(probability: float, degrees: int) -> float:
    """Return the value that a chi-square variable exceeds with this probability, which is above 0 and below 1."""
    low, high = 0.0, 1.0
    while tail(high, degrees) > probability:
        low, high = high, high * 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle, degrees) > probability else (low, middle)
    return (low + high) / 2
