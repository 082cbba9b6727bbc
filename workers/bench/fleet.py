"""What a platform of so many streams needs, from what one segment costs. Arithmetic; what is assumed is an argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from workers.bench.corpus import SEGMENT_S, Shape

HOURS_A_MONTH = 730


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one segment, measured: core seconds by shape, commands to the broker, requests to the store, bytes kept."""

    core_s: Mapping[Shape, float]
    broker_commands: float
    store_reads: float
    store_writes: float
    media_bytes: float
    record_bytes: float


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Of the platform and its prices; none of it is measured here. Prices in dollars."""

    shapes: Mapping[Shape, float]
    """Which share of the streams is of which shape."""
    used: float = 0.6
    """Share of the cores that work at a busy hour: what is above is for peaks and for hosts that die."""
    cores_a_host: int = 16
    core_hour: float = 0.04
    stored_gb_month: float = 0.023
    thousand_writes: float = 0.005
    thousand_reads: float = 0.0004
    media_days: float = 7
    broker_commands_s: float = 80_000
    """What one Valkey process takes."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What so many streams need."""

    streams: int
    segments_s: float
    cores: int
    hosts: int
    brokers: int
    broker_commands_s: float
    store_requests_s: float
    media_tb: float
    compute_month: float
    store_month: float


def fleet(streams: int, costs: Costs, assumed: Assumptions) -> Fleet:
    """Every stream gives a segment in `SEGMENT_S` seconds."""
    segments_s = streams / SEGMENT_S
    core_s = sum(share * costs.core_s[shape] for shape, share in assumed.shapes.items())
    cores = ceil(round(segments_s * core_s / assumed.used, 6))
    commands_s = segments_s * costs.broker_commands
    held_bytes = segments_s * 86400 * assumed.media_days * costs.media_bytes
    requests = segments_s * 3600 * HOURS_A_MONTH / 1000
    written = requests * costs.store_writes * assumed.thousand_writes
    read = requests * costs.store_reads * assumed.thousand_reads
    return Fleet(
        streams=streams,
        segments_s=segments_s,
        cores=cores,
        hosts=ceil(cores / assumed.cores_a_host),
        brokers=max(1, ceil(commands_s / assumed.broker_commands_s)),
        broker_commands_s=commands_s,
        store_requests_s=segments_s * (costs.store_reads + costs.store_writes),
        media_tb=held_bytes / 1e12,
        compute_month=cores * assumed.core_hour * HOURS_A_MONTH,
        store_month=held_bytes / 1e9 * assumed.stored_gb_month + written + read,
    )
