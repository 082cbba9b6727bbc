"""What each frame and text of a record says for each policy, and which of it a reader should see as a hit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from pipelines.fusion import LabelsByCheckpoint, UnknownCheckpoint, counted_hits, evidence_of
from pipelines.policies import Policies
from pipelines.record import Evidence, Hit, Record
from workers.verdicts.timeline import is_flagged

Place = tuple[str, float, str | None]
"""Modality, seconds into the segment, and the text where it is one: what tells the items of a segment apart."""
Claims = Mapping[Place, Mapping[str, Evidence]]
"""Item -> policy -> what it says, calibrated."""


def claims_of(record: Record, labels: LabelsByCheckpoint, policies: Policies) -> Claims:
    """Everything that was scored; only the evidence of the verdicts when a checkpoint's card is gone."""
    try:
        by_policy = evidence_of(record.observations, labels, policies)
    except UnknownCheckpoint:
        by_policy = {verdict.policy: verdict.evidence for verdict in record.verdicts}
    found: dict[Place, dict[str, Evidence]] = defaultdict(dict)
    for policy, items in by_policy.items():
        for one in items:
            found[place_of(one)][policy] = one
    return found


def hits_of(record: Record, claims: Claims, policies: Policies) -> Claims:
    """What reaches `watch` by itself, or is shown as evidence of a finding; the likeliest policy first."""
    shown = {
        (verdict.policy, place_of(one))
        for verdict in record.verdicts
        if is_flagged(verdict)
        for one in verdict.evidence
    }
    found: dict[Place, dict[str, Evidence]] = {}
    for place, by_policy in claims.items():
        hits = {
            policy: one
            for policy, one in sorted(by_policy.items(), key=lambda entry: -entry[1].probability)
            if one.probability >= watch(policies, policy)
            or ((policy, place) in shown and one.probability > policies.policies[policy].prior)
        }
        if hits:
            found[place] = hits
    return found


def terms_of(record: Record, labels: LabelsByCheckpoint, policies: Policies) -> tuple[tuple[Hit, ...], ...]:
    """Of each text the terms that count; those that need no context when a checkpoint's card is gone."""
    seen = record.observations
    try:
        return counted_hits(seen, labels, policies.fusion)
    except UnknownCheckpoint:
        return tuple(tuple(hit for hit in text.hits if not hit.needs_context) for text in seen.texts)


def watch(policies: Policies, policy: str) -> float:
    """The probability from which a policy takes notice."""
    return policies.policies[policy].thresholds.watch


def place_of(evidence: Evidence) -> Place:
    return evidence.modality, evidence.at_s, evidence.text
