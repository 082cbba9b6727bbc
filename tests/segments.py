"""Segments for tests: small media in a real store, and the manifests that name them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np

from pipelines.manifest import AudioRef, ChatLine, FrameRef, SegmentManifest, parse_manifest, segment_id_at
from workers.storage import Storage

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
CHAT_ONLY = parse_manifest(
    {
        "schema": "liverisk.segment",
        "version": 1,
        "stream_id": "room",
        "segment_id": "s1",
        "captured_at": "2026-01-31T12:00:00Z",
        "duration_s": 10,
        "chat": [{"at_s": 0, "user": "u", "text": "\x00 \u202e 🎉 加我微信"}],
    }
)
"""A segment without media, whose chat holds what wires and logs stumble over."""


def jpeg(seed: int, *, side: int = 160) -> bytes:
    """A picture of coarse coloured blocks, unlike that of any other seed."""
    blocks = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.resize(blocks, (side, side), interpolation=cv2.INTER_NEAREST))[1].tobytes()


def store_segment(
    storage: Storage,
    stream_id: str,
    number: int = 0,
    *,
    frames: Sequence[bytes] | None = None,
    audio: bytes | None = None,
    chat: Sequence[str] = (),
) -> SegmentManifest:
    """Uploads the media of one ten-second segment and returns its manifest; two distinct frames by default."""
    pictures = [jpeg(2 * number), jpeg(2 * number + 1)] if frames is None else list(frames)
    captured_at = START + timedelta(seconds=10 * number)
    folder = f"media/stream={stream_id}/{segment_id_at(captured_at)}"
    references = []
    for index, picture in enumerate(pictures):
        key = f"{folder}/{index}.jpg"
        storage.put(key, picture)
        references.append(FrameRef(at_s=5.0 * index, key=key))
    if audio is not None:
        storage.put(f"{folder}/audio", audio)
    return SegmentManifest(
        schema="liverisk.segment",
        version=1,
        stream_id=stream_id,
        segment_id=segment_id_at(captured_at),
        captured_at=captured_at,
        duration_s=10,
        frames=tuple(references),
        audio=AudioRef(key=f"{folder}/audio") if audio is not None else None,
        chat=tuple(ChatLine(at_s=index % 10, user=f"viewer-{index}", text=text) for index, text in enumerate(chat)),
    )
