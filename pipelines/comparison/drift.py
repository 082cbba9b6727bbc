"""How far the probabilities moved: population stability index, shift of the mean, rank correlation, histograms."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pipelines.comparison.pairs import Column
from pipelines.comparison.rates import Floats
from pipelines.strict import Strict

DECILES = 10
BARS = 20
"""Equal bins of the histograms, over 0 to 1."""
LITTLE, MUCH = 0.1, 0.25
"""The usual reading of the index: below the first little moved, from the second on much did."""
FEWEST = 100
"""Of fewer items the index is mostly chance, and is not put into words."""

Reading = Literal["little", "some", "much"]


class Drift(Strict):
    """One policy's probabilities under the old checkpoint and under the new one.

    `psi` is None without items; `reading` too where there are too few. `rank_correlation` is Spearman's, and None
    where either gives every item the same. `histogram_*` are counts in equal bins.
    """

    items: int
    psi: float | None
    reading: Reading | None
    mean_old: float
    mean_new: float
    rank_correlation: float | None
    histogram_old: tuple[int, ...]
    histogram_new: tuple[int, ...]

    @property
    def mean_shift(self) -> float:
        return self.mean_new - self.mean_old


def drift(column: Column) -> Drift:
    """The whole of it for one policy."""
    count = len(column.pairs)
    index = stability_index(column.old, column.new) if count else None
    correlation = rank_correlation(column.old, column.new)
    return Drift(
        items=count,
        psi=None if index is None else round(index, 4),
        reading=reading(index) if index is not None and count >= FEWEST else None,
        mean_old=round(float(column.old.mean()), 4) if count else 0.0,
        mean_new=round(float(column.new.mean()), 4) if count else 0.0,
        rank_correlation=None if correlation is None else round(correlation, 4),
        histogram_old=_histogram(column.old),
        histogram_new=_histogram(column.new),
    )


def stability_index(old: Floats, new: Floats) -> float:
    """Sum over bins of (new share - old share) × ln(new share / old share); the bins are the old one's deciles.

    As N. Siddiqi, Credit Risk Scorecards (Wiley, 2006), has it, with the reading of `LITTLE` and `MUCH` that has become
    usual; B. Yurdakul, Statistical Properties of Population Stability Index (2018), shows how it depends on the number
    of items. Deciles that fall on one value are one bin. An empty bin counts as half an item, or the sum were infinite.
    """
    edges = np.unique(np.quantile(old, np.arange(1, DECILES) / DECILES))
    bins = len(edges) + 1
    before, after = (np.bincount(np.searchsorted(edges, side, "left"), minlength=bins) for side in (old, new))
    shares = [np.maximum(counts, 0.5) / counts.sum() for counts in (before, after)]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def reading(index: float) -> Reading:
    """The index in words."""
    return "little" if index < LITTLE else "some" if index < MUCH else "much"


def rank_correlation(old: Floats, new: Floats) -> float | None:
    """Spearman's: the correlation of the ranks, equal values sharing the middle one; None where a side has only one."""
    if not len(old) or (old == old[0]).all() or (new == new[0]).all():
        return None
    return float(np.corrcoef(_ranks(old), _ranks(new))[0, 1])


def _ranks(values: Floats) -> Floats:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], dtype=np.float64)


def _histogram(values: Floats) -> tuple[int, ...]:
    return tuple(int(count) for count in np.histogram(values, bins=BARS, range=(0, 1))[0])
