"""Probabilities as log-odds, in which independent evidence adds up."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

DIGITS: Final = 4
"""Verdicts are decided on probabilities rounded to this many decimals: what is stored is what was compared."""

_LEAST: Final = 0.5 * 10**-DIGITS


@lru_cache(maxsize=2 * 10**DIGITS)
def logit(probability: float) -> float:
    """ln(p / (1 - p)); certainty is clipped to half a unit of the last decimal, so that nothing is infinite.

    Remembered, because priors, thresholds and rounded probabilities come again and again.
    """
    clipped = min(max(probability, _LEAST), 1 - _LEAST)
    return math.log(clipped / (1 - clipped))


def sigmoid(log_odds: float) -> float:
    """The probability of these log-odds."""
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    return math.exp(log_odds) / (1 + math.exp(log_odds))


def excess(probability: float, prior: float) -> float:
    """How far above the prior, in log-odds; what lies below it counts as nothing rather than against."""
    return max(0.0, logit(probability) - logit(prior))


def raised(prior: float, by: float) -> float:
    """The prior raised by so many log-odds, as the rounded probability that verdicts are decided on."""
    return round(sigmoid(logit(prior) + by), DIGITS)
