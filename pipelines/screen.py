"""What is written on the frames of one segment, each text once however many frames show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pipelines import coverage as why
from pipelines.banners import Banner, Sighting, banners_of
from pipelines.frames import Chosen, error_of, frame_coverage, picture_of
from pipelines.items import ScreenLine, ScreenText
from pipelines.models import Models
from pipelines.record import Coverage, TextObservation
from pipelines.segment import ExaminationSettings, Frame
from pipelines.text.language import language_of
from pipelines.text.normalise import normalise


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
    shown = [_observation(banner) for banner in banners_of(_sightings(frames, chosen, read, settings))]
    # Clocks, scores and prices change in every frame and say nothing that a text model could judge.
    worded = tuple(text for text in shown if any(map(str.isalpha, text.normalised)))
    if len(worded) < len(shown):
        seen = seen.model_copy(update={"skipped": {**seen.skipped, "no_letters": len(shown) - len(worded)}})
    unsure = sum(not _is_sure(line, settings) for result in read.values() for line in result.lines)
    if unsure:
        seen = seen.model_copy(update={"skipped": {**seen.skipped, "unsure": unsure}})
    unread = sum(result.unread for result in read.values())
    if unread and seen.status == "examined":
        seen = seen.model_copy(update={"status": "partly", "reason": why.SHED, "detail": f"{unread} lines"})
    return worded, seen


def _is_sure(line: ScreenLine, settings: ExaminationSettings) -> bool:
    return bool(line.text) and line.confidence >= settings.min_screen_confidence


def _sightings(
    frames: Sequence[Frame], chosen: Chosen, read: Mapping[int, ScreenText], settings: ExaminationSettings
) -> Iterator[Sighting]:
    """What was read with enough confidence. A frame that repeats another shows what that one shows."""
    for index, by in chosen.items():
        for line in read[by].lines if by in read else ():
            if _is_sure(line, settings):
                yield Sighting(index, frames[index].at_s, line)


def _observation(banner: Banner) -> TextObservation:
    first, last = banner.seen[0], banner.seen[-1]
    return TextObservation(
        source="screen",
        at_s=first.at_s,
        end_s=last.at_s if len(banner.seen) > 1 else None,
        text=banner.words,
        normalised=normalise(banner.words).text,
        language=language_of(banner.words),
        confidence=round(banner.confidence, 4),
        repeats=len(banner.seen),
        box=banner.box,
    )
