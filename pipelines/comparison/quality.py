"""How good both checkpoints are on items that somebody judged: per policy, the same items for both."""

from __future__ import annotations

import numpy as np

from pipelines.comparison.pairs import Column
from pipelines.comparison.rates import (
    Bin,
    Floats,
    Interval,
    Rate,
    Truth,
    average_precision,
    calibration_error,
    interval,
    rate,
    reliability,
    resamples,
)
from pipelines.policies import Thresholds
from pipelines.strict import Strict

FALSE_ALARMS = 0.01
"""Recall is given where so many of the items that are not about a policy are flagged: that needs no calibration."""
FEWEST = 10
"""With fewer items of either kind a policy's figures are shown and decide nothing."""


class Quality(Strict):
    """One checkpoint on the judged items of one policy.

    `recall` is at the threshold above which `FALSE_ALARMS` of the other items lie; `found` and `false_alarms` are at
    the policy's `review`, as the pool would flag.
    """

    average_precision: float
    precision_interval: Interval | None
    recall: Rate
    threshold: float
    found: Rate
    false_alarms: Rate
    calibration_error: float
    reliability: tuple[Bin, ...]


class Judgement(Strict):
    """Both checkpoints on one policy. `difference` is how much more average precision the new one has.

    Its interval comes from drawing the same items for both. `enough` says whether there are items to decide by.
    """

    policy: str
    items: int
    about: int
    enough: bool
    old: Quality
    new: Quality
    difference: float
    difference_interval: Interval | None


def judgement(column: Column, thresholds: Thresholds) -> Judgement | None:
    """None where the judged items are all about the policy or none is: there is nothing to tell apart."""
    rows = [row for row, pair in enumerate(column.pairs) if column.policy in pair.truth]
    truth = np.array([column.pairs[row].truth[column.policy] for row in rows], dtype=np.bool_)
    about = int(truth.sum())
    if not 0 < about < len(truth):
        return None
    old, new = column.old[rows], column.new[rows]
    weights = resamples(len(rows))
    drawn = [average_precision(truth, side, weights) for side in (old, new)]
    before, after = (_quality(truth, side, own, thresholds) for side, own in zip((old, new), drawn, strict=True))
    return Judgement(
        policy=column.policy,
        items=len(rows),
        about=about,
        enough=min(about, len(rows) - about) >= FEWEST,
        old=before,
        new=after,
        difference=round(after.average_precision - before.average_precision, 4),
        difference_interval=interval(drawn[1] - drawn[0]),
    )


def _quality(truth: Truth, values: Floats, drawn: Floats, thresholds: Thresholds) -> Quality:
    threshold = float(np.quantile(values[~truth], 1 - FALSE_ALARMS, method="higher"))
    flagged = values >= thresholds.review
    bins = reliability(truth, values)
    return Quality(
        average_precision=round(float(average_precision(truth, values)[0]), 4),
        precision_interval=interval(drawn),
        recall=rate(int((values[truth] > threshold).sum()), int(truth.sum())),
        threshold=threshold,
        found=rate(int((flagged & truth).sum()), int(truth.sum())),
        false_alarms=rate(int((flagged & ~truth).sum()), int((~truth).sum())),
        calibration_error=round(calibration_error(bins), 4),
        reliability=bins,
    )
