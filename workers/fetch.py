"""Brings a segment's media from the store and decodes them; what is missing or broken is named, not raised.

A store that fails otherwise (unreachable, throttled) does raise: that is worth a retry, not a verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from billiard.exceptions import SoftTimeLimitExceeded
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from pipelines import coverage as why
from pipelines.manifest import AudioRef, ChatLine, ChatRef, FrameRef, SegmentManifest
from pipelines.media import Allowance, DecodeError, Decoder
from pipelines.record import STAGES, Coverage, Stage
from pipelines.segment import Frame, Segment
from workers.reach import within
from workers.storage import ObjectMissing, ObjectTooLarge, OutOfRange, StorageError

MAX_CHAT_BYTES = 16 * 1024 * 1024
MAX_CHAT_LINES = 20_000
"""Of one segment: as many are read in some seconds, a hundred times as many would take its worker down."""
MAX_DURATION_S = 120.0
"""The longest segment that a manifest may stand for."""

_CHAT_LINE = TypeAdapter(ChatLine)


class Objects(Protocol):
    """Where media lie: the store, or a folder beside a manifest."""

    def get(
        self, key: str, *, offset: int | None = None, length: int | None = None, max_bytes: int | None = None
    ) -> bytes:
        """The object, or `length` bytes of it from `offset`.

        Raises `ObjectMissing`, `OutOfRange` or `ObjectTooLarge`.
        """
        ...


class OutsideMedia(ValueError):
    """The manifest names an object outside the media prefix; it is not fetched."""


def fetch_segment(
    manifest: SegmentManifest,
    storage: Objects,
    *,
    decoder: Decoder,
    max_side_px: int,
    stages: Collection[Stage] = STAGES,
    audio_before: str | None = None,
    audio_after: str | None = None,
) -> Segment:
    """The decoded segment, with the media that these stages look at.

    Raises `StorageError` when the store is mute, and what the decoder raises when it is not the medium's fault.

    `audio_before` and `audio_after` are keys of the neighbouring segments' audio: where one is gone or broken, the
    segment is heard without it.
    """
    problems: dict[Literal["speech", "chat"], Coverage] = {}
    looked_at = manifest.frames if "frames" in stages or "screen" in stages else ()
    listened_to = manifest.audio if "speech" in stages else None
    allowance = Allowance.of(decoder.limits, len(looked_at) + 3)
    opening = _Opening(storage, decoder, allowance, max_side_px)
    with _side_by_side(allowance) as pool:
        frames = pool.submit(opening.frames, looked_at)
        audio = pool.submit(opening.audio, listened_to, manifest.duration_s)
        before = pool.submit(opening.neighbour, audio_before)
        after = pool.submit(opening.neighbour, audio_after)
        chat = _chat(manifest.chat, storage)
        heard, seen = audio.result(), frames.result()
        heard_before, heard_after = before.result(), after.result()
    if isinstance(heard, Coverage):
        problems["speech"], heard = heard, None
    if isinstance(chat, Coverage):
        problems["chat"], chat = chat, None
    return Segment(manifest, seen, heard, chat, problems, heard_before, heard_after)


@contextmanager
def _side_by_side(allowance: Allowance) -> Iterator[ThreadPoolExecutor]:
    """Threads that nobody waits for when one of them failed or the segment's time is up: what is left of them decodes
    nothing any more. A child that waited for a slow store would be killed, which counts against the segment.
    """
    pool = ThreadPoolExecutor(2, thread_name_prefix="fetch")
    try:
        yield pool
    except SoftTimeLimitExceeded:  # the store's doing: decoding has limits of its own
        allowance.left_s = 0
        raise StorageError("media did not come in time") from None
    except BaseException:
        allowance.left_s = 0
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def media_keys(manifest: SegmentManifest) -> set[str]:
    """Every object that the manifest names."""
    keys = {frame.key for frame in manifest.frames}
    if manifest.audio is not None:
        keys.add(manifest.audio.key)
    if isinstance(manifest.chat, ChatRef):
        keys.add(manifest.chat.key)
    return keys


def check_reach(manifest: SegmentManifest, media_prefix: str) -> None:
    """Raises `OutsideMedia` unless every named object lies below the prefix."""
    for key in sorted(media_keys(manifest)):
        if not within(key, media_prefix):
            raise OutsideMedia(f"{key} is not below {media_prefix}")


@dataclass(frozen=True)
class _Opening:
    """Media of one segment on their way from bytes to arrays."""

    storage: Objects
    decoder: Decoder
    allowance: Allowance
    max_side_px: int

    def frames(self, references: Sequence[FrameRef]) -> tuple[Frame, ...]:
        """Objects that hold several frames are fetched once, from the first byte needed to the last."""
        extents: dict[str, tuple[int, int]] = {}
        for reference in references:
            if reference.offset is not None and reference.length is not None:
                low, high = extents.get(reference.key, (reference.offset, 0))
                extents[reference.key] = (min(low, reference.offset), max(high, reference.offset + reference.length))
        objects: dict[str, bytes | Coverage] = {}
        frames: list[Frame] = []
        for reference in references:
            if reference.key not in objects:
                objects[reference.key] = self._object(reference.key, extents.get(reference.key))
            frames.append(self._frame(reference, objects[reference.key], extents.get(reference.key)))
        return tuple(frames)

    def _object(self, key: str, extent: tuple[int, int] | None) -> bytes | Coverage:
        most = self.decoder.limits.max_frames_bytes
        try:
            if extent is None:
                return self.storage.get(key, max_bytes=most)
            return self.storage.get(key, offset=extent[0], length=extent[1] - extent[0], max_bytes=most)
        except ObjectMissing:
            return _missing(key)
        except OutOfRange:
            return _undecodable("object shorter than its range")
        except ObjectTooLarge as error:
            return _undecodable(str(error))

    def _frame(self, reference: FrameRef, content: bytes | Coverage, extent: tuple[int, int] | None) -> Frame:
        if isinstance(content, Coverage):
            return Frame(reference.at_s, None, content)
        if extent is not None and reference.offset is not None and reference.length is not None:
            start = reference.offset - extent[0]
            content = content[start : start + reference.length]
        try:
            picture = self.decoder.image(content, max_side_px=self.max_side_px, allowance=self.allowance)
        except DecodeError as error:
            return Frame(reference.at_s, None, _undecodable(str(error), error.reason))
        return Frame(reference.at_s, picture)

    def audio(self, reference: AudioRef | None, duration_s: float) -> NDArray[np.float32] | Coverage | None:
        if reference is None:
            return None
        try:
            content = self.storage.get(reference.key, max_bytes=self.decoder.limits.max_audio_bytes)
            return self.decoder.audio(content, max_s=duration_s + 1, allowance=self.allowance)
        except ObjectMissing:
            return _missing(reference.key, total=duration_s)
        except ObjectTooLarge as error:
            return _undecodable(str(error), total=duration_s)
        except DecodeError as error:
            return _undecodable(str(error), error.reason, total=duration_s)

    def neighbour(self, key: str | None) -> NDArray[np.float32] | None:
        audio = self.audio(AudioRef(key=key) if key else None, MAX_DURATION_S)
        return None if isinstance(audio, Coverage) else audio


def _chat(chat: tuple[ChatLine, ...] | ChatRef | None, storage: Objects) -> tuple[ChatLine, ...] | Coverage | None:
    if not isinstance(chat, ChatRef):
        return chat
    try:
        lines = storage.get(chat.key, max_bytes=MAX_CHAT_BYTES).split(b"\n")
        if len(lines) > MAX_CHAT_LINES:
            return _undecodable(f"chat: {len(lines)} lines, more than {MAX_CHAT_LINES}")
        return tuple(_CHAT_LINE.validate_json(line) for line in lines if line.strip())
    except ObjectMissing:
        return _missing(chat.key)
    except ValidationError as error:
        return _undecodable(f"chat: {type(error).__name__}")
    except ObjectTooLarge as error:
        return _undecodable(str(error))


def _missing(key: str, total: float = 0) -> Coverage:
    return Coverage(status="not", reason=why.MISSING_OBJECT, detail=key, total=total)


def _undecodable(detail: str, reason: str = why.UNDECODABLE, total: float = 0) -> Coverage:
    return Coverage(status="not", reason=reason, detail=detail, total=total)
