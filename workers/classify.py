"""One segment from message to record: the body of the task `liverisk.classify`.

The order is the promise: count the start, do the risky work, write the record, remember, and only then is
the message acknowledged. A message that finds its record does nothing.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import redis
from pydantic import JsonValue

from pipelines.cards import Label
from pipelines.fusion import evidence_of, fuse, instants
from pipelines.manifest import ManifestError, SegmentManifest, parse_manifest
from pipelines.media import Decoder
from pipelines.policies import Policies, read_policies
from pipelines.record import Observations, Processing, Record, Verdict
from pipelines.segment import ExaminationSettings
from workers import quarantine
from workers.config import Config
from workers.decoder.contained import Contained, DecoderUnavailable
from workers.engine.client import EngineClient
from workers.engine.errors import CheckpointGone, EngineUnavailable
from workers.fetch import OutsideMedia, check_reach
from workers.labels import Labels
from workers.lanes import Lane
from workers.lexicons import Lexicons
from workers.logs import raised_at
from workers.look import Depth, Look, depth_of, looked_at, shed_look
from workers.metrics.counting import count_quarantined, count_record
from workers.privacy.pseudonyms import Pseudonyms
from workers.recent import note_done
from workers.records import RecordError, read_record, record_key_of, write_record
from workers.runs.reviews import ask_for_review
from workers.state import StreamState, connect
from workers.storage import Storage, StorageError
from workers.store_watch import StoreWatch

logger = logging.getLogger(__name__)

Outcome = Literal["recorded", "known", "quarantined"]


class StillRunning(Exception):
    """Another delivery of the same segment is being worked on, or was until moments ago."""


class NotReady(Exception):
    """Getting this child ready took time that the segment needs: its next start finds the child ready."""


AWAY = (
    StorageError,
    EngineUnavailable,
    CheckpointGone,
    DecoderUnavailable,
    StillRunning,
    NotReady,
    redis.RedisError,
    ConnectionError,
)
"""Something the segment needs is away: not its fault, so the start does not count, and it is tried again."""

STORE_SILENCE_S = 5.0
"""A request that a store leaves without a byte for so long is tried again: four tries fit into a segment's time."""

LANGUAGE_CERTAIN = 0.8
LANGUAGE_CERTAIN_S = 1.5
"""A stream's language is remembered after this much speech, heard with this probability."""


@dataclass(frozen=True)
class Bench:
    """What one worker process works with: opened once, after the fork."""

    config: Config
    storage: Storage
    watch: StoreWatch
    redis: redis.Redis
    state: StreamState
    engine: EngineClient
    policies: Policies
    labels: Mapping[str, Mapping[str, Label]]
    lexicons: Lexicons
    pseudonyms: Pseudonyms
    decoder: Decoder
    worker: str

    @classmethod
    def open(cls, config: Config, lexicons: Lexicons | None = None, decoder: Decoder | None = None) -> Bench:
        """`lexicons`: those that the worker read before the fork. `LexiconError` when there are none to be had.

        `decoder` None: one of its own, started at the first medium.
        """
        lexicons = lexicons or Lexicons(config.lexicons_directory)
        lexicons.current()
        client = connect(config)
        storage = Storage(config.store, silence_s=STORE_SILENCE_S)
        return cls(
            config=config,
            storage=storage,
            watch=StoreWatch(storage, client, platform.node()),
            redis=client,
            state=StreamState(client, config.state.ttl_s),
            engine=EngineClient(config),
            policies=read_policies(config.policies_file),
            labels=Labels(config.cards_directory),
            lexicons=lexicons,
            pseudonyms=Pseudonyms.of(config),
            decoder=decoder or Contained(config.decode_limits),
            worker=f"{platform.node()}:{os.getpid()}",
        )


def classify(message: JsonValue, bench: Bench, *, lane: Lane, waited_s: float | None = None) -> Outcome:
    """Brings one message to its end. Raises only what is worth trying again.

    `waited_s` is how long the message lay in its lane; None when nobody said, which counts as on time.
    """
    try:
        manifest = _manifest(message)
        check_reach(manifest, bench.config.store.media_prefix)
    except ManifestError as error:
        return _put_aside(message, bench, "manifest", str(error), lane)
    except OutsideMedia as error:
        return _put_aside(message, bench, "outside_media", str(error), lane)
    name = quarantine.segment_name(manifest)
    if bench.storage.exists(record_key_of(manifest)):
        return _known(manifest, bench)
    attempt = bench.state.start_attempt(name)
    if attempt > bench.config.worker.max_attempts:
        return _given_up(manifest, message, bench, lane, attempt - 1)
    try:
        bench.state.note_running(name, bench.config.worker.time_limit_s)
        depth = depth_of(lane, waited_s, bench.config.overload)
        record = _examined(manifest, bench, lane, attempt, depth)
        written = write_record(bench.storage, record)
        _follow_up(record if written else read_record(bench.storage, record_key_of(manifest)), bench)
    except AWAY:
        _excuse(name, bench)
        raise
    except Exception as error:
        bench.state.note_failure(name, f"{type(error).__name__} at {raised_at(error)}")
        raise
    bench.state.forget_attempts(name)
    with suppress(redis.RedisError):
        note_done(bench.redis, record)
        if written:
            count_record(bench.redis, record, lane=lane, depth=depth, waited_s=waited_s)
    _log_done(name, lane, depth, record)
    return "recorded" if written else "known"


def _manifest(message: JsonValue) -> SegmentManifest:
    if not isinstance(message, dict):
        raise ManifestError("the message is no JSON object")
    return parse_manifest(quarantine.as_json(message))


