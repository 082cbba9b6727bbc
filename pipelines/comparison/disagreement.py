"""Who flags what: counts by policy, language and modality, and the items whose verdict changes most."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from pipelines.comparison.pairs import Column
from pipelines.policies import Thresholds
from pipelines.record import SEVERITIES, Modality, Severity
from pipelines.strict import Strict

UNKNOWN = "unknown"
"""Language of items that have none, or whose language nobody could tell."""


class Flags(Strict):
    """Items by who flags them: which probability reaches the policy's `review`."""

    neither: int = 0
    only_old: int = 0
    only_new: int = 0
    both: int = 0

    @property
    def items(self) -> int:
        return self.neither + self.only_old + self.only_new + self.both

    @property
    def differ(self) -> int:
        return self.only_old + self.only_new


class Cell(Strict):
    """The items of one language and modality, as one policy sees them."""

    policy: str
    language: str
    modality: Modality
    flags: Flags


class Exemplar(Strict):
    """One item worth a look: where it is, and what either says of it. `weight` is what they are sorted by."""

    policy: str
    id: str
    where: str
    modality: Modality
    language: str
    old: float
    new: float
    severity_old: Severity
    severity_new: Severity
    weight: float
    text: str | None = None


def severity(probability: float, thresholds: Thresholds) -> Severity:
    """What this probability would be by itself."""
    reached = sum(probability >= bound for bound in (thresholds.watch, thresholds.review, thresholds.act))
    return SEVERITIES[reached]


def flags(column: Column, thresholds: Thresholds) -> Flags:
    """Over all items."""
    return _counted([_side(*pair, thresholds.review) for pair in zip(column.old, column.new, strict=True)])


def cells(column: Column, thresholds: Thresholds) -> tuple[Cell, ...]:
    """The same by language and modality; those in which most disagree first."""
    groups: dict[tuple[str, Modality], list[str]] = defaultdict(list)
    for pair, old, new in zip(column.pairs, column.old, column.new, strict=True):
        groups[pair.language or UNKNOWN, pair.modality].append(_side(old, new, thresholds.review))
    found = [Cell(policy=column.policy, language=a, modality=b, flags=_counted(c)) for (a, b), c in groups.items()]
    return tuple(sorted(found, key=lambda cell: (-cell.flags.differ, -cell.flags.items, cell.language, cell.modality)))


def exemplars(column: Column, thresholds: Thresholds, most: int) -> tuple[Exemplar, ...]:
    """The items that changed most: distance of the probabilities × (1 + rank of the higher severity, high is 3)."""
    higher = np.maximum(column.old, column.new)
    ranks = [SEVERITIES.index(severity(float(value), thresholds)) for value in higher]
    weights = np.abs(column.new - column.old) * (1 + np.array(ranks, dtype=np.float64))
    first = sorted(np.flatnonzero(weights), key=lambda row: (-weights[row], column.pairs[row].id))[:most]
    return tuple(_exemplar(column, int(row), float(weights[row]), thresholds) for row in first)


def _side(old: float, new: float, review: float) -> str:
    if old >= review:
        return "both" if new >= review else "only_old"
    return "only_new" if new >= review else "neither"


def _counted(sides: Sequence[str]) -> Flags:
    counts = Counter(sides)
    return Flags(
        neither=counts["neither"], only_old=counts["only_old"], only_new=counts["only_new"], both=counts["both"]
    )


def _exemplar(column: Column, row: int, weight: float, thresholds: Thresholds) -> Exemplar:
    pair, old, new = column.pairs[row], float(column.old[row]), float(column.new[row])
    return Exemplar(
        policy=column.policy,
        id=pair.id,
        where=pair.where,
        modality=pair.modality,
        language=pair.language or UNKNOWN,
        old=old,
        new=new,
        severity_old=severity(old, thresholds),
        severity_new=severity(new, thresholds),
        weight=round(weight, 4),
        text=pair.text,
    )
