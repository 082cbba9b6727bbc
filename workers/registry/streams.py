"""Which streams a canary takes: the same ones in every engine, at every time."""

from __future__ import annotations

import hashlib

PARTS = 10_000


def part_of(slot: str, stream_id: str) -> int:
    """Where the stream stands among 10,000 parts; another place for every slot."""
    return int.from_bytes(hashlib.sha256(f"{slot}{stream_id}".encode()).digest()) % PARTS


def takes(slot: str, stream_id: str, share: float) -> bool:
    """Whether a canary with `share` percent of a slot's streams has this one. A larger share keeps the smaller's."""
    return part_of(slot, stream_id) < share / 100 * PARTS