def _known(manifest: SegmentManifest, bench: Bench) -> Outcome:
    """Its record is there: what a crash may have left undone after it is done now."""
    try:
        _follow_up(read_record(bench.storage, record_key_of(manifest)), bench)
    except RecordError:
        logger.warning("record unreadable segment=%s", quarantine.segment_name(manifest))
    logger.info("segment known segment=%s", quarantine.segment_name(manifest))
    return "known"


def _given_up(manifest: SegmentManifest, message: JsonValue, bench: Bench, lane: Lane, starts: int) -> Outcome:
    """Too many starts without an outcome, unless others are at it just now: copies of one message are no crash."""
    name = quarantine.segment_name(manifest)
    if bench.storage.exists(record_key_of(manifest)):
        return _known(manifest, bench)
    if bench.state.is_running(name):
        _excuse(name, bench)
        raise StillRunning(name)
    detail = f"{starts} starts without an outcome, last: {bench.state.failure(name) or 'worker died'}"
    return _put_aside(message, bench, "crashed", detail, lane, starts)


def _excuse(name: str, bench: Bench) -> None:
    with suppress(redis.RedisError):
        bench.state.excuse_attempt(name)


def _log_done(name: str, lane: Lane, depth: Depth, record: Record) -> None:
    logger.info(
        "segment done segment=%s lane=%s depth=%s latency_s=%.2f worked_s=%.2f flagged=%s unexamined=%s",
        name,
        lane,
        depth,
        record.processing.latency_s,
        (record.processing.finished_at - record.processing.started_at).total_seconds(),
        ",".join(v.policy for v in record.verdicts if v.action != "allow") or "-",
        ",".join(m for m, seen in record.observations.coverage.items() if seen.status != "examined") or "-",
    )


def _examined(manifest: SegmentManifest, bench: Bench, lane: Lane, attempt: int, depth: Depth) -> Record:
    """The record of this segment; nothing is stored yet. Shedding needs no engine."""
    started_at = datetime.now(UTC)
    settings = bench.config.examination.for_profile(manifest.profile)
    if depth == "thinned":
        settings = settings.thinned(bench.config.overload.thin_frames)
    look = shed_look(manifest, bench) if depth == "shed" else looked_at(manifest, settings, bench, lane, depth)
    clock = time.monotonic()
    verdicts = _verdicts(manifest, look.examination.observations, bench)
    fuse_ms = (time.monotonic() - clock) * 1000
    finished_at = datetime.now(UTC)
    processing = Processing(
        worker=bench.worker,
        started_at=started_at,
        finished_at=finished_at,
        attempt=attempt,
        stage_ms={**look.examination.stage_ms, "fuse": round(fuse_ms, 1)},
        latency_s=round(finished_at.timestamp() - manifest.captured_at.timestamp() - manifest.duration_s, 3),
    )
    return _record(manifest, look, verdicts, settings, bench, processing)


def _record(
    manifest: SegmentManifest,
    look: Look,
    verdicts: tuple[Verdict, ...],
    settings: ExaminationSettings,
    bench: Bench,
    processing: Processing,
) -> Record:
    return Record(
        stream_id=manifest.stream_id,
        segment_id=manifest.segment_id,
        run=manifest.run,
        profile=manifest.profile,
        captured_at=manifest.captured_at,
        duration_s=manifest.duration_s,
        context=manifest.context,
        gaps=manifest.gaps,
        sampler=manifest.sampler,
        media=manifest.frames,
        audio_key=manifest.audio.key if manifest.audio else None,
        policy_digest=bench.policies.digest,
        settings=settings.model_dump(exclude_none=True),
        observations=look.examination.observations,
        verdicts=verdicts,
        shadow=look.shadow,
        processing=processing,
    )


def _verdicts(manifest: SegmentManifest, observations: Observations, bench: Bench) -> tuple[Verdict, ...]:
    return fuse(
        evidence_of(observations, bench.labels, bench.policies),
        observations.coverage,
        bench.policies,
        at=manifest.captured_at.timestamp(),
        history=bench.state.history(manifest.stream_id, manifest.run),
        window_s=bench.policies.fusion.lookback_s(manifest.profile),
    )


def _follow_up(record: Record, bench: Bench) -> None:
    """What a stored record brings about; doing it twice changes nothing."""
    _remember(record, bench)
    ask_for_review(record, bench.config, bench.storage, bench.redis)


def _remember(record: Record, bench: Bench) -> None:
    """What later segments of the stream build on; doing it twice changes nothing."""
    bench.state.remember(record.stream_id, record.run, record.captured_at, instants(record.verdicts))
    if (language := certain_language(record.observations)) is not None:
        bench.state.remember_language(record.stream_id, language, record.captured_at)


def certain_language(observations: Observations) -> str | None:
    """What the stream speaks, where this segment leaves no doubt of it."""
    speech = observations.speech
    if speech is None or speech.language_from != "detected" or speech.speech_s < LANGUAGE_CERTAIN_S:
        return None
    return speech.language if speech.language_probability >= LANGUAGE_CERTAIN else None


def _put_aside(
    message: JsonValue, bench: Bench, reason: quarantine.Reason, detail: str, lane: Lane, attempts: int = 1
) -> Outcome:
    key = quarantine.put_aside(bench.storage, message, reason=reason, detail=detail, lane=lane, attempts=attempts)
    logger.warning("segment quarantined key=%s reason=%s", key, reason)
    with suppress(redis.RedisError):
        count_quarantined(bench.redis, reason)
    return "quarantined"
