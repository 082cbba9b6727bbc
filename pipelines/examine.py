"""Examines one segment: asks the models about its frames, audio, on-screen text and chat.

Frames, speech, on-screen text and chat run side by side; transcript and on-screen text go on to the text
models when they arrive. Whatever cannot be examined is named in the coverage; nothing is raised for it.
Usable with any `Models`: the pool's engine, an engine in this process, or a fake.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pipelines import coverage as why
from pipelines.chat_lines import group_chat
from pipelines.frames import Chosen, FrameFindings, examine_frames, without_near_duplicates
from pipelines.items import SAMPLE_RATE_HZ, Clip, Failure, Line, Result, Scores, Transcript
from pipelines.models import DeadlinePassed, Models
from pipelines.record import Coverage, LanguageFrom, Modality, Observations, SpeechObservation, TextObservation
from pipelines.screen import examine_screen
from pipelines.segment import ExaminationSettings, Segment
from pipelines.text.normalise import normalise

LANGUAGE_TRUST = 0.5
"""Below this probability the spoken language is a guess, and the platform's declaration is the better one."""


AUDIO_SLACK_S = 1.0
"""Encoders and cutters lose this much at a segment's ends; what is shorter than that was cut off."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one stage saw, and how much of its modality that was."""

    coverage: Coverage
    texts: tuple[TextObservation, ...] = ()
    frames: FrameFindings = ()
    speech: SpeechObservation | None = None


@dataclass(frozen=True, slots=True)
class Examination:
    """The observations, and how long each stage took in milliseconds."""

    observations: Observations
    stage_ms: dict[str, float]


def examine(
    segment: Segment, models: Models, settings: ExaminationSettings, *, language: str | None = None
) -> Examination:
    """Everything the models say about the segment. Raises only what makes the whole segment start again.

    `language` is what the stream was last heard to speak; it spares detecting it again.
    """
    chosen = without_near_duplicates(segment.frames, settings)
    stages: dict[Modality, Callable[[], Finding]] = {
        "frames": lambda: _frames(segment, chosen, models),
        "speech": lambda: _speech(segment, language, models),
        "screen": lambda: _screen(segment, chosen, models, settings),
        "chat": lambda: _chat(segment, models),
    }
    with ThreadPoolExecutor(len(stages), thread_name_prefix="stage") as pool:
        running = {name: pool.submit(_timed, stage) for name, stage in stages.items()}
        done = {name: future.result() for name, future in running.items()}
    findings = {name: finding for name, (finding, _) in done.items()}
    texts = [text for name in ("speech", "screen", "chat") for text in findings[name].texts]
    observations = Observations(
        frames=tuple(findings["frames"].frames),
        speech=findings["speech"].speech,
        texts=tuple(texts),
        coverage={name: _with_gaps(name, finding.coverage, segment) for name, finding in findings.items()},
        checkpoints=dict(models.checkpoints),
    )
    return Examination(observations, {name: round(ms, 1) for name, (_, ms) in done.items()})


def _timed(stage: Callable[[], Finding]) -> tuple[Finding, float]:
    started = time.monotonic()
    try:
        finding = stage()
    except DeadlinePassed:
        finding = Finding(Coverage(status="not", reason=why.DEADLINE))
    return finding, (time.monotonic() - started) * 1000


def _with_gaps(modality: Modality, seen: Coverage, segment: Segment) -> Coverage:
    """A segment with a gap was at most partly examined, whatever the models saw of the rest."""
    if modality == "chat" or not segment.manifest.gaps:
        return seen
    duration_s, lost_s = segment.manifest.duration_s, segment.manifest.lost_s
    seen = seen.model_copy(update={"received": round(1 - lost_s / duration_s, 4)})
    if seen.reason not in (None, *why.HARMLESS):
        return seen
    status = "not" if lost_s >= duration_s * 0.99 else "partly"
    return seen.model_copy(update={"status": status, "reason": why.GAP, "detail": f"{lost_s:.1f} s"})


def _frames(segment: Segment, chosen: Chosen, models: Models) -> Finding:
    slots = [slot for slot in models.checkpoints if slot.startswith("vision.")]
    frames, seen = examine_frames(segment.frames, chosen, slots, models)
    return Finding(seen, frames=frames)


def _screen(segment: Segment, chosen: Chosen, models: Models, settings: ExaminationSettings) -> Finding:
    if "ocr" not in models.checkpoints or not settings.screen_text:
        return Finding(Coverage(status="not", reason=why.NO_MODEL, total=len(segment.frames)))
    texts, seen = examine_screen(segment.frames, chosen, models, settings)
    return _with_scores(Finding(seen, texts), models)


def _chat(segment: Segment, models: Models) -> Finding:
    if problem := segment.problems.get("chat"):
        return Finding(problem)
    if not segment.chat:
        return Finding(Coverage(status="examined", reason=why.NO_INPUT))
    texts, skipped = group_chat(segment.chat)
    total = len(segment.chat)
    return _with_scores(
        Finding(Coverage(status="examined", examined=total, total=total, skipped=skipped), texts), models
    )


