"""From evidence to verdicts: across modalities, over time, never hiding what was not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.fusion import across, words
from pipelines.fusion.history import History, Past, earlier, past, step
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
    window_s: float | None = None,
) -> tuple[Verdict, ...]:
    """The verdicts of one segment, one per policy in the order of `POLICY_IDS`, also where nothing was found.

    `evidence` is by policy (`evidence_of`, with items of other sources added), `at` the segment's start in epoch
    seconds, `history` the stream's state in this run; entries at or after `at` make no difference.
    `window_s` is how far back it counts; None: as the policies say for live.
    """
    verdicts = []
    before = earlier(history, at, policies.fusion.window_s if window_s is None else window_s)
    for policy_id in POLICY_IDS:
        policy = policies.policies[policy_id]
        sources = across.by_source(evidence.get(policy_id, ()), policy, policies.fusion)
        seen, so_far = sight(coverage, policy), past(policy_id, policy, before)
        verdicts.append(_verdict(policy_id, policy, policies.fusion, sources, seen, so_far, at))
    return tuple(verdicts)


def _verdict(
    policy_id: str, policy: Policy, fusion: Fusion, sources: across.BySource, seen: Sight, so_far: Past, at: float
) -> Verdict:
    pools = across.pools(sources, policy, fusion)
    parts = across.contributions(pools, policy, fusion)
    instant = across.instant(parts, policy)
    _, standing = step(so_far, at, instant, policy)
    concluded = _action(standing.severity, acting=standing.acting)
    action = max(concluded, fusion.unexamined_action, key=ACTIONS.index) if seen.blind else concluded

    def severity_without(source: str) -> Severity:
        rest = {other: probability for other, probability in pools.items() if other != source}
        return step(so_far, at, across.instant(across.contributions(rest, policy, fusion), policy), policy)[1].severity

    without = {part.modality: severity_without(part.modality) for part in parts}
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
        without={source: severity for source, severity in without.items() if severity != standing.severity},
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
