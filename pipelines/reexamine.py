"""Examines a segment again in part: the stages whose models changed, everything else from its record."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from pipelines.manifest import AudioRef, Profile, SegmentManifest
from pipelines.models import Models
from pipelines.record import STAGES, Modality, Observations, Record, Stage
from pipelines.segment import ExaminationSettings, Segment

__all__ = ["STAGES", "Reexamination", "Stage", "manifest_of", "reexamine"]

MEDIA_EXPIRED = "media_expired"
"""Why stored observations stand in for new ones: every object that would be looked at is gone from the store."""


@dataclass(frozen=True, slots=True)
class Reexamination:
    """The whole segment's observations, new and stored; `reused` says why a modality's new ones could not be had."""

    observations: Observations
    stage_ms: dict[str, float]
    reused: dict[Modality, str] = field(default_factory=dict)


def reexamine(
    source: Record, segment: Segment | None, stages: Collection[Stage], models: Models, settings: ExaminationSettings
) -> Reexamination:
    """The source's observations with those of `stages` made anew; `segment` may be None when no stage reads media."""
    raise NotImplementedError


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
