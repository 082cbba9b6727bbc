"""One window as it leaves: the objects to store, and the manifest that names them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.manifest import (
    AudioRef,
    ChatLine,
    ChatRef,
    Context,
    FrameRef,
    SamplerSettings,
    SegmentManifest,
    segment_id_at,
)
from workers.sampler.audio import flac
from workers.sampler.segmenter import Window

INLINE_CHAT_BYTES = 400_000
"""Longer chat would bring the message near its limit; it travels as an object."""

CONTENT_TYPES = {"mjpeg": "video/x-motion-jpeg", "flac": "audio/flac", "jsonl": "application/jsonl"}


@dataclass(frozen=True, slots=True)
class Origin:
    """What all segments of one sampling share. `start` is the wall clock at zero of the source's clock."""

    stream_id: str
    start: datetime
    settings: SamplerSettings
    context: Context
    media_prefix: str
    run: str

    def segment_id(self, window: Window) -> str:
        return segment_id_at(self.captured_at(window))

    def captured_at(self, window: Window) -> datetime:
        return self.start + timedelta(seconds=window.start_s)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The key is drawn from the body: packed again it is the same, and other media of the segment keep theirs."""

    key: str
    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Parcel:
    """The objects go first: a manifest never names what is not there."""

    manifest: SegmentManifest
    objects: tuple[StoredObject, ...]


def pack(window: Window, chat: tuple[ChatLine, ...] | None, origin: Origin) -> Parcel:
    """All frames become one object and are named by range; `chat` None means that there was no chat source."""
    captured_at, segment_id = origin.captured_at(window), origin.segment_id(window)
    date = segment_id_at(captured_at)[:8]
    day = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    folder = f"{origin.media_prefix}date={day}/stream={origin.stream_id}/{segment_id}/"
    frames = audio = None
    kept: tuple[ChatLine, ...] | ChatRef | None = chat
    objects: list[StoredObject] = []
    if window.stills:
        frames = _object(f"{folder}frames", "mjpeg", b"".join(still.jpeg for still in window.stills))
        objects.append(frames)
    if window.samples is not None:
        audio = _object(f"{folder}audio", "flac", flac(window.samples))
        objects.append(audio)
    if chat and len(lines := _json_lines(chat)) > INLINE_CHAT_BYTES:
        written = _object(f"{folder}chat", "jsonl", lines)
        objects.append(written)
        kept = ChatRef(key=written.key)
    manifest = SegmentManifest(
        schema="liverisk.segment",
        version=1,
        stream_id=origin.stream_id,
        segment_id=segment_id,
        captured_at=captured_at,
        duration_s=window.duration_s,
        frames=tuple(_ranges(window, frames.key)) if frames else (),
        audio=AudioRef(key=audio.key) if audio else None,
        chat=kept,
        gaps=window.gaps,
        context=origin.context,
        sampler=origin.settings,
        run=origin.run,
    )
    return Parcel(manifest, tuple(objects))


def _object(name: str, suffix: str, body: bytes) -> StoredObject:
    return StoredObject(f"{name}-{hashlib.sha256(body).hexdigest()[:8]}.{suffix}", body, CONTENT_TYPES[suffix])


def _ranges(window: Window, key: str) -> Iterator[FrameRef]:
    offset = 0
    for still in window.stills:
        yield FrameRef(at_s=still.at_s, key=key, offset=offset, length=len(still.jpeg))
        offset += len(still.jpeg)


def _json_lines(chat: tuple[ChatLine, ...]) -> bytes:
    return b"".join(line.model_dump_json(ensure_ascii=True).encode() + b"\n" for line in chat)
