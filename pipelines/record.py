"""The record: everything concluded about one segment in one run, and everything it was concluded from.

A record is written once and never changed. Re-fusing after a policy change, or rerunning only the
stages whose checkpoint changed, must be possible from the record alone; so observations keep native
scores, original text with offsets, and which frame another one was judged by.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

from pydantic import Field

from pipelines.items import CheckpointRef, ScreenText, Transcript
from pipelines.manifest import Context, FrameRef, Gap, Profile, SamplerSettings
from pipelines.strict import Count, Identifier, Moment, Sha256, StreamSeconds, Strict

Modality = Literal["frames", "speech", "screen", "chat"]
MODALITIES: tuple[Modality, ...] = ("frames", "speech", "screen", "chat")

Severity = Literal["none", "low", "medium", "high"]
SEVERITIES: tuple[Severity, ...] = ("none", "low", "medium", "high")

Action = Literal["allow", "watch", "review", "act"]
ACTIONS: tuple[Action, ...] = ("allow", "watch", "review", "act")

LanguageFrom = Literal["detected", "stream", "manifest"]
"""Heard in this segment, remembered from earlier ones of the stream, or declared by the platform."""

TextSource = Literal["speech", "screen", "chat"]

Stage = Literal["frames", "speech", "screen", "text"]
"""What can run again by itself. `text` scores stored transcript, on-screen text and chat anew."""
STAGES: tuple[Stage, ...] = get_args(Stage)

LEXICON = "lexicon"
"""Among a record's checkpoints: the lexicons that its texts were read with. No engine serves them."""


def _is_nothing(value: object) -> bool:
    """Whether a field adds nothing to a stored record, and is left out of it."""
    return not value


class FrameObservation(Strict):
    """What the vision slots said of one frame; `scores` is slot -> native label -> native score.

    A frame judged by reuse carries the scores of the frame it repeats and names it: `reused_from_s` is
    that frame's time on this segment's clock (negative: an earlier segment). `embeddings`, where they are kept: slot ->
    what its encoder made of the frame; none of a frame judged by reuse.
    """

    at_s: StreamSeconds
    scores: dict[str, dict[str, float]] = {}
    reused_from_s: StreamSeconds | None = None
    thumbnail_hash: str | None = Field(default=None, description="64-bit difference hash, hexadecimal")
    error: str | None = None
    embeddings: dict[str, str] = Field(default={}, exclude_if=_is_nothing)


class SpeechObservation(Strict):
    """The transcript's frame: language, how it was known, and seconds that passed the voice gate."""

    language: str | None = None
    language_probability: float
    language_from: LanguageFrom
    speech_s: float
    chain: tuple[str, ...] = Field(
        default=(), exclude_if=_is_nothing, description="steps between what was heard and the spans' text"
    )


def by_sound(chain: Collection[str]) -> bool:
    """Whether only its sound speaks for a hit: it is neither the term nor another spelling of it."""
    return "variant" not in chain and ("sound" in chain or "pinyin" in chain)


class Hit(Strict):
    """One term of a lexicon, found in one text. `start` and `end` are offsets into the text as it was written.

    `surface` is what stands there: the term, another word for it, or what is taken for it. `chain` has the steps from
    there to the term: those that undid a disguise, then `variant` for another spelling, `sound` for characters of the
    same sound, `pinyin` for a sound typed in Latin letters. `strength` is the probability that it is about the policy
    if it means the term; whether one that needs context counts, fusion decides.
    """

    term: str
    policy: str
    surface: str
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    chain: tuple[str, ...] = Field(default=(), exclude_if=_is_nothing)
    strength: float = Field(gt=0, lt=1)
    needs_context: bool = False

    @property
    def by_sound(self) -> bool:
        """Whether only its sound speaks for it."""
        return by_sound(self.chain)


class TextObservation(Strict):
    """One piece of text from any source, with the native scores of each text slot.

    `text` is the original; `normalised` is what was scored, and so is `unmasked`, the same with its disguises undone,
    where that differs: of both scores of a label the higher stands. Repeated chat is one observation with `repeats` > 1
    and the number of distinct `users`; banners seen on several frames likewise. `joined` is the number of chat lines
    that this text is made of, when it is a join; its lines are there, too, so it adds nothing to coverage.
    `embeddings`, where they are kept: slot -> what its encoder made of `normalised`, and of `unmasked` if there is one.
    `confidence` is that of the recogniser (1.0 for chat); a score is absent when its slot failed.
    """

    source: TextSource
    at_s: StreamSeconds
    end_s: StreamSeconds | None = None
    text: str
    normalised: str
    language: str | None = None
    confidence: float = 1.0
    scores: dict[str, dict[str, float]] = {}
    users: tuple[str, ...] = ()
    repeats: Count = 1
    box: tuple[float, float, float, float] | None = None
    error: str | None = None
    unmasked: str | None = None
    hits: tuple[Hit, ...] = Field(default=(), exclude_if=_is_nothing)
    joined: Count = Field(default=0, exclude_if=_is_nothing)
    embeddings: dict[str, tuple[str, ...]] = Field(default={}, exclude_if=_is_nothing)


