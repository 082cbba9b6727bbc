"""Frames of one segment: which to look at, and what the vision slots say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipelines import coverage as why
from pipelines.items import Failure, Picture, Result, Scores
from pipelines.models import DeadlinePassed, Models
from pipelines.record import Coverage, FrameObservation
from pipelines.segment import ExaminationSettings, Frame
from pipelines.vision.duplicates import Thumbnail, difference_hash, is_near_duplicate, thumbnail

SLOTS = "vision."
"""What the name of a slot begins with that scores frames."""
FrameFindings = Sequence[FrameObservation]
Chosen = Mapping[int, int]
"""Index of a frame -> index of the frame that is examined in its place: itself, or one it repeats."""


def at_most(limit: int | None, frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """`limit` of the decoded frames, spread evenly; the others are shed, and say so."""
    decoded = [index for index, frame in enumerate(frames) if frame.picture is not None]
    if limit is None or len(decoded) <= limit:
        return tuple(frames)
    kept = {decoded[(2 * place + 1) * len(decoded) // (2 * limit)] for place in range(limit)}
    shed = Coverage(status="not", reason=why.SHED)
    return tuple(
        frame if index in kept or frame.picture is None else replace(frame, picture=None, problem=shed)
        for index, frame in enumerate(frames)
    )


def without_near_duplicates(frames: Sequence[Frame], settings: ExaminationSettings) -> Chosen:
    """Which decoded frames are examined, and which are judged by the last examined one they look like."""
    chosen: dict[int, int] = {}
    last: tuple[int, Thumbnail] | None = None
    for index, frame in enumerate(frames):
        if frame.picture is None:
            continue
        small = thumbnail(frame.picture)
        if (
            settings.near_duplicates
            and last is not None
            and is_near_duplicate(last[1], small, settings.near_duplicate_threshold)
        ):
            chosen[index] = last[0]
        else:
            chosen[index] = index
            last = (index, small)
    return chosen


def examine_frames(
    frames: Sequence[Frame], chosen: Chosen, slots: Sequence[str], models: Models, *, keep: bool = False
) -> tuple[FrameFindings, Coverage]:
    """One observation per frame, and how much of them was seen. A slot out of time leaves its scores out.

    `keep`: also with their embeddings, of the slots that have any.
    """
    if not frames:
        return (), Coverage(status="examined", reason=why.NO_INPUT)
    if not slots:
        return (), Coverage(status="not", reason=why.NO_MODEL, total=len(frames))
    asked = [index for index, by in chosen.items() if index == by]
    pictures = [replace(picture_of(frames[index]), keep=keep) for index in asked]
    scores: dict[int, dict[str, dict[str, float]]] = {index: {} for index in asked}
    kept: dict[int, dict[str, str]] = {index: {} for index in asked}
    errors: dict[int, str] = {}
    late = False
    for slot in slots if pictures else ():
        try:
            results = models.ask(slot, pictures)
        except DeadlinePassed:
            late = True
            continue
        for index, result in zip(asked, results, strict=True):
            if isinstance(result, Scores):
                scores[index][slot] = rounded(result)
                kept[index] |= {slot: result.embedding.stored()} if result.embedding is not None else {}
            else:
                errors[index] = error_of(result)
    observations = tuple(
        _frame(index, frame, chosen, scores, errors, frames).model_copy(update={"embeddings": kept.get(index, {})})
        for index, frame in enumerate(frames)
    )
    failed = why.DEADLINE if late else why.MODEL_FAILED if errors else None
    lost = set(asked) if late else set(errors)
    return observations, frame_coverage(frames, chosen, lost, failed, next(iter(errors.values()), None))


def _frame(
    index: int,
    frame: Frame,
    chosen: Chosen,
    scores: Mapping[int, dict[str, dict[str, float]]],
    errors: Mapping[int, str],
    frames: Sequence[Frame],
) -> FrameObservation:
    if frame.picture is None:
        assert frame.problem is not None
        return FrameObservation(at_s=frame.at_s, error=frame.problem.reason)
    by = chosen[index]
    return FrameObservation(
        at_s=frame.at_s,
        scores=scores[by],
        reused_from_s=None if by == index else frames[by].at_s,
        thumbnail_hash=difference_hash(frame.picture),
        error=errors.get(by),
    )


def frame_coverage(
    frames: Sequence[Frame], chosen: Chosen, lost: set[int], failed: str | None, detail: str | None
) -> Coverage:
    """Frames examined out of all; `lost` are the asked frames that got no answer for the reason `failed`."""
    broken = next((frame.problem for frame in frames if frame.problem is not None), None)
    examined = sum(by not in lost for by in chosen.values())
    reused = sum(by != index for index, by in chosen.items())
    status = "examined" if examined == len(frames) else "partly" if examined else "not"
    return Coverage(
        status=status,
        reason=failed or (broken.reason if broken else None),
        detail=detail or (broken.detail if broken else None),
        examined=examined,
        total=len(frames),
        skipped={"near_duplicate": reused} if reused else {},
    )


def rounded(result: Scores) -> dict[str, float]:
    """As a record has them."""
    return {label: round(score, 5) for label, score in result.labels.items()}


def picture_of(frame: Frame) -> Picture:
    assert frame.picture is not None
    return frame.picture


def error_of(result: Result) -> str:
    return result.error if isinstance(result, Failure) else type(result).__name__
