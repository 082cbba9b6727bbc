"""Examines one segment: asks the models about its frames, audio, on-screen text and chat.

Frames, speech, on-screen text and chat run side by side; transcript and on-screen text go on to the text
models when they arrive. Whatever cannot be examined is named in the coverage; nothing is raised for it.
Usable with any `Models`: the pool's engine, an engine in this process, or a fake.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pipelines import coverage as why
from pipelines.chat_lines import group_chat
from pipelines.frames import SLOTS, Chosen, FrameFindings, at_most, examine_frames, without_near_duplicates
from pipelines.heard import examine_speech
from pipelines.manifest import SegmentManifest
from pipelines.models import DeadlinePassed, Models
from pipelines.record import MODALITIES, Coverage, Modality, Observations, SpeechObservation, TextObservation
from pipelines.screen import examine_screen
from pipelines.segment import ExaminationSettings, Segment
from pipelines.text.lexicon import Lexicon
from pipelines.text_scores import checkpoints_of, lessened, read_texts, score_texts


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
    segment: Segment,
    models: Models,
    settings: ExaminationSettings,
    *,
    language: str | None = None,
    modalities: Collection[Modality] = MODALITIES,
    lexicon: Lexicon | None = None,
) -> Examination:
    """Everything the models say about the segment. Raises only what makes the whole segment start again.

    `language` is what the stream was last heard to speak; it spares detecting it again. Of modalities that are
    not asked for, observations and coverage say nothing. `lexicon` None: texts are scored, and no terms looked for.
    """
    segment = replace(segment, frames=at_most(settings.max_frames, segment.frames))
    language = language if settings.known_language else None
    chosen = without_near_duplicates(segment.frames, settings)
    keep = settings.keep_embeddings
    stages: dict[Modality, Callable[[], Finding]] = {
        "frames": lambda: _frames(segment, chosen, models, keep),
        "speech": lambda: _with_scores(_speech(segment, language, models, settings), models, lexicon, keep),
        "screen": lambda: _with_scores(_screen(segment, chosen, models, settings), models, lexicon, keep),
        "chat": lambda: _with_scores(_chat(segment, settings), models, lexicon, keep),
    }
    with ThreadPoolExecutor(len(stages), thread_name_prefix="stage") as pool:
        running = {name: pool.submit(_timed, stage) for name, stage in stages.items() if name in modalities}
        done = {name: future.result() for name, future in running.items()}
    findings = {name: finding for name, (finding, _) in done.items()}
    observations = Observations(
        frames=tuple(frame for finding in findings.values() for frame in finding.frames),
        speech=findings["speech"].speech if "speech" in findings else None,
        texts=tuple(text for finding in findings.values() for text in finding.texts),
        coverage={name: with_gaps(name, finding.coverage, segment.manifest) for name, finding in findings.items()},
        checkpoints=checkpoints_of(models, lexicon),
    )
    return Examination(observations, {name: round(ms, 1) for name, (_, ms) in done.items()})


def shed(segment: Segment) -> Observations:
    """What is known of a segment that no model looked at, for overload: what there was, and its chat unscored.

    Media can be looked at later as long as the store keeps them; chat that no record holds is gone for good.
    """
    manifest = segment.manifest
    texts, skipped = group_chat(segment.chat or ())
    frames = _left_out(len(manifest.frames))
    audio = _left_out(round(manifest.duration_s - manifest.lost_s, 2) if manifest.audio is not None else 0)
    chat = _left_out(len(segment.chat or ())).model_copy(update={"skipped": skipped})
    left_out: dict[Modality, Coverage] = {
        "frames": frames,
        "speech": audio,
        "screen": frames,
        "chat": segment.problems.get("chat", chat),
    }
    coverage = {modality: with_gaps(modality, seen, manifest) for modality, seen in left_out.items()}
    return Observations(texts=texts, coverage=coverage, checkpoints={})


def _left_out(total: float) -> Coverage:
    if not total:
        return Coverage(status="examined", reason=why.NO_INPUT)
    return Coverage(status="not", reason=why.SHED, total=total)


def _timed(stage: Callable[[], Finding]) -> tuple[Finding, float]:
    started = time.monotonic()
    try:
        finding = stage()
    except DeadlinePassed:
        finding = Finding(Coverage(status="not", reason=why.DEADLINE))
    return finding, (time.monotonic() - started) * 1000


def with_gaps(modality: Modality, seen: Coverage, manifest: SegmentManifest) -> Coverage:
    """A segment with a gap was at most partly examined, whatever the models saw of the rest."""
    if modality == "chat" or not manifest.gaps:
        return seen
    lost_s = manifest.lost_s
    seen = seen.model_copy(update={"received": round(1 - lost_s / manifest.duration_s, 4)})
    if seen.reason not in (None, *why.HARMLESS):
        return seen
    status = "not" if lost_s >= manifest.duration_s * 0.99 else "partly"
    return seen.model_copy(update={"status": status, "reason": why.GAP, "detail": f"{lost_s:.1f} s"})


def _frames(segment: Segment, chosen: Chosen, models: Models, keep: bool) -> Finding:
    slots = [slot for slot in models.checkpoints if slot.startswith(SLOTS)]
    frames, seen = examine_frames(segment.frames, chosen, slots, models, keep=keep)
    return Finding(seen, frames=frames)


def _speech(segment: Segment, language: str | None, models: Models, settings: ExaminationSettings) -> Finding:
    speech, texts, seen = examine_speech(segment, language, models, settings)
    return Finding(seen, texts, speech=speech)


def _screen(segment: Segment, chosen: Chosen, models: Models, settings: ExaminationSettings) -> Finding:
    if "ocr" not in models.checkpoints or not settings.screen_text:
        return Finding(Coverage(status="not", reason=why.NO_MODEL, total=len(segment.frames)))
    texts, seen = examine_screen(segment.frames, chosen, models, settings)
    return Finding(seen, texts)


def _chat(segment: Segment, settings: ExaminationSettings) -> Finding:
    if problem := segment.problems.get("chat"):
        return Finding(problem)
    if not segment.chat:
        return Finding(Coverage(status="examined", reason=why.NO_INPUT))
    texts, skipped = group_chat(segment.chat, repeated=settings.repeated_chat)
    total = len(segment.chat)
    return Finding(Coverage(status="examined", examined=total, total=total, skipped=skipped), texts)


def _with_scores(finding: Finding, models: Models, lexicon: Lexicon | None, keep: bool) -> Finding:
    """The finding with its texts read and scored by every text slot; a slot that fails is named in the coverage."""
    texts, losses = score_texts(read_texts(finding.texts, lexicon), models, keep=keep)
    seen = lessened(finding.coverage, range(len(texts)), texts, losses)
    return replace(finding, texts=texts, coverage=seen)