class Coverage(Strict):
    """How much of one modality was looked at.

    `examined` with reason `no_input` means there was nothing to look at; fusion never takes that for clean.

    `reason` is one of a closed vocabulary (`pipelines.coverage`), `detail` an error class or an object key.
    `examined` and `total` count frames, seconds of audio, frames searched for text, or chat lines;
    Texts that lack the scores of a text slot count against `examined` in proportion. `skipped` says what was
    spared and why, for instance `{"near_duplicate": 3}`: spared, not unexamined.
    """

    status: Literal["examined", "partly", "not"]
    reason: str | None = None
    detail: str | None = None
    examined: float = 0
    total: float = 0
    received: float = Field(default=1, ge=0, le=1, description="share of the segment's time outside its gaps")
    skipped: dict[str, float] = {}

    @property
    def share(self) -> float:
        """How much of what there was to look at was looked at, 0 to 1."""
        if self.status != "partly":
            return float(self.status == "examined")
        return self.received * min(1.0, self.examined / self.total if self.total else 1.0)


class Observations(Strict):
    """Everything the models said about one segment, and how much of it they saw."""

    frames: tuple[FrameObservation, ...] = ()
    speech: SpeechObservation | None = None
    texts: tuple[TextObservation, ...] = ()
    coverage: dict[Modality, Coverage]
    checkpoints: dict[str, CheckpointRef]


class Evidence(Strict):
    """One reason for a verdict: one item, as one policy sees it. `modality` may be a source unknown to fusion.

    Of a lexicon's hit `label` is `lexicon/` and the term, `surface` what stands in the text, `chain` how they meet.
    """

    modality: str
    at_s: StreamSeconds
    probability: float
    label: str = Field(description="slot and native label, for instance `vision.nudity/nsfw`")
    text: str | None = None
    frame: Count | None = Field(default=None, description="index into the segment's frames")
    weight: float = 1.0
    users: Count = Field(default=0, description="distinct users behind it; each counts at their strongest item only")
    repeats: Count = Field(default=1, description="how often it was seen: pasted chat lines, banners over frames")
    joined: Count = Field(default=0, exclude_if=_is_nothing, description="chat lines of one user that were read as one")
    surface: str | None = None
    chain: tuple[str, ...] = Field(default=(), exclude_if=_is_nothing)


class Contribution(Strict):
    """What one modality added to a verdict, in log-odds."""

    modality: str
    probability: float
    weight: float
    log_odds: float


class Verdict(Strict):
    """What we conclude for one policy. `examined` says whether the modalities it needs were looked at."""

    policy: str
    probability: float = Field(ge=0, le=1, description="fused over modalities and time")
    instant: float = Field(ge=0, le=1, description="fused over this segment's modalities only")
    severity: Severity
    action: Action
    examined: Literal["examined", "partly", "not"]
    missing: dict[str, str] = Field(default={}, description="modality -> why it is missing")
    evidence: tuple[Evidence, ...] = ()
    contributions: tuple[Contribution, ...] = ()
    without: dict[str, Severity] = Field(default={}, description="counterfactual: severity without that modality")
    conflict: str | None = Field(default=None, description="modalities that disagree, in words")
    because: str = Field(description="the rule that set the action, in words")


class Shadow(Strict):
    """What a checkpoint that is only tried said beside the one in use; nothing is concluded from it.

    `frames` and `texts` hold native scores by native label, aligned with those of the observations; None where it did
    not answer in time, or could not. Empty for a slot that is asked about something else. `answers` are those of a
    speech or on-screen text slot, in the order of its questions. `left_out` counts the items without an answer.
    """

    checkpoint: CheckpointRef
    frames: tuple[dict[str, float] | None, ...] = Field(default=(), exclude_if=_is_nothing)
    texts: tuple[dict[str, float] | None, ...] = Field(default=(), exclude_if=_is_nothing)
    answers: tuple[Transcript | ScreenText | None, ...] = Field(default=(), exclude_if=_is_nothing)
    left_out: Count = 0


class Processing(Strict):
    """Clocks and places; the only part of a record that differs between two runs over the same input."""

    worker: str
    started_at: Moment
    finished_at: Moment
    attempt: Count = 1
    stage_ms: dict[str, float] = {}
    latency_s: float = Field(description="end of the segment's capture to this record")


class Record(Strict):
    """Version 1 of the one stored object of a segment in one run."""

    schema_id: Literal["liverisk.record"] = Field(default="liverisk.record", alias="schema")
    version: Literal[1] = 1
    stream_id: Identifier
    segment_id: Identifier
    run: Identifier
    profile: Profile
    captured_at: Moment
    duration_s: StreamSeconds
    context: Context
    gaps: tuple[Gap, ...] = ()
    sampler: SamplerSettings | None = None
    media: tuple[FrameRef, ...] = ()
    audio_key: str | None = None
    policy_digest: Sha256
    settings: dict[str, str | int | float | bool] = Field(default={}, description="examination settings in force")
    derived_from: str | None = Field(default=None, description="key of the record whose observations it builds on")
    reran: tuple[Stage, ...] = Field(default=(), description="what was examined anew; the rest is that record's")
    observations: Observations
    verdicts: tuple[Verdict, ...]
    shadow: dict[str, Shadow] = Field(default={}, exclude_if=_is_nothing, description="slot -> who was tried beside")
    processing: Processing
