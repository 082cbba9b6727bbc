"""From evidence to verdicts: across modalities, over time, never hiding what was not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.fusion import across, words
from pipelines.fusion.history import History, Past, past, step
from pipelines.fusion.sight import Sight, sight
from pipelines.policies import POLICY_IDS, Fusion, Policies, Policy
from pipelines.record import ACTIONS, SEVERITIES, Action, Contribution, Coverage, Evidence, Modality, Severity, Verdict


def fuse(
    evidence: Mapping[str, Sequence[Evidence]],
    coverage: Mapping[Modality, Coverage],
    policies: Policies,
    *,
    at: float,
    history: History,
) -> tuple[Verdict, ...]:
    """The verdicts of one segment, one per policy in the order of `POLICY_IDS`, also where nothing was found.

    `evidence` is by policy (`evidence_of`, with items of other sources added), `at` the segment's start in epoch
    seconds, `history` the stream's state in this run; entries at or after `at` make no difference.
    """
    verdicts = []
    for policy_id in POLICY_IDS:
        policy = policies.policies[policy_id]
        before = past(policy_id, policy, history, at, policies.fusion.window_s)
        sources = across.by_source(evidence.get(policy_id, ()), policy, policies.fusion)
        verdicts.append(_verdict(policy_id, policy, policies.fusion, sources, sight(coverage, policy), before, at))
    return tuple(verdicts)


def _verdict(
    policy_id: str, policy: Policy, fusion: Fusion, sources: across.BySource, seen: Sight, before: Past, at: float
) -> Verdict:
    parts = across.contributions(sources, policy, fusion)
    instant = across.instant(parts, policy)
    _, standing = step(before, at, instant, policy)
    concluded = _action(standing.severity, acting=standing.acting)
    action = max(concluded, fusion.unexamined_action, key=ACTIONS.index) if seen.blind else concluded
    without: dict[str, Severity] = {}
    for part in parts:
        rest = {source: items for source, items in sources.items() if source != part.modality}
        _, other = step(before, at, across.instant(across.contributions(rest, policy, fusion), policy), policy)
        if other.severity != standing.severity:
            without[part.modality] = other.severity
    return Verdict(
        policy=policy_id,
        probability=standing.probability,
        instant=instant,
        severity=standing.severity,
        action=action,
        examined=seen.examined,
        missing=seen.missing,
        evidence=across.shown(sources, policy, fusion, raised_now=standing.severity != "none"),
        contributions=parts,
        without=without,
        conflict=words.conflict(parts, _against(parts, seen, policy), policy),
        because=words.because(parts, instant, standing, seen, policy, action if action != concluded else None),
    )


def _action(severity: Severity, *, acting: bool) -> Action:
    """Severity's own action; `high` that is neither persistent nor severe is looked at, not acted on."""
    if severity == "high" and not acting:
        return "review"
    return ACTIONS[SEVERITIES.index(severity)]


def _against(parts: Sequence[Contribution], seen: Sight, policy: Policy) -> tuple[Contribution, ...]:
    """Calm modalities that were examined whole: what was seen only in part cannot speak against."""
    return tuple(part for part in across.calm(parts, policy) if part.modality in seen.whole)
