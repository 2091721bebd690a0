"""Samples of a duration, and what may be said of them."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Samples:
    """Durations of one task in seconds, in the order in which they were taken."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the samples, in seconds."""
        return statistics.median(self.seconds)

    def quantile(self, share: float) -> float:
        """The sample below which `share` of them lie, by the nearest rank."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]

    @property
    def spread(self) -> float:
        """(p80 − p20) / median."""
        return (self.quantile(0.8) - self.quantile(0.2)) / self.median


@dataclass(frozen=True)
class Ratio:
    """How many times as long one task takes as another, with the interval at 95 %."""

    median: float
    low: float
    high: float


def ratio_of(numerator: Samples, denominator: Samples) -> Ratio:
    """The median of the paired ratios and its 95 % interval.

    Samples are paired by the round in which they were taken, so that a drift of the machine's
    speed cancels. The interval is that of the median by order statistics (sign test), which
    assumes nothing of the distribution; with fewer than six pairs it is the whole range.
    """
    pairs = zip(numerator.seconds, denominator.seconds, strict=False)
    ratios = sorted(above / below for above, below in pairs)
    skipped = _ranks_outside(len(ratios))
    return Ratio(statistics.median(ratios), ratios[skipped], ratios[-1 - skipped])


def _ranks_outside(n: int, confidence: float = 0.95) -> int:
    """How many samples at each end lie outside the interval of the median.

    The interval from the (j+1)-th to the (n−j)-th of n samples misses the median with probability
    2 · P(B ≤ j), B binomial (n, ½).
    """
    tail, outside = 0.0, -1
    while 2 * (tail := tail + math.comb(n, outside + 1) / 2**n) <= 1 - confidence:
        outside += 1
    return max(0, outside)
