"""Every metric there is: its name, kind, labels and meaning. Dashboards, alert rules and the guide are held to it.

No label has more values than a deployment has hosts, slots, lanes, policies or words for a reason: streams, users and
segments are in the records, not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` as PromQL writes it, without the endings of a histogram; `buckets` are a histogram's upper bounds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


_LATENCY_S = (1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_STAGE_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

MESSAGES: Final = Metric(
    "liverisk_messages_total", "counter", ("task", "lane", "outcome"), "messages brought to their end"
)
PUT_BACK: Final = Metric(
    "liverisk_put_back_total", "counter", ("task", "lane", "error"), "messages put back to be tried again"
)
QUARANTINED: Final = Metric("liverisk_quarantined_total", "counter", ("reason",), "messages put into quarantine")
SEGMENTS: Final = Metric(
    "liverisk_segments_total", "counter", ("lane", "depth"), "records of segments that a sampler or client sent"
)
REPEATED: Final = Metric(
    "liverisk_repeated_starts_total", "counter", ("lane",), "starts beyond the first of recorded segments"
)
LATENCY: Final = Metric(
    "liverisk_segment_latency_seconds",
    "histogram",
    ("lane",),
    "end of a live segment's capture to its record",
    _LATENCY_S,
)
STAGE: Final = Metric(
    "liverisk_stage_seconds",
    "histogram",
    ("lane", "stage"),
    "time of one segment in one stage; `waiting`: in its lane",
    _STAGE_S,
)
COVERAGE: Final = Metric(
    "liverisk_coverage_total",
    "counter",
    ("modality", "status", "reason"),
    "segments by how a modality was examined; the reason is empty where nothing is missing",
)
EXAMINED: Final = Metric(
    "liverisk_examined_amount_total",
    "counter",
    ("modality",),
    "frames, seconds of audio, frames searched for text, chat lines that were examined",
)
RECEIVED: Final = Metric(
    "liverisk_received_amount_total", "counter", ("modality",), "the same, of what there was to examine"
)
SKIPPED: Final = Metric(
    "liverisk_skipped_amount_total", "counter", ("modality", "reason"), "what was spared, with nothing lost by it"
)
VERDICTS: Final = Metric("liverisk_verdicts_total", "counter", ("policy", "action"), "verdicts that do not allow")

COUNTED: Final = (
    *(MESSAGES, PUT_BACK, QUARANTINED, SEGMENTS, REPEATED, LATENCY),
    *(STAGE, COVERAGE, EXAMINED, RECEIVED, SKIPPED, VERDICTS),
)
"""Kept by the workers in the broker's store."""

ANSWERS: Final = Metric("liverisk_answers", "gauge", ("piece",), "1: broker, store or registry could be read")
LANE_WAITING: Final = Metric("liverisk_lane_waiting", "gauge", ("lane",), "messages in a lane")
LANE_OLDEST: Final = Metric("liverisk_lane_oldest_seconds", "gauge", ("lane",), "age of the message that is next")
LANE_WORKERS: Final = Metric("liverisk_lane_workers", "gauge", ("lane",), "workers that take from a lane")
IN_WORK: Final = Metric("liverisk_in_work", "gauge", (), "messages delivered and not yet acknowledged")
CHILDREN: Final = Metric("liverisk_worker_children", "gauge", (), "segments that all workers can take at a time")
BUSY: Final = Metric("liverisk_worker_children_busy", "gauge", (), "segments that they have taken now")
QUARANTINE: Final = Metric("liverisk_quarantine_entries", "gauge", (), "messages that lie in quarantine")
FEEDERS: Final = Metric("liverisk_feeders", "gauge", (), "1: somebody carries reviews and rescans forward")
OPEN_RUNS: Final = Metric("liverisk_open_runs", "gauge", ("kind", "state"), "reviews and rescans that are not over")
RUN_WAITING: Final = Metric("liverisk_run_waiting_segments", "gauge", ("kind",), "segments that open runs still have")
LEXICON_PROBLEMS: Final = Metric("liverisk_lexicon_problems", "gauge", (), "workers whose lexicons are broken")
LEXICONS: Final = Metric("liverisk_lexicon_versions", "gauge", (), "different lexicons in force at once")
MOVES: Final = Metric("liverisk_checkpoint_moves_total", "counter", (), "checkpoints moved in or out of slots, ever")
ENGINE_READY: Final = Metric("liverisk_engine_ready", "gauge", ("host", "device"), "1: the engine's models are warm")
ENGINE_MEMORY: Final = Metric("liverisk_engine_memory_bytes", "gauge", ("host",), "resident memory of the engine")
ENGINE_BEHIND: Final = Metric(
    "liverisk_engine_moves_behind", "gauge", ("host",), "moves of checkpoints that the engine has not taken in"
)
ENGINE_PROBLEMS: Final = Metric(
    "liverisk_engine_slot_problem", "gauge", ("host", "slot"), "1: the slot is not as the registry says"
)
_SLOT = ("host", "slot", "role", "checkpoint")
BATCHES: Final = Metric("liverisk_engine_batches_total", "counter", _SLOT, "batches since the engine's start")
ITEMS: Final = Metric("liverisk_engine_items_total", "counter", _SLOT, "items in those batches")
FAILED: Final = Metric("liverisk_engine_failed_items_total", "counter", _SLOT, "items that the model could not take")
WAITING: Final = Metric("liverisk_engine_waiting_items", "gauge", _SLOT, "items before the model")
BUSY_S: Final = Metric("liverisk_engine_busy_seconds_total", "counter", _SLOT, "time in batches; its rate is occupancy")
BULK_S: Final = Metric("liverisk_engine_bulk_seconds_total", "counter", _SLOT, "the part of it that was bulk work's")

READ: Final = (
    *(ANSWERS, LANE_WAITING, LANE_OLDEST, LANE_WORKERS, IN_WORK, CHILDREN, BUSY, QUARANTINE, FEEDERS, OPEN_RUNS),
    *(RUN_WAITING, LEXICON_PROBLEMS, LEXICONS, MOVES, ENGINE_READY, ENGINE_MEMORY, ENGINE_BEHIND, ENGINE_PROBLEMS),
    *(BATCHES, ITEMS, FAILED, WAITING, BUSY_S, BULK_S),
)
"""Asked of broker, store and engines when somebody wants to know."""

METRICS: Final = (*COUNTED, *READ)
