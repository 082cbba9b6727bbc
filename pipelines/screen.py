"""What is written on the frames of one segment, each text once however many frames show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipelines import coverage as why
from pipelines.frames import Chosen, error_of, frame_coverage, picture_of
from pipelines.items import ScreenLine, ScreenText
from pipelines.models import Models
from pipelines.record import Coverage, TextObservation
from pipelines.segment import ExaminationSettings, Frame
from pipelines.text.language import language_of
from pipelines.text.normalise import normalise

Shown = Mapping[str, Sequence[tuple[float, ScreenLine]]]
"""Normalised text -> where it was read: the frame's time and the line."""


def examine_screen(
    frames: Sequence[Frame], chosen: Chosen, models: Models, settings: ExaminationSettings
) -> tuple[tuple[TextObservation, ...], Coverage]:
    """The texts that were read with enough confidence, and how much of the frames was searched."""
    if not frames:
        return (), Coverage(status="examined", reason=why.NO_INPUT)
    asked = [index for index, by in chosen.items() if index == by]
    pictures = [replace(picture_of(frames[index]), all_text=settings.all_screen_text) for index in asked]
    results = models.ask("ocr", pictures) if asked else ()
    errors = {i: error_of(r) for i, r in zip(asked, results, strict=True) if not isinstance(r, ScreenText)}
    read = {i: r for i, r in zip(asked, results, strict=True) if isinstance(r, ScreenText)}
    failed = why.MODEL_FAILED if errors else None
    seen = frame_coverage(frames, chosen, set(errors), failed, next(iter(errors.values()), None))
    shown = _shown(frames, chosen, read, settings)
    # Clocks, scores and prices change in every frame and say nothing that a text model could judge.
    worded = {key: places for key, places in shown.items() if any(character.isalpha() for character in key)}
    if len(worded) < len(shown):
        seen = seen.model_copy(update={"skipped": {**seen.skipped, "no_letters": len(shown) - len(worded)}})
    unsure = sum(not _is_sure(line, settings) for result in read.values() for line in result.lines)
    if unsure:
        seen = seen.model_copy(update={"skipped": {**seen.skipped, "unsure": unsure}})
    unread = sum(result.unread for result in read.values())
    if unread and seen.status == "examined":
        seen = seen.model_copy(update={"status": "partly", "reason": why.SHED, "detail": f"{unread} lines"})
    return tuple(_observation(key, places) for key, places in worded.items()), seen


def _is_sure(line: ScreenLine, settings: ExaminationSettings) -> bool:
    return bool(line.text) and line.confidence >= settings.min_screen_confidence


def _shown(
    frames: Sequence[Frame], chosen: Chosen, read: Mapping[int, ScreenText], settings: ExaminationSettings
) -> Shown:
    """A frame that repeats another shows what that one shows."""
    shown: dict[str, list[tuple[float, ScreenLine]]] = {}
    for index, by in chosen.items():
        for line in read[by].lines if by in read else ():
            if _is_sure(line, settings):
                shown.setdefault(normalise(line.text).text, []).append((frames[index].at_s, line))
    return shown


def _observation(normalised: str, places: Sequence[tuple[float, ScreenLine]]) -> TextObservation:
    best = max((line for _, line in places), key=lambda line: line.confidence)
    return TextObservation(
        source="screen",
        at_s=places[0][0],
        end_s=places[-1][0] if len(places) > 1 else None,
        text=best.text,
        normalised=normalised,
        language=language_of(best.text),
        confidence=round(best.confidence, 4),
        repeats=len(places),
        box=best.box,
    )
