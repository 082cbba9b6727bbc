"""Shares with their intervals, average precision with its own, and how far said and seen frequencies lie apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.strict import Strict

BINS = 10
"""Equal bins of probability under the calibration error."""
RESAMPLES, FEWEST_RESAMPLES = 400, 100
MOST_DRAWN = 4_000_000
"""Numbers held at once while resampling: of many items fewer resamples are drawn."""
CONFIDENCE = 0.95
_Z = 1.96

Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]


class Rate(Strict):
    """`hits` of `of`, and Wilson's interval at 95 %; None where there is nothing to divide by."""

    hits: int
    of: int
    value: float | None
    low: float | None
    high: float | None


class Interval(Strict):
    """95 % of what resampling the items gives."""

    low: float
    high: float


class Bin(Strict):
    """Items whose probability lies in one tenth: how many, what was said on average, how often it was so."""

    items: int
    said: float
    seen: float


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Between which the share lies at 95 %; `of` is above 0.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    share = hits / of
    middle = (share + _Z * _Z / (2 * of)) / (1 + _Z * _Z / of)
    half = _Z * math.sqrt(share * (1 - share) / of + _Z * _Z / (4 * of * of)) / (1 + _Z * _Z / of)
    return max(0.0, middle - half), min(1.0, middle + half)


def rate(hits: int, of: int) -> Rate:
    if not of:
        return Rate(hits=hits, of=of, value=None, low=None, high=None)
    low, high = wilson(hits, of)
    return Rate(hits=hits, of=of, value=round(hits / of, 4), low=round(low, 4), high=round(high, 4))


def tenths(truth: Truth, values: Floats) -> Iterator[tuple[int, float, float]]:
    """Of each of ten equal bins of probability that is not empty: items, mean probability, share that is true."""
    where = np.minimum((values * BINS).astype(int), BINS - 1)
    for chosen in (where == at for at in range(BINS)):
        if chosen.any():
            yield int(chosen.sum()), float(values[chosen].mean()), float(truth[chosen].mean())


def reliability(truth: Truth, values: Floats) -> tuple[Bin, ...]:
    """The bins as a report keeps them."""
    return tuple(
        Bin(items=items, said=round(said, 4), seen=round(seen, 4)) for items, said, seen in tenths(truth, values)
    )


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: distance of said and seen frequency, averaged over the items."""
    return sum(one.items * abs(one.said - one.seen) for one in bins) / max(sum(one.items for one in bins), 1)


def average_precision(truth: Truth, values: Floats, weights: Floats | None = None) -> Floats:
    """Sum over thresholds of (recall gained) × precision, for each row of `weights` [resamples, items].

    Items of one value pass together. NaN where a row gives no weight to any item that the truth holds of.
    """
    counts = np.ones((1, len(values))) if weights is None else weights
    order = np.argsort(-values, kind="stable")
    last = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    passed = np.cumsum(counts[:, order], axis=1)[:, last]
    hits = np.cumsum(counts[:, order] * truth[order], axis=1)[:, last]
    precision = np.divide(hits, passed, out=np.zeros_like(hits), where=passed > 0)
    gained = np.diff(hits, axis=1, prepend=0)
    with np.errstate(invalid="ignore"):
        return np.asarray((gained * precision).sum(axis=1) / hits[:, -1], dtype=np.float64)


def resamples(items: int) -> Floats:
    """How often each item is drawn [resamples, items]: the same for both checkpoints, and the same every time."""
    size = max(FEWEST_RESAMPLES, min(RESAMPLES, MOST_DRAWN // items))
    drawn = np.random.default_rng(0).multinomial(items, np.full(items, 1 / items), size=size)
    return drawn.astype(np.float64)


def interval(drawn: Floats) -> Interval | None:
    """Of a figure over resamples; None where none of them could be judged."""
    kept = drawn[~np.isnan(drawn)]
    if not len(kept):
        return None
    low, high = np.quantile(kept, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(low=round(float(low), 4), high=round(float(high), 4))
