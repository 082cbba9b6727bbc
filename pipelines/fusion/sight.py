"""What coverage means for one policy: whether the modalities it weighs were looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipelines.coverage import HARMLESS, NO_MODEL
from pipelines.policies import Policy
from pipelines.record import MODALITIES, Coverage, Modality

ENOUGH = 0.5
"""Less than this share of a modality does not stand for the rest of it."""

_UNREPORTED = Coverage(status="not", reason=NO_MODEL)
"""A modality that nobody reported on was not looked at."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of the modalities that one policy weighs."""

    examined: Literal["examined", "partly", "not"]
    """`not` also when there was nothing to examine: clean is only what was looked at."""
    whole: frozenset[Modality]
    """Examined without anything left out."""
    unseen: Mapping[Modality, str]
    """Not examined at all, though there was or may have been something -> why."""
    scarce: Mapping[Modality, str]
    """Less than half of it examined -> why."""
    partial: Mapping[Modality, str]
    """Half of it or more examined, not all -> why."""
    empty: Mapping[Modality, str]
    """Nothing there to examine -> how that is known."""
    blind: bool
    """Too little was seen to allow anything: not half of any modality, or of one of those that weigh most."""

    @property
    def missing(self) -> dict[str, str]:
        """Modality -> why it is missing, wholly or in part."""
        lacking = {**self.unseen, **self.scarce, **self.partial}
        return {modality: lacking[modality] for modality in MODALITIES if modality in lacking}


def sight(coverage: Mapping[Modality, Coverage], policy: Policy) -> Sight:
    """How well a policy could see, given what was examined."""
    weighed = {m: coverage.get(m, _UNREPORTED) for m in MODALITIES if policy.weights[m] > 0}
    why = {m: c.reason or "no reason given" for m, c in weighed.items()}
    empty = {m: reason for m, reason in why.items() if reason in HARMLESS}
    unseen = {m: why[m] for m, c in weighed.items() if c.status == "not" and m not in empty}
    partly = {m: c.share for m, c in weighed.items() if c.status == "partly" and m not in empty}
    scarce = {m: why[m] for m, share in partly.items() if share < ENOUGH}
    partial = {m: why[m] for m, share in partly.items() if share >= ENOUGH}
    seen = weighed.keys() - empty.keys() - unseen.keys()
    hidden = unseen.keys() | scarce.keys()
    heaviest = max(policy.weights.values())
    return Sight(
        examined="not" if not seen else "partly" if unseen or partly else "examined",
        whole=frozenset(seen - partly.keys()),
        unseen=unseen,
        scarce=scarce,
        partial=partial,
        empty=empty,
        blind=bool(hidden) and (not seen - hidden or any(policy.weights[m] == heaviest for m in hidden)),
    )
