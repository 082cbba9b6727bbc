"""What coverage means for one policy: whether the modalities it weighs were looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipelines.coverage import HARMLESS, NO_MODEL
from pipelines.policies import Policy
from pipelines.record import MODALITIES, Coverage, Modality

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
    partial: Mapping[Modality, str]
    """Examined in part -> why."""
    empty: Mapping[Modality, str]
    """Nothing there to examine -> how that is known."""
    blind: bool
    """Too little was seen to allow anything: nothing at all, or one of the modalities that weigh most is unseen."""

    @property
    def missing(self) -> dict[str, str]:
        """Modality -> why it is missing, wholly or in part."""
        both = {**self.unseen, **self.partial}
        return {modality: both[modality] for modality in MODALITIES if modality in both}


def sight(coverage: Mapping[Modality, Coverage], policy: Policy) -> Sight:
    """How well a policy could see, given what was examined."""
    weighed = {m: coverage.get(m, _UNREPORTED) for m in MODALITIES if policy.weights[m] > 0}
    why = {m: c.reason or "no reason given" for m, c in weighed.items()}
    empty = {m: reason for m, reason in why.items() if reason in HARMLESS}
    unseen = {m: why[m] for m, c in weighed.items() if c.status == "not" and m not in empty}
    partial = {m: why[m] for m, c in weighed.items() if c.status == "partly" and m not in empty}
    seen = weighed.keys() - empty.keys() - unseen.keys()
    heaviest = max(policy.weights.values())
    return Sight(
        examined="not" if not seen else "partly" if unseen or partial else "examined",
        whole=frozenset(seen - partial.keys()),
        unseen=unseen,
        partial=partial,
        empty=empty,
        blind=bool(unseen) and (not seen or any(policy.weights[m] == heaviest for m in unseen)),
    )
