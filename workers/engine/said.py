"""What an engine says of its slots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from workers.engine.handles import Handle, Place
from workers.engine.wire import SlotStatus


class Slots(TypedDict, total=False):
    """The fields of `EngineStatus` that tell of slots."""

    slots: dict[str, SlotStatus]
    deep: dict[str, SlotStatus]
    canary: dict[str, SlotStatus]
    shadow: dict[str, SlotStatus]
    kept: dict[str, SlotStatus]
    shares: dict[str, float]


def said_of(places: Mapping[str, Place]) -> Slots:
    """The status of every handle, by what it is to its slot."""
    return {
        "slots": {slot: _slot(place.active) for slot, place in places.items()},
        "deep": {slot: _slot(place.deep) for slot, place in places.items() if place.deep},
        "canary": {slot: _slot(place.canary) for slot, place in places.items() if place.canary},
        "shadow": {slot: _slot(place.shadow) for slot, place in places.items() if place.shadow},
        "kept": {slot: _slot(place.kept) for slot, place in places.items() if place.kept},
        "shares": {slot: place.share for slot, place in places.items() if place.canary},
    }


def _slot(handle: Handle) -> SlotStatus:
    counts = handle.batcher.counts()
    return SlotStatus(
        checkpoint=handle.ref,
        batches=counts.batches,
        items=counts.items,
        failed=counts.failed,
        waiting=counts.waiting,
        busy_s=round(counts.busy_s, 3),
        bulk_items=counts.bulk_items,
        bulk_busy_s=round(counts.bulk_busy_s, 3),
        rescored=counts.rescored,
    )
