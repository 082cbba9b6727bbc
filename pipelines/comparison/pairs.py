"""One item and what either checkpoint said of it, and from many such pairs one column of probabilities a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.cards import Label
from pipelines.comparison.rates import Floats
from pipelines.fusion.log_odds import DIGITS
from pipelines.record import Modality

NativeScores = Mapping[str, float]
Meanings = Mapping[str, Label]
"""Native label -> what the card says it means."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One frame or text. `old` and `new` are native scores by label; None: that checkpoint gave none.

    `id` and `where` find the item again. `truth` says of the policies that somebody judged whether the item is about
    them. `text` stays None unless whoever asked wants to read it.
    """

    id: str
    where: str
    modality: Modality
    language: str | None
    old: NativeScores | None
    new: NativeScores | None
    truth: Mapping[str, bool] = field(default_factory=dict)
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """What one policy makes of the pairs that both answered: `old` and `new` are probabilities [pairs]."""

    policy: str
    pairs: tuple[Pair, ...]
    old: Floats
    new: Floats


def spoken_for(meanings: Meanings) -> frozenset[str]:
    """The policies that any of these labels speaks for."""
    return frozenset(policy for label in meanings.values() for policy in label.policies)


def probabilities(scores: NativeScores, meanings: Meanings, language: str | None) -> dict[str, float]:
    """Policy -> calibrated probability, rounded as fusion rounds it; of several labels the strongest speaks."""
    found: dict[str, float] = {}
    for name, score in scores.items():
        label = meanings.get(name)
        if label is None:
            continue
        probability = round(label.calibration_for(language)(score), DIGITS)
        for policy in label.policies:
            found[policy] = max(found.get(policy, 0.0), probability)
    return found


def columns(pairs: Sequence[Pair], old: Meanings, new: Meanings) -> tuple[Column, ...]:
    """One for each policy that both checkpoints speak for, over the pairs that both answered."""
    answered = tuple(pair for pair in pairs if pair.old is not None and pair.new is not None)
    said_old = [probabilities(pair.old or {}, old, pair.language) for pair in answered]
    said_new = [probabilities(pair.new or {}, new, pair.language) for pair in answered]
    return tuple(_column(policy, answered, said_old, said_new) for policy in sorted(spoken_for(old) & spoken_for(new)))


def alone(pairs: Sequence[Pair], meanings: Meanings, policy: str, *, new: bool) -> Floats:
    """The probabilities of a policy that only one of the two speaks for, over the items that it answered."""
    own = [(pair, pair.new if new else pair.old) for pair in pairs]
    said = [probabilities(scores, meanings, pair.language) for pair, scores in own if scores is not None]
    return np.array([found[policy] for found in said if policy in found], dtype=np.float64)


def _column(
    policy: str, answered: tuple[Pair, ...], old: Sequence[Mapping[str, float]], new: Sequence[Mapping[str, float]]
) -> Column:
    """A model that left out a label of this policy for an item said nothing of it: that pair is not in the column."""
    rows = [row for row in range(len(answered)) if policy in old[row] and policy in new[row]]
    return Column(
        policy,
        tuple(answered[row] for row in rows),
        np.array([old[row][policy] for row in rows], dtype=np.float64),
        np.array([new[row][policy] for row in rows], dtype=np.float64),
    )
