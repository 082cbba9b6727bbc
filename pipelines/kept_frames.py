"""Frames scored by another head over the encoder that saw them: from their stored embeddings, without their pixels."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.embeddings import read_embedding
from pipelines.frames import SLOTS, rounded
from pipelines.items import CheckpointRef, Scores, Seen
from pipelines.models import DeadlinePassed, Models
from pipelines.record import FrameObservation, Record
from pipelines.segment import ExaminationSettings

LOOKING = ("frame_side_px", "near_duplicates", "near_duplicate_threshold")
"""Settings by which the same media would be seen otherwise."""


def rescored_frames(
    source: Record, models: Models, settings: ExaminationSettings
) -> tuple[FrameObservation, ...] | None:
    """The record's frames as today's vision slots score them, where no pixels are needed for it; None otherwise.

    A slot whose checkpoint is still the record's keeps its scores. Any other must stand on the encoder that made the
    embedding of every frame. A frame judged by reuse is what the frame is that it repeats.
    """
    stored, before = source.observations.frames, source.observations.checkpoints
    slots = {slot: ref for slot, ref in models.checkpoints.items() if slot.startswith(SLOTS)}
    changed = [slot for slot, ref in slots.items() if slot not in before or before[slot].digest != ref.digest]
    asked = [frame for frame in stored if frame.reused_from_s is None]
    places = {frame.at_s: frame for frame in asked}
    repeated = {frame.reused_from_s for frame in stored if frame.reused_from_s is not None}
    alike = all(source.settings.get(name) == getattr(settings, name) for name in LOOKING)
    if not asked or not changed or not alike or len(places) < len(asked) or not repeated <= set(places):
        return None
    scores: dict[float, dict[str, dict[str, float]]] = {at_s: {} for at_s in places}
    for slot, ref in slots.items():
        said = _by_embeddings(asked, slot, ref, models) if slot in changed else _as_before(asked, slot)
        if said is None:
            return None
        for frame, one in zip(asked, said, strict=True):
            scores[frame.at_s][slot] = one
    return tuple(
        frame.model_copy(update={"scores": scores[frame.at_s if frame.reused_from_s is None else frame.reused_from_s]})
        for frame in stored
    )


def _as_before(asked: Sequence[FrameObservation], slot: str) -> Sequence[dict[str, float]] | None:
    found = [frame.scores[slot] for frame in asked if slot in frame.scores]
    return found if len(found) == len(asked) else None


def _by_embeddings(
    asked: Sequence[FrameObservation], slot: str, ref: CheckpointRef, models: Models
) -> Sequence[dict[str, float]] | None:
    known = [read_embedding(frame.embeddings.get(slot, "")) for frame in asked]
    own = [one for one in known if one is not None and ref.encoder is not None and one.is_by(ref.encoder)]
    if len(own) < len(asked):
        return None
    try:
        results = models.ask(slot, [Seen(one) for one in own])
    except DeadlinePassed:
        return None
    found = [rounded(result) for result in results if isinstance(result, Scores)]
    return found if len(found) == len(asked) else None
