"""The body of `liverisk.reexamine`: the models that a run asks for on one segment, and the outcome they leave.

The order is that of a live segment: count the start, do the risky work, store the outcome, and only then is the
message acknowledged. Whatever happens to a segment, it gets an outcome, so that its batch can be concluded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

import redis

from pipelines import coverage as why
from pipelines.kept_frames import rescored_frames
from pipelines.models import Models
from pipelines.record import LEXICON, FrameObservation, Modality, Record, Stage
from pipelines.reexamine import Reexamination, manifest_of, reexamine
from pipelines.segment import ExaminationSettings, Segment
from pipelines.text.lexicon import Lexicon
from pipelines.text_scores import SLOTS
from workers.classify import AWAY, Bench, StillRunning
from workers.engine.errors import EngineUnavailable
from workers.fetch import OutsideMedia, check_reach, fetch_segment
from workers.logs import raised_at
from workers.reach import within
from workers.records import RecordError, read_record
from workers.runs.derive import LOOKS_AT
from workers.runs.hold import held, tell
from workers.runs.messages import segment_task
from workers.runs.run import Item, Outcome, Plan
from workers.runs.store import RunError, Runs
from workers.storage import ObjectMissing

logger = logging.getLogger(__name__)

Ending = Literal["examined", "kept", "known", "held"]
CRASHED = "crashed"
"""Why stored observations stand: every start died."""
OUTSIDE_MEDIA = "outside_media"
QUIET_S = 2.0
"""So long fetching and decoding wait for live work; the models have their own order."""
TEXT_SOURCES: tuple[Modality, ...] = ("speech", "screen", "chat")


class OtherCheckpoint(Exception):
    """The engine serves another checkpoint than the plan wants: the segment waits for the right one."""


class Starved(Exception):
    """Live work left a stage no time before the deadline: the segment is tried again before it is kept like that."""


class EngineLost(Exception):
    """The engine went away while it was asked: it may be this segment that ends it, so the start counts."""


PUT_BACK = (*AWAY, OtherCheckpoint, Starved, EngineLost)
"""What a segment of a run is tried again for; being starved and losing the engine count among its starts."""


def reexamine_segment(run: str, batch: int, index: int, bench: Bench, runs: Runs) -> Ending:
    """Leaves the segment's outcome. Raises only what is worth trying again."""
    if held(bench.redis, run):
        return "held"
    if runs.has_outcome(run, batch, index):
        return "known"
    name = segment_task(run, batch, index)
    plan, item = runs.plan(run), _item(run, batch, index, runs)
    attempt = bench.state.start_attempt(name)
    if attempt > bench.config.worker.max_attempts:
        outcome = _given_up(name, item, bench, attempt - 1)
    else:
        outcome = _tried(name, plan, item, bench, attempt)
    runs.put_outcome(run, batch, index, outcome)
    bench.state.forget_attempts(name)
    with suppress(redis.RedisError):
        tell(bench.redis)
    reused = ",".join(f"{modality}:{reason}" for modality, reason in outcome.reused.items())
    logger.info("segment examined again task=%s lane=%s reused=%s", name, plan.lane, reused or "-")
    return "examined" if outcome.observations else "kept"


def _item(run: str, batch: int, index: int, runs: Runs) -> Item:
    items = runs.batch(run, batch).items
    if index >= len(items):
        raise RunError(f"{run}: batch {batch} has {len(items)} segments")
    return items[index]


def _tried(name: str, plan: Plan, item: Item, bench: Bench, attempt: int) -> Outcome:
    try:
        bench.state.note_running(name, bench.config.bulk_time_limit_s)
        return outcome_of(plan, item, bench, last=attempt == bench.config.worker.max_attempts)
    except (*AWAY, OtherCheckpoint):
        with suppress(redis.RedisError):
            bench.state.excuse_attempt(name)
        raise
    except Exception as error:
        place = "" if isinstance(error, Starved | EngineLost) else f" at {raised_at(error)}"
        bench.state.note_failure(name, f"{type(error).__name__}{place}")
        raise


def _given_up(name: str, item: Item, bench: Bench, starts: int) -> Outcome:
    """The segment is fused from what is stored, unless another delivery is at it just now."""
    if bench.state.is_running(name):
        with suppress(redis.RedisError):
            bench.state.excuse_attempt(name)
        raise StillRunning(name)
    failure = bench.state.failure(name) or "worker died"
    logger.warning("segment given up task=%s starts=%d last=%s", name, starts, failure)
    return Outcome(reused=dict.fromkeys(modalities_of(item.stages), CRASHED))