def _speech(segment: Segment, language: str | None, models: Models) -> Finding:
    if problem := segment.problems.get("speech"):
        return Finding(problem)
    if segment.audio is None:
        return Finding(Coverage(status="examined", reason=why.NO_INPUT))
    decoded_s = round(segment.audio.size / SAMPLE_RATE_HZ, 2)
    expected_s = round(segment.manifest.duration_s - segment.manifest.lost_s, 2)
    ends_early = decoded_s < expected_s - AUDIO_SLACK_S
    total = expected_s if ends_early else decoded_s
    if "speech" not in models.checkpoints:
        return Finding(Coverage(status="not", reason=why.NO_MODEL, total=total))
    heard, language_from = _heard(segment, Clip(segment.audio, language), models)
    if not isinstance(heard, Transcript):
        return Finding(_failed(heard, total))
    seen = Coverage(
        status="partly" if ends_early else "examined",
        reason=why.UNDECODABLE if ends_early else None if heard.spans else why.SILENCE,
        detail=f"{decoded_s:g} of {expected_s:g} s" if ends_early else None,
        examined=decoded_s,
        total=total,
        skipped={"silence": round(max(0.0, decoded_s - heard.speech_s), 2)},
    )
    speech = SpeechObservation(
        language=heard.language,
        language_probability=heard.language_probability,
        language_from=language_from,
        speech_s=heard.speech_s,
    )
    return _with_scores(Finding(seen, _spoken(heard), speech=speech), models)


def _heard(segment: Segment, clip: Clip, models: Models) -> tuple[Result, LanguageFrom]:
    """The transcript in the stream's known language; else in the one heard, unless that is a mere guess."""
    heard = models.ask("speech", [clip])[0]
    if clip.language is not None:
        return heard, "stream"
    declared = (segment.manifest.context.language or "")[:2]
    unsure = isinstance(heard, Transcript) and heard.spans and heard.language_probability < LANGUAGE_TRUST
    if unsure and declared and isinstance(heard, Transcript) and heard.language != declared:
        return models.ask("speech", [replace(clip, language=declared)])[0], "manifest"
    return heard, "detected"


def _spoken(heard: Transcript) -> tuple[TextObservation, ...]:
    return tuple(
        TextObservation(
            source="speech",
            at_s=round(span.start_s, 2),
            end_s=round(span.end_s, 2),
            text=span.text,
            normalised=normalise(span.text).text,
            language=heard.language,
            confidence=round(span.confidence, 4),
        )
        for span in heard.spans
    )


def _with_scores(finding: Finding, models: Models) -> Finding:
    """The finding with its texts scored by every text slot; a slot that fails is named in the coverage."""
    slots = [slot for slot in models.checkpoints if slot.startswith("text.")]
    if not finding.texts:
        return finding
    if not slots:
        return replace(finding, coverage=_lessened(finding.coverage, 0, why.NO_MODEL, finding.coverage.detail))
    texts = list(finding.texts)
    whole = set(range(len(texts)))
    losses: list[tuple[int, str, str]] = []
    for slot in slots:
        try:
            results = models.ask(slot, [Line(text.normalised) for text in texts])
        except DeadlinePassed:
            losses.append((len(texts), why.DEADLINE, slot))
            whole.clear()
            continue
        failed = {index for index, result in enumerate(results) if not isinstance(result, Scores)}
        losses.append((len(failed), why.MODEL_FAILED, slot))
        whole -= failed
        texts = [_scored(text, slot, result) for text, result in zip(texts, results, strict=True)]
    seen = finding.coverage
    if len(whole) < len(texts):
        _, reason, slot = max(losses, key=lambda loss: loss[0])
        share = sum(texts[index].repeats for index in whole) / sum(text.repeats for text in texts)
        seen = _lessened(seen, share, reason, slot)
    return replace(finding, coverage=seen, texts=tuple(texts))


def _lessened(seen: Coverage, share: float, reason: str, detail: str | None) -> Coverage:
    """The coverage when only `share` of the texts have the scores of every text slot."""
    status = "partly" if share else "not"
    examined = round(seen.examined * share, 2)
    return seen.model_copy(update={"status": status, "reason": reason, "detail": detail, "examined": examined})


def _scored(text: TextObservation, slot: str, result: object) -> TextObservation:
    if isinstance(result, Scores):
        rounded = {label: round(score, 5) for label, score in result.labels.items()}
        return text.model_copy(update={"scores": {**text.scores, slot: rounded}})
    return text.model_copy(update={"error": result.error if isinstance(result, Failure) else type(result).__name__})


def _failed(result: object, total: float) -> Coverage:
    detail = result.error if isinstance(result, Failure) else type(result).__name__
    return Coverage(status="not", reason=why.MODEL_FAILED, detail=detail, total=total)
