"""How one segment is looked at: as thoroughly as there is time for, with the checkpoints it was given at its start."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pipelines.examine import Examination, examine, shed
from pipelines.manifest import SegmentManifest
from pipelines.record import STAGES, Shadow
from pipelines.segment import ExaminationSettings
from workers.config import Overload
from workers.fetch import fetch_segment
from workers.lanes import Lane
from workers.shadowing import Shadowing

if TYPE_CHECKING:
    from workers.classify import Bench

Depth = Literal["whole", "thinned", "shed"]
"""How thoroughly a segment is examined: overload spares speech and most frames first, then everything."""


@dataclass(frozen=True, slots=True)
class Look:
    """`shadow`: slot -> what was said beside."""

    examination: Examination
    shadow: dict[str, Shadow] = field(default_factory=dict)


def depth_of(lane: Lane, waited_s: float | None, overload: Overload) -> Depth:
    """Only live segments lose depth by waiting: bulk work has time."""
    if lane != "live" or waited_s is None or waited_s <= overload.thin_after_s:
        return "whole"
    return "thinned" if waited_s <= overload.shed_after_s else "shed"


def shed_look(manifest: SegmentManifest, bench: Bench) -> Look:
    """No engine is asked and no frame or audio fetched."""
    side_px = bench.config.examination.frame_side_px
    segment = fetch_segment(manifest, bench.storage, decoder=bench.decoder, max_side_px=side_px, stages=())
    return Look(Examination(shed(bench.pseudonyms.applied(segment)), {}))


def looked_at(manifest: SegmentManifest, settings: ExaminationSettings, bench: Bench, lane: Lane, depth: Depth) -> Look:
    """What the models say and the lexicon finds; raises when the engine or the store is away.

    Shadows are asked beside unless the segment is late already.
    """
    deadline = time.monotonic() + bench.config.worker.deadline_s
    with bench.engine.models(manifest.stream_id, lane=lane, deadline=deadline, profile=manifest.profile) as models:
        clock = time.monotonic()
        stages = STAGES if settings.hear_speech else ("frames", "screen")
        fetched = fetch_segment(
            manifest, bench.storage, decoder=bench.decoder, max_side_px=settings.frame_side_px, stages=stages
        )
        segment = bench.pseudonyms.applied(fetched)
        fetch_ms = (time.monotonic() - clock) * 1000
        spoken, lexicon = bench.state.language(manifest.stream_id), bench.lexicons.current()
        if depth != "whole" or not models.shadows:
            seen = examine(segment, models, settings, language=spoken, lexicon=lexicon)
            shadow = {}
        else:
            with closing(Shadowing(models)) as shadowing:
                seen = examine(segment, shadowing, settings, language=spoken, lexicon=lexicon)
                shadow = shadowing.shadows(seen.observations, bench.config.registry.shadow_wait_s)
    return Look(Examination(seen.observations, {"fetch": round(fetch_ms, 1), **seen.stage_ms}), shadow)
