"""What the thresholds of the policies mean on held-out lines, and which probability a stated rate would ask for.

A threshold is a calibrated probability, so it keeps its meaning when another checkpoint fills the slot; how far that
holds is seen here. A line reaches a threshold as it does in the pool: by itself, at the threshold or above.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.policies import Policies, Thresholds
from pipelines.text.training.evaluate import Judged, Share
from pipelines.text.training.lines import Floats

RATES = (0.01, 0.001)
"""False-positive rates for which a probability is given."""
FEWEST_ABOUT, FEWEST_OTHERS = 20, 200
"""As many lines about a policy, and of others, give a language figures of its own."""

COLUMNS = (
    *("policy", "language", "about it", "others", "others at watch", "at review", "at act", "found at review"),
    *(f"{rate:.1%} of others above" for rate in RATES),
)


@dataclass(frozen=True)
class Reached:
    """One threshold: how many of the lines that are not about the policy reach it, and how many of those that are."""

    threshold: float
    others: Share
    found: Share


@dataclass(frozen=True)
class Operating:
    """One policy in all languages (`language` None) or in one.

    `limits` belong to `RATES`: the least probability above which no more than that share of the other lines lies;
    NaN where there are too few lines for a single one of them to lie above.
    """

    policy: str
    language: str | None
    about: int
    others: int
    watch: Reached
    review: Reached
    act: Reached
    limits: tuple[float, ...]


def operating(judged: Mapping[str, Judged], policies: Policies) -> tuple[Operating, ...]:
    """Each policy over all its lines, and after it every language that has enough of both kinds."""
    found: list[Operating] = []
    for policy, lines in judged.items():
        thresholds = policies.policies[policy].thresholds
        found.append(_operating(policy, None, lines, thresholds))
        found += [_operating(policy, language, lines.only(language), thresholds) for language in languages_of(lines)]
    return tuple(found)


def languages_of(judged: Judged) -> tuple[str, ...]:
    """The languages with lines enough for figures of their own."""
    named = sorted({language for language in judged.languages if language is not None})
    sides = {language: judged.only(language).truth for language in named}
    return tuple(
        language for language, truth in sides.items() if truth.sum() >= FEWEST_ABOUT and (~truth).sum() >= FEWEST_OTHERS
    )


def limit(others: Floats, rate: float) -> float:
    """The least probability above which no more than `rate` of these lies; NaN where that would have to be none."""
    allowed = math.floor(rate * len(others) + 1e-9)
    return float(np.sort(others)[-1 - allowed]) if allowed else math.nan


def rows(points: Sequence[Operating]) -> Iterator[tuple[str, ...]]:
    """As `COLUMNS` name them; behind each rate stands the threshold that it is the rate of."""
    for point in points:
        yield (
            point.policy,
            point.language or "all",
            str(point.about),
            str(point.others),
            *(_rate(reached) for reached in (point.watch, point.review, point.act)),
            str(point.review.found),
            *("-" if math.isnan(each) else f"{each:.3f}" for each in point.limits),
        )


def _operating(policy: str, language: str | None, lines: Judged, thresholds: Thresholds) -> Operating:
    truth, values = lines.truth, lines.probabilities
    about, others = values[truth], values[~truth]

    def reached(threshold: float) -> Reached:
        return Reached(threshold, _share(others, threshold), _share(about, threshold))

    return Operating(
        policy,
        language,
        len(about),
        len(others),
        reached(thresholds.watch),
        reached(thresholds.review),
        reached(thresholds.act),
        tuple(limit(others, rate) for rate in RATES),
    )


def _share(values: Floats, threshold: float) -> Share:
    return Share(int((values >= threshold).sum()), len(values))


def _rate(reached: Reached) -> str:
    share = reached.others
    return f"{share.value:.1%} ({reached.threshold:g})" if share.of else "-"
