"""Examines a segment again in part: the stages whose models changed, everything else from its record.

What a stage would look at may be gone from the store by then. The stored observations of that modality then stand,
with the checkpoints that made them. Chat is examined as the record has it, grouped: a record does not keep its lines.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pipelines import coverage as why
from pipelines.examine import Examination, examine, with_gaps
from pipelines.heard import speech_coverage
from pipelines.items import CheckpointRef, Item, Result, Scores
from pipelines.manifest import AudioRef, Profile, SegmentManifest
from pipelines.models import Models
from pipelines.record import (
    LEXICON,
    STAGES,
    Coverage,
    FrameObservation,
    Modality,
    Observations,
    Record,
    Stage,
    TextObservation,
    TextSource,
)
from pipelines.segment import ExaminationSettings, Segment
from pipelines.text.lexicon import Lexicon
from pipelines.text.normalise import normalise
from pipelines.text_scores import checkpoints_of, known_of, lessened, read_texts, score_texts, was_lessened

__all__ = ["MEDIA_EXPIRED", "STAGES", "Reexamination", "Stage", "manifest_of", "reexamine"]

MEDIA_EXPIRED = "media_expired"
"""Why stored observations stand in for new ones: every object that would be looked at is gone from the store."""

FROM_MEDIA: Mapping[Stage, Modality] = {"frames": "frames", "speech": "speech", "screen": "screen"}
"""Stages that look at media, and what they observe."""
TEXT_SOURCES: tuple[TextSource, ...] = ("speech", "screen", "chat")


@dataclass(frozen=True, slots=True)
class Reexamination:
    """The whole segment's observations, new and stored; `reused` says why a modality's new ones could not be had.

    `rescored` are the stages that stored embeddings were enough for: no encoder ran.
    """

    observations: Observations
    stage_ms: dict[str, float]
    reused: dict[Modality, str] = field(default_factory=dict)
    rescored: tuple[Stage, ...] = ()


class _Scorers:
    """The models that texts are scored by, and whether their stored embeddings were enough."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._asked = self._rescored = 0
        self._started = time.monotonic()

    @property
    def checkpoints(self) -> Mapping[str, CheckpointRef]:
        return self._models.checkpoints

    def ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        results = self._models.ask(slot, items)
        self._asked += len(items)
        self._rescored += sum(isinstance(result, Scores) and result.rescored for result in results)
        return results

    @property
    def ms(self) -> float:
        """Since its start."""
        return round((time.monotonic() - self._started) * 1000, 1)

    @property
    def rescored(self) -> tuple[Stage, ...]:
        """The stage of texts, where no encoder had to run for any of them."""
        return ("text",) if 0 < self._asked == self._rescored else ()


def reexamine(
    source: Record,
    segment: Segment | None,
    stages: Collection[Stage],
    models: Models,
    settings: ExaminationSettings,
    *,
    lexicon: Lexicon | None = None,
    frames: Sequence[FrameObservation] | None = None,
) -> Reexamination:
    """The source's observations with those of `stages` made anew, each slot's by one checkpoint.

    `text` reads and scores every stored text anew, normalised anew from what was written; so does a stage that brings
    new texts when the text slots are filled by other checkpoints than the record's, or the lexicon is another.
    `segment` has the media that stages look at, if any does. `frames` were scored anew from their embeddings already.
    """
    wanted = [modality for stage, modality in FROM_MEDIA.items() if stage in stages]
    reused = _expired(segment, wanted)
    ran = [modality for modality in wanted if modality not in reused]
    new = _seen_anew(source, segment, ran, models, settings, lexicon)
    old = source.observations if frames is None else source.observations.model_copy(update={"frames": tuple(frames)})
    texts = [text for text in old.texts if text.source not in ran]
    coverage = {modality: seen for modality, seen in old.coverage.items() if modality not in ran}
    rescored = "text" in stages or _are_of_others(new.observations, old)
    stage_ms, known = dict(new.stage_ms), _done_already(frames)
    if rescored:
        scorers = _Scorers(models)
        texts, coverage = _scored_anew(source, texts, coverage, scorers, lexicon, keep=settings.keep_embeddings)
        stage_ms["text"] = scorers.ms
        known += scorers.rescored
    texts += new.observations.texts
    done = {*ran, *known, *(("text",) if rescored else ())}
    observations = Observations(
        frames=new.observations.frames if "frames" in ran else old.frames,
        speech=new.observations.speech if "speech" in ran else old.speech,
        texts=tuple(text for source in TEXT_SOURCES for text in texts if text.source == source),
        coverage={**coverage, **new.observations.coverage},
        checkpoints=_checkpoints(old.checkpoints, checkpoints_of(models, lexicon), done),
    )
    return Reexamination(observations, stage_ms, reused, known)


def manifest_of(record: Record, run: str, profile: Profile) -> SegmentManifest:
    """The manifest that the record was made from, for another run; without its chat, which a record keeps grouped."""
    return SegmentManifest(
        schema="liverisk.segment",
        version=1,
        stream_id=record.stream_id,
        segment_id=record.segment_id,
        captured_at=record.captured_at,
        duration_s=record.duration_s,
        frames=record.media,
        audio=AudioRef(key=record.audio_key) if record.audio_key else None,
        gaps=record.gaps,
        context=record.context,
        sampler=record.sampler,
        profile=profile,
        run=run,
    )