def outcome_of(plan: Plan, item: Item, bench: Bench, *, last: bool) -> Outcome:
    """What the item's stages say now. Stores nothing. `last`: a stage that found no time is kept like that.

    Raises `OtherCheckpoint`, `Starved`, `EngineLost`, and what is `AWAY`.
    """
    try:
        source = read_record(bench.storage, item.source)
    except (RecordError, ObjectMissing):
        return Outcome()  # concluding the batch names it
    deadline = time.monotonic() + bench.config.bulk_deadline_s
    with bench.engine.models(
        source.stream_id, lane=plan.lane, deadline=deadline, profile=plan.profile, digests=plan.served
    ) as models:
        check_checkpoints(plan, models)
        return _asked(plan, item, source, models, bench, last=last)


def _asked(plan: Plan, item: Item, source: Record, models: Models, bench: Bench, *, last: bool) -> Outcome:
    lexicon = lexicon_of(plan, bench)
    settings = bench.config.examination.for_profile(plan.profile)
    bench.engine.wait_quiet(QUIET_S)
    try:
        frames = _from_embeddings(source, plan, item, models, settings)
        stages = [stage for stage in item.stages if stage != "frames" or frames is None]
        clock = time.monotonic()
        segment = _segment(source, plan, item, stages, bench, settings.frame_side_px)
        fetch_ms = (time.monotonic() - clock) * 1000
        found = reexamine(source, segment, stages, models, settings, lexicon=lexicon, frames=frames)
    except OutsideMedia:
        return Outcome(reused=dict.fromkeys(modalities_of(item.stages), OUTSIDE_MEDIA))
    except EngineUnavailable:
        raise EngineLost from None
    if not last and starved(source, stages, found):
        raise Starved
    stage_ms = {"fetch": round(fetch_ms, 1), **found.stage_ms}
    return Outcome(observations=found.observations, reused=found.reused, stage_ms=stage_ms, rescored=found.rescored)


def _from_embeddings(
    source: Record, plan: Plan, item: Item, models: Models, settings: ExaminationSettings
) -> Sequence[FrameObservation] | None:
    """The frames without their media, where a head changed and the record has what the encoder made of them.

    Whoever wants everything looked at again, or closely, is not served so.
    """
    if "frames" not in item.stages or plan.kind != "rescan" or "full" in plan.selection:
        return None
    return rescored_frames(source, models, settings)


def _segment(
    source: Record, plan: Plan, item: Item, stages: Sequence[Stage], bench: Bench, max_side_px: int
) -> Segment | None:
    """The media that the stages look at; None when they look at none."""
    if not set(stages) & set(LOOKS_AT):
        return None
    manifest = manifest_of(source, plan.run, plan.profile)
    prefix = bench.config.store.media_prefix
    check_reach(manifest, prefix)
    before, after = (key if key and within(key, prefix) else None for key in (item.audio_before, item.audio_after))
    return fetch_segment(
        manifest,
        bench.storage,
        decoder=bench.decoder,
        max_side_px=max_side_px,
        stages=stages,
        audio_before=before,
        audio_after=after,
    )


def lexicon_of(plan: Plan, bench: Bench) -> Lexicon:
    """The lexicon that the run was planned with, though files may have changed since; today's where it names none."""
    digest = plan.checkpoints.get(LEXICON)
    if digest is None:
        return bench.lexicons.current()
    return bench.lexicons.of_run(digest, lambda: Runs(bench.storage).lexicon(plan.run))


def check_checkpoints(plan: Plan, models: Models) -> None:
    """Raises `OtherCheckpoint` unless the models are those that the plan names."""
    for slot, digest in plan.served.items():
        served = models.checkpoints.get(slot)
        if served is None or served.digest != digest:
            raise OtherCheckpoint(slot)


def starved(source: Record, stages: Sequence[Stage], found: Reexamination) -> bool:
    """Whether the deadline cut a stage short that ran now; one that was short in the source already does not count."""
    seen, before, texts = found.observations.coverage, source.observations.coverage, found.observations.texts
    ran = {LOOKS_AT[stage] for stage in stages if stage in LOOKS_AT} - set(found.reused)

    def now(one: Modality) -> bool:
        slot = seen[one].detail or ""
        asked = "text" in stages and slot.startswith(SLOTS)
        unscored = asked and any(text.source == one and slot not in text.scores for text in texts)
        return one in ran or unscored or seen[one] != before.get(one)

    return any(seen[one].reason == why.DEADLINE and now(one) for one in seen)


def modalities_of(stages: Sequence[Stage]) -> tuple[Modality, ...]:
    """What the stages would have looked at; the text stage at every source of text."""
    media = [LOOKS_AT[stage] for stage in stages if stage in LOOKS_AT]
    return tuple(dict.fromkeys((*media, *(TEXT_SOURCES if "text" in stages else ()))))
