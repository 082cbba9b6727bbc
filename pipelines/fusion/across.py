"""Across modalities: what each adds to one policy in one segment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pipelines.fusion.log_odds import DIGITS, excess, logit, raised, sigmoid
from pipelines.fusion.pool import pooled, pull
from pipelines.policies import Fusion, Policy
from pipelines.record import Contribution, Evidence

BySource = Mapping[str, Sequence[Evidence]]
"""Evidence for one policy by where it comes from: a modality, or a source that fusion does not know."""


def by_source(evidence: Sequence[Evidence], policy: Policy, fusion: Fusion) -> BySource:
    """The evidence that the policy weighs above 0."""
    sources: dict[str, list[Evidence]] = defaultdict(list)
    for item in evidence:
        sources[item.modality].append(item)
    return {source: items for source, items in sources.items() if policy.weight(source, fusion.default_weight) > 0}


def pools(sources: BySource, policy: Policy, fusion: Fusion) -> Mapping[str, float]:
    """Every source's own probability."""
    return {source: pooled(items, policy, fusion) for source, items in sources.items()}


def contributions(probabilities: Mapping[str, float], policy: Policy, fusion: Fusion) -> tuple[Contribution, ...]:
    """Every source's part, strongest first; the log-odds add up to what lies between prior and `instant`.

    The strongest counts whole, the second `corroboration` of its own strength, further ones nothing: sources
    that repeat one another (a host who reads a banner out) are not independent witnesses.
    """
    weights = {source: policy.weight(source, fusion.default_weight) for source in probabilities}
    strength = {source: weights[source] * excess(probabilities[source], policy.prior) for source in probabilities}
    ranked = sorted(probabilities, key=lambda source: (-strength[source], source))
    counted = (1.0, fusion.corroboration)
    return tuple(
        Contribution(
            modality=source,
            probability=round(probabilities[source], DIGITS),
            weight=weights[source],
            log_odds=round(strength[source] * (counted[rank] if rank < len(counted) else 0.0), DIGITS),
        )
        for rank, source in enumerate(ranked)
    )


def instant(parts: Sequence[Contribution], policy: Policy) -> float:
    """The probability of this segment alone; the prior when nothing speaks for the policy."""
    return raised(policy.prior, sum(part.log_odds for part in parts))


def calm(parts: Sequence[Contribution], policy: Policy) -> tuple[Contribution, ...]:
    """Sources that speak clearly against: not half-way, in log-odds, from the prior to `watch`."""
    half_way = sigmoid((logit(policy.prior) + logit(policy.thresholds.watch)) / 2)
    return tuple(part for part in parts if part.probability < half_way)


def shown(sources: BySource, policy: Policy, fusion: Fusion, *, raised_now: bool) -> tuple[Evidence, ...]:
    """The items worth showing, strongest first, with the best of every source before second ones of any.

    Under a raised verdict all that lies above the prior, otherwise only what reaches `watch` by itself: a spike
    that pooling held back stays visible.
    """
    least = policy.prior if raised_now else policy.thresholds.watch
    firsts: list[tuple[float, Evidence]] = []
    others: list[tuple[float, Evidence]] = []
    for source, items in sources.items():
        weight = policy.weight(source, fusion.default_weight)
        ranked = sorted(
            ((weight * pull(item, policy, fusion), item) for item in items if item.probability > least), key=_order
        )
        firsts += ranked[:1]
        others += ranked[1:]
    kept = [*sorted(firsts, key=_order), *sorted(others, key=_order)][: fusion.evidence_kept]
    return tuple(item for _, item in sorted(kept, key=_order))


def _order(ranked: tuple[float, Evidence]) -> tuple[float, float, str, str, int, float, int, int]:
    """Strongest first; ties by time, then by all that is shown, so that any order of evidence gives one verdict."""
    strength, item = ranked
    frame = -1 if item.frame is None else item.frame
    seen = (f"{item.modality} {item.label}", item.text or "", frame, item.probability, item.users, item.repeats)
    return (-strength, item.at_s, *seen)
