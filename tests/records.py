"""Records for tests: small, typed, and whole enough to be stored, fused again, shown and queried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pipelines.coverage import NO_INPUT
from pipelines.items import CheckpointRef
from pipelines.manifest import Context, segment_id_at
from pipelines.policies import POLICY_IDS
from pipelines.record import (
    MODALITIES,
    Action,
    Coverage,
    Evidence,
    FrameObservation,
    Modality,
    Observations,
    Processing,
    Record,
    Severity,
    SpeechObservation,
    TextObservation,
    Verdict,
)

START = datetime(2026, 3, 10, 20, 0, tzinfo=UTC)
"""The first instant of every built stream, unless a test says otherwise."""
SEGMENT_S = 10.0
CHECKPOINTS = {
    "vision.nudity": CheckpointRef(id="open-nsfw", digest="a" * 64, session="torch"),
    "text.risk": CheckpointRef(id="e5-small-risk", digest="b" * 64, session="torch"),
}
_LEVELS: dict[Severity, tuple[float, Action]] = {
    "none": (0.02, "allow"),
    "low": (0.45, "watch"),
    "medium": (0.7, "review"),
    "high": (0.95, "act"),
}


def whole(modality: Modality) -> Coverage:
    """Everything of a modality was examined: 5 frames, 10 s of audio, 2 frames read, 12 chat lines."""
    total = {"frames": 5.0, "speech": SEGMENT_S, "screen": 2.0, "chat": 12.0}[modality]
    return Coverage(status="examined", examined=total, total=total)


def unexamined(reason: str, total: float = 0) -> Coverage:
    """Nothing of a modality was examined, and why."""
    return Coverage(status="not", reason=reason, total=total)


NO_MEDIA: Mapping[Modality, Coverage] = {modality: unexamined(NO_INPUT) for modality in MODALITIES}


def verdict(
    policy: str,
    severity: Severity = "none",
    *,
    probability: float | None = None,
    evidence: Sequence[Evidence] = (),
    missing: Mapping[str, str] | None = None,
) -> Verdict:
    """A verdict of this severity; with anything `missing` it is partly examined and at least watched."""
    likely, action = _LEVELS[severity]
    if missing and action == "allow":
        action = "watch"
    return Verdict(
        policy=policy,
        probability=likely if probability is None else probability,
        instant=likely,
        severity=severity,
        action=action,
        examined="partly" if missing else "examined",
        missing=dict(missing or {}),
        evidence=tuple(evidence),
        because=f"severity {severity}",
    )


def chat_evidence(text: str, *, probability: float = 0.9, users: int = 3, label: str = "scam") -> Evidence:
    """A chat line that speaks for a policy."""
    return Evidence(
        modality="chat", at_s=4.0, probability=probability, label=f"text.risk/{label}", text=text, users=users
    )


def frame_evidence(*, probability: float = 0.9, frame: int = 0) -> Evidence:
    """A frame that speaks for a policy."""
    return Evidence(
        modality="frames", at_s=2.0 * frame, probability=probability, label="vision.nudity/nsfw", frame=frame
    )


def record(
    index: int = 0,
    *verdicts: Verdict,
    stream_id: str = "room-1",
    run: str = "live",
    start: datetime = START,
    coverage: Mapping[Modality, Coverage] | None = None,
    texts: Sequence[TextObservation] = (),
    frames: Sequence[FrameObservation] = (),
    latency_s: float = 1.5,
) -> Record:
    """The record of the `index`-th 10 s segment of a stream; policies that no verdict is given for are clean."""
    captured_at = start + timedelta(seconds=SEGMENT_S * index)
    given = {one.policy: one for one in verdicts}
    ended = captured_at + timedelta(seconds=SEGMENT_S)
    return Record(
        schema="liverisk.record",
        stream_id=stream_id,
        segment_id=segment_id_at(captured_at),
        run=run,
        profile="live",
        captured_at=captured_at,
        duration_s=SEGMENT_S,
        context=Context(language="zh", region="SG", viewers=1200),
        policy_digest="c" * 64,
        observations=Observations(
            frames=tuple(frames),
            speech=SpeechObservation(language="zh", language_probability=0.98, language_from="detected", speech_s=6.0),
            texts=tuple(texts),
            coverage={**{modality: whole(modality) for modality in MODALITIES}, **(coverage or {})},
            checkpoints=CHECKPOINTS,
        ),
        verdicts=tuple(given.get(policy, verdict(policy)) for policy in POLICY_IDS),
        processing=Processing(
            worker="worker-1",
            started_at=ended + timedelta(seconds=0.2),
            finished_at=ended + timedelta(seconds=latency_s),
            stage_ms={"fetch": 12.0, "frames": 340.0},
            latency_s=latency_s,
        ),
    )


def chat_line(
    text: str, *, at_s: float = 4.0, users: Sequence[str] = ("u1", "u2"), scam: float = 0.9
) -> TextObservation:
    """A scored chat line."""
    return TextObservation(
        source="chat",
        at_s=at_s,
        text=text,
        normalised=text.lower(),
        language="en",
        scores={"text.risk": {"scam": scam}},
        users=tuple(users),
        repeats=len(users),
    )
