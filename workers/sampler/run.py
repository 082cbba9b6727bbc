"""Samples a source: cuts it into segments, stores their media and queues them, until it ends or is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipelines.manifest import Context, SamplerSettings
from pipelines.strict import Identifier
from workers.config import Config
from workers.lanes import Lane
from workers.publish import Publisher
from workers.sampler.chat import ChatFile, ChatFileError
from workers.sampler.cutting import Cutting
from workers.sampler.delivery import Delivered, Delivery, DeliveryError
from workers.sampler.live import Watch
from workers.sampler.parcel import Origin
from workers.sampler.report import SampleSummary, SegmentReport
from workers.sampler.source import SourceError, address
from workers.storage import Storage

MAX_FRAMES = 2000
"""As many as a manifest takes."""

NOTHING_KNOWN = Context()


class SampleError(Exception):
    """Sampling cannot start or go on; one line. `wrong_input` when the caller asked for what cannot be."""

    def __init__(self, message: str, *, wrong_input: bool = False) -> None:
        super().__init__(message)
        self.wrong_input = wrong_input


@dataclass(frozen=True, slots=True)
class Order:
    """What to sample, and as what.

    `start` is the wall clock at the source's first instant. By default that is now for a live or followed source, and
    a file's modification time otherwise, so that sampling a file twice repeats its segment ids. What has a record in
    this `run` is not queued again.
    """

    source: str
    stream_id: str
    tier: str = "default"
    lane: Lane = "live"
    run: str = "live"
    start: datetime | None = None
    follow: bool = False
    chat: Path | None = None
    context: Context = NOTHING_KNOWN


def sample(
    order: Order,
    *,
    config: Config,
    storage: Storage,
    publisher: Publisher,
    report: Callable[[SegmentReport], None],
    stop: threading.Event,
) -> SampleSummary:
    """Samples until the source ends, stays away or `stop` is set; what was begun is then stored and queued.

    `report` is called from another thread, once for each segment that is stored and queued.
    """
    settings = _settings(order, config)
    try:
        where = address(order.source)
        watch = Watch(where, config.sampler, stop)
        chat = ChatFile(order.chat, follow=order.follow or watch.live) if order.chat else None
    except (SourceError, ChatFileError) as error:
        raise SampleError(str(error), wrong_input=True) from None
    cutting = Cutting(watch, config.sampler.tiers[order.tier], paced=order.follow and not watch.live, stop=stop)
    start = order.start or (None if order.follow else where.recorded_at)
    broken: SourceError | None = None
    live, patience_s = order.follow or watch.live, config.sampler.reconnect_s
    with Delivery(storage, publisher, order.lane, live=live, patience_s=patience_s, stop=stop, report=report) as outbox:
        try:
            try:
                for window in cutting.windows():
                    origin = _origin(order, start or cutting.began_at, settings, config)
                    outbox.put(window, chat.cut(window.start_s, window.end_s) if chat else None, origin)
            except SourceError as error:
                broken = error
            delivered = outbox.finish()
        except DeliveryError as error:
            said = f"{broken}; {error}" if broken else str(error)
            raise SampleError(f"{said}; {outbox.delivered.segments} segments were queued before it") from None
    if broken:
        raise SampleError(f"{broken}; {delivered.segments} segments were queued before it")
    return _summary(order, cutting, watch, chat, delivered)


def _origin(order: Order, start: datetime, settings: SamplerSettings, config: Config) -> Origin:
    return Origin(order.stream_id, start, settings, order.context, config.store.media_prefix, order.run)


def _check_name(what: str, name: str) -> None:
    try:
        TypeAdapter(Identifier).validate_python(name)
    except ValidationError:
        raise SampleError(
            f"a {what} is up to 128 letters, digits, dots, dashes and underscores, and starts with a letter or digit",
            wrong_input=True,
        ) from None


def _settings(order: Order, config: Config) -> SamplerSettings:
    _check_name("stream id", order.stream_id)
    _check_name("run", order.run)
    tier = config.sampler.tiers.get(order.tier)
    if tier is None:
        known = ", ".join(sorted(config.sampler.tiers))
        raise SampleError(f"no tier {order.tier}; sampler.tiers has {known}", wrong_input=True)
    if tier.segment_s / tier.frame_interval_s > MAX_FRAMES:
        raise SampleError(f"tier {order.tier} takes more than {MAX_FRAMES} frames a segment", wrong_input=True)
    return SamplerSettings(segment_s=tier.segment_s, frame_interval_s=tier.frame_interval_s, tier=order.tier)


def _summary(
    order: Order, cutting: Cutting, watch: Watch, chat: ChatFile | None, delivered: Delivered
) -> SampleSummary:
    if chat is not None:
        chat.finish()
    return SampleSummary(
        stream_id=order.stream_id,
        run=order.run,
        ended=cutting.ending,
        segments=delivered.segments,
        known=delivered.known,
        frames=delivered.frames,
        audio_s=round(delivered.audio_s, 3),
        gap_s=round(delivered.gap_s, 3),
        reconnects=watch.reconnects,
        undecodable=watch.undecodable,
        chat_lines=delivered.chat_lines,
        chat_bad=chat.bad_total if chat else 0,
        chat_late=chat.late_total if chat else 0,
        chat_outside=chat.outside if chat else 0,
    )
