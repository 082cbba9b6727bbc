"""The comparison as one value: what is printed, written as JSON and drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from pipelines.comparison.disagreement import Cell, Exemplar, Flags, cells, exemplars, flags
from pipelines.comparison.drift import Drift, drift
from pipelines.comparison.pairs import Column, Meanings, Pair, alone, columns, spoken_for
from pipelines.comparison.quality import Judgement, judgement
from pipelines.items import CheckpointRef
from pipelines.policies import Policies
from pipelines.strict import Strict

EXEMPLARS = 10
"""Of each policy."""


class Cost(Strict):
    """What one checkpoint took of its engine, measured on these items.

    `p50_ms` and `p95_ms` are of items asked one at a time; `seconds_per_item` of full batches. `memory_mb` is the peak
    of a process that holds this checkpoint and nothing else, `device_memory_mb` what torch held of a GPU in it.
    """

    items: int
    batch: int
    p50_ms: float
    p95_ms: float
    seconds_per_item: float
    memory_mb: float | None = None
    device_memory_mb: float | None = None


class Side(Strict):
    """One checkpoint. `failed` are items that it could not score, by error class; `cost` None: not measured here."""

    checkpoint: CheckpointRef
    policies: tuple[str, ...]
    failed: dict[str, int] = {}
    cost: Cost | None = None


class PolicyFigures(Strict):
    """One policy that both checkpoints speak for."""

    policy: str
    title: str
    review: float
    flags: Flags
    cells: tuple[Cell, ...]
    drift: Drift
    judgement: Judgement | None
    exemplars: tuple[Exemplar, ...]


class OnlyOne(Strict):
    """A policy that one checkpoint speaks for and the other does not, and how many items the one flags."""

    policy: str
    title: str
    by: Literal["old", "new"]
    items: int
    flagged: int


class Comparison(Strict):
    """Version 1 of what `liverisk models compare --json` prints.

    `items` were looked at, `compared` are those that both answered; `left_out` says why the others are not.
    """

    schema_id: Literal["liverisk.comparison"] = Field(default="liverisk.comparison", alias="schema")
    version: Literal[1] = 1
    slot: str
    source: str
    old: Side
    new: Side
    items: int
    compared: int
    left_out: dict[str, int]
    policies: tuple[PolicyFigures, ...]
    only_one: tuple[OnlyOne, ...]
    policy_digest: str

    @property
    def flags(self) -> Flags:
        """Over all policies: an item counts once for each."""
        sums = Counter[str]()
        for one in self.policies:
            sums.update(one.flags.model_dump())
        return Flags(**sums)


@dataclass(frozen=True, slots=True)
class Spoken:
    """One checkpoint, what its labels mean, and what is known of how it scored these items."""

    checkpoint: CheckpointRef
    meanings: Meanings
    failed: Mapping[str, int]
    cost: Cost | None = None

    def side(self) -> Side:
        return Side(
            checkpoint=self.checkpoint,
            policies=tuple(sorted(spoken_for(self.meanings))),
            failed=dict(self.failed),
            cost=self.cost,
        )


def compare(
    pairs: Sequence[Pair],
    old: Spoken,
    new: Spoken,
    policies: Policies,
    *,
    slot: str,
    source: str,
    left_out: Mapping[str, int] | None = None,
) -> Comparison:
    """All figures; the policies about which most disagree come first. `left_out`: what never became a pair, and why."""
    found = [_figures(column, policies) for column in columns(pairs, old.meanings, new.meanings)]
    answered = [pair for pair in pairs if pair.old is not None and pair.new is not None]
    gone = Counter(left_out or {})
    gone.update(_silent(pair) for pair in pairs if pair.old is None or pair.new is None)
    return Comparison(
        schema="liverisk.comparison",
        slot=slot,
        source=source,
        old=old.side(),
        new=new.side(),
        items=len(pairs) + sum((left_out or {}).values()),
        compared=len(answered),
        left_out=dict(gone),
        policies=tuple(sorted(found, key=lambda one: (-one.flags.differ, -(one.drift.psi or 0.0), one.policy))),
        only_one=_only_one(pairs, old.meanings, new.meanings, policies),
        policy_digest=policies.digest,
    )


def _figures(column: Column, policies: Policies) -> PolicyFigures:
    policy = policies.policies[column.policy]
    return PolicyFigures(
        policy=column.policy,
        title=policy.title,
        review=policy.thresholds.review,
        flags=flags(column, policy.thresholds),
        cells=cells(column, policy.thresholds),
        drift=drift(column),
        judgement=judgement(column, policy.thresholds),
        exemplars=exemplars(column, policy.thresholds, EXEMPLARS),
    )


def _silent(pair: Pair) -> str:
    who = [name for name, said in (("old", pair.old), ("new", pair.new)) if said is None]
    return f"no answer from {' and '.join(who)}"


def _only_one(pairs: Sequence[Pair], old: Meanings, new: Meanings, policies: Policies) -> tuple[OnlyOne, ...]:
    before, after = spoken_for(old), spoken_for(new)
    found = []
    for policy in sorted(before ^ after):
        by_new = policy in after
        said = alone(pairs, new if by_new else old, policy, new=by_new)
        known = policies.policies[policy]
        found.append(
            OnlyOne(
                policy=policy,
                title=known.title,
                by="new" if by_new else "old",
                items=len(said),
                flagged=int(np.sum(said >= known.thresholds.review)),
            )
        )
    return tuple(found)