def stage_of(slot: str) -> Stage | None:
    """The stage that asks a slot, or reads texts with the lexicon; None for a slot that no stage asks."""
    kind = slot.partition(".")[0]
    return _STAGE_OF_KIND.get(kind)


_STAGE_OF_KIND: Mapping[str, Stage] = {
    "vision": "frames",
    "speech": "speech",
    "ocr": "screen",
    "text": "text",
    LEXICON: "text",
}


def _expired(segment: Segment | None, wanted: Sequence[Modality]) -> dict[Modality, str]:
    """The modalities of which the store has nothing left. What is there and broken is a finding, not expired."""
    if not wanted:
        return {}
    if segment is None:
        raise ValueError(f"{', '.join(wanted)} cannot be examined without the segment's media")
    audio = segment.problems.get("speech")
    no_audio = audio is not None and audio.reason == why.MISSING_OBJECT
    problems = [frame.problem.reason if frame.problem else None for frame in segment.frames]
    no_frames = bool(problems) and set(problems) == {why.MISSING_OBJECT}
    gone: dict[Modality, bool] = {"frames": no_frames, "speech": no_audio, "screen": no_frames}
    return {modality: MEDIA_EXPIRED for modality in wanted if gone[modality]}


def _seen_anew(
    source: Record,
    segment: Segment | None,
    ran: Sequence[Modality],
    models: Models,
    settings: ExaminationSettings,
    lexicon: Lexicon | None,
) -> Examination:
    """Speech is heard in the language that the stream was known to speak then, if it was."""
    if segment is None or not ran:
        return Examination(Observations(coverage={}, checkpoints=checkpoints_of(models, lexicon)), {})
    spoken = source.observations.speech
    known = spoken.language if spoken is not None and spoken.language_from == "stream" else None
    return examine(segment, models, settings, language=known, modalities=ran, lexicon=lexicon)


def _scored_anew(
    source: Record,
    texts: Sequence[TextObservation],
    coverage: Mapping[Modality, Coverage],
    models: Models,
    lexicon: Lexicon | None,
    *,
    keep: bool,
) -> tuple[list[TextObservation], dict[Modality, Coverage]]:
    """Stored texts with new hits and scores, and what the coverage of their modalities is by that.

    Embeddings that came with them spare an encoder that made them the same view of the same text.
    """
    nothing: dict[str, object] = {"scores": {}, "error": None, "embeddings": {}}
    bare = [text.model_copy(update={"normalised": normalise(text.text).text, **nothing}) for text in texts]
    scored, losses = score_texts(read_texts(bare, lexicon), models, keep=keep, known=known_of(texts))
    seen: dict[Modality, Coverage] = {}
    for modality, stored in coverage.items():
        own = [index for index, text in enumerate(scored) if text.source == modality]
        seen[modality] = lessened(_unlessened(modality, stored, len(own), source), own, scored, losses)
    return list(scored), seen


def _unlessened(modality: Modality, stored: Coverage, texts: int, source: Record) -> Coverage:
    """What the coverage is when every text of the modality has its scores, where the record proves that.

    Chat that is there was read whole; how much audio was heard follows from the voice and the silence in it. How
    many frames were searched for text cannot be told any more: then it stays as it is stored.
    """
    manifest = manifest_of(source, source.run, source.profile)
    speech = source.observations.speech
    if modality == "chat" and texts:
        return Coverage(status="examined", examined=stored.total, total=stored.total, skipped=stored.skipped)
    if modality == "speech" and speech is not None and was_lessened(stored, texts) and "silence" in stored.skipped:
        decoded_s = round(speech.speech_s + stored.skipped["silence"], 2)
        expected_s = round(manifest.duration_s - manifest.lost_s, 2)
        invented_s = stored.skipped.get("invented", 0.0)
        seen = speech_coverage(decoded_s, expected_s, speech.speech_s, silent=False, invented_s=invented_s)
        return with_gaps(modality, seen, manifest)
    return stored


def _checkpoints(
    stored: Mapping[str, CheckpointRef], today: Mapping[str, CheckpointRef], done: Collection[str]
) -> dict[str, CheckpointRef]:
    """Slot -> whose scores the observations hold: today's where its stage ran, the record's otherwise."""
    kept = {slot: ref for slot, ref in stored.items() if stage_of(slot) not in done}
    return kept | {slot: ref for slot, ref in today.items() if stage_of(slot) in done}


def _done_already(frames: Sequence[FrameObservation] | None) -> tuple[Stage, ...]:
    return () if frames is None else ("frames",)


def _are_of_others(new: Observations, old: Observations) -> bool:
    """Whether there are new texts, and other checkpoints have scored them than the old ones."""
    return bool(new.texts) and _digests(new.checkpoints) != _digests(old.checkpoints)


def _digests(checkpoints: Mapping[str, CheckpointRef]) -> dict[str, str]:
    """Of the text slots."""
    return {slot: ref.digest for slot, ref in checkpoints.items() if stage_of(slot) == "text"}
