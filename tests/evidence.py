"""Evidence, coverage and policies for tests: small, and independent of the shipped configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import HealthCheck, settings

from pipelines.fusion import History, fuse
from pipelines.policies import POLICY_IDS, Fusion, Persistence, Policies, Policy, Thresholds
from pipelines.record import MODALITIES, Coverage, Evidence, Modality, Verdict

NOON = 1_800_000_000.0
"""The start of the segment under test, in epoch seconds."""
SEGMENT_S = 10.0

UNHURRIED = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
"""For properties: a busy machine is no finding."""

PLAIN = Policy(
    title="Plain",
    prior=0.02,
    thresholds=Thresholds(watch=0.3, review=0.6, act=0.85, severe=0.97),
    weights={"frames": 0.8, "speech": 0.9, "screen": 0.9, "chat": 1.0},
    persistence=Persistence(hits=2, of=6, half_life_s=10, hysteresis=0.1),
)
"""Chat weighs most."""

SEEN: Mapping[Modality, Coverage] = {m: Coverage(status="examined", examined=5, total=5) for m in MODALITIES}


def policies(policy: Policy = PLAIN, fusion: Fusion | None = None) -> Policies:
    """All twelve policies alike."""
    return Policies(version=1, fusion=fusion or Fusion(), policies=dict.fromkeys(POLICY_IDS, policy))


def frame(probability: float, index: int = 0) -> Evidence:
    return Evidence(
        modality="frames", at_s=2.0 * index, probability=probability, label="vision.nudity/nsfw", frame=index
    )


def frames(*probabilities: float) -> tuple[Evidence, ...]:
    return tuple(frame(probability, index) for index, probability in enumerate(probabilities))


def said(modality: str, probability: float, *, sure: float = 1.0, users: int = 0) -> Evidence:
    """A piece of text from `modality`; `sure` is its recogniser's confidence."""
    return Evidence(
        modality=modality,
        at_s=1.0,
        probability=probability,
        label="text.risk/scam",
        text="add me elsewhere, I have an offer",
        weight=sure,
        users=users,
    )


def chat(probability: float, users: int = 1) -> Evidence:
    return said("chat", probability, users=users)


def covered(**reasons: str) -> Mapping[Modality, Coverage]:
    """Everything examined, except the modalities named: `speech="deadline"`, in part with `partly:` before it."""
    return {
        modality: _coverage(reasons[modality]) if modality in reasons else SEEN[modality] for modality in MODALITIES
    }


def _coverage(reason: str) -> Coverage:
    if reason.startswith("partly:"):
        return Coverage(status="partly", reason=reason.removeprefix("partly:"), examined=1, total=5)
    return Coverage(status="not", reason=reason, total=5)


def verdict(
    *items: Evidence,
    coverage: Mapping[Modality, Coverage] = SEEN,
    policy: Policy = PLAIN,
    fusion: Fusion | None = None,
    earlier: Sequence[float | None] = (),
) -> Verdict:
    """The verdict on scam. `earlier`: that policy's instants of the segments before, oldest first; None: no entry."""
    history: History = {
        NOON - SEGMENT_S * back: {"scam": instant}
        for back, instant in enumerate(reversed(earlier), start=1)
        if instant is not None
    }
    verdicts = fuse({"scam": items}, coverage, policies(policy, fusion), at=NOON, history=history)
    return next(verdict for verdict in verdicts if verdict.policy == "scam")
