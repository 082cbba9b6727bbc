"""Pairs off stored records: what the active checkpoint said, and what its shadow said beside it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.comparison.pairs import Pair
from pipelines.items import CheckpointRef
from pipelines.record import Record, Shadow
from workers.comparison.asked import NothingThere, Stretch, place_of_text, sampled_records
from workers.storage import Storage

OTHERS = "of other checkpoints"
Both = tuple[CheckpointRef, CheckpointRef]
"""The active one and its shadow."""


@dataclass(frozen=True, slots=True)
class Shadowed:
    """The pairs of two checkpoints, `old` the active one; a line on where they are from; what is not among them."""

    old: CheckpointRef
    new: CheckpointRef
    pairs: Sequence[Pair]
    source: str
    left_out: Mapping[str, int]


def shadowed(
    storage: Storage,
    slot: str,
    stretch: Stretch,
    most: int,
    *,
    old: str | None = None,
    new: str | None = None,
    with_text: bool = False,
) -> Shadowed:
    """At most so many pairs of the two checkpoints that most records have. `old` and `new` narrow by card id.

    Raises `NothingThere`, `StorageError`. Frames that repeat another are left out: they have its scores.
    """
    left_out: Counter[str] = Counter()
    groups: dict[Both, list[Pair]] = defaultdict(list)
    segments: Counter[Both] = Counter()
    read = 0
    for record in sampled_records(storage, stretch, left_out):
        shadow, active = record.shadow.get(slot), record.observations.checkpoints.get(slot)
        read += 1
        if shadow is None or active is None or not _asked_for(active, shadow.checkpoint, old, new):
            continue
        both = active, shadow.checkpoint
        segments[both] += 1
        groups[both] += _pairs(record, shadow, slot, with_text)
        if len(groups[both]) >= most:
            break
    if not groups:
        raise NothingThere(f"{slot}: none of {read:,} recorded segments there has a shadow that fits")
    chosen = max(groups, key=lambda both: len(groups[both]))
    others = sum(len(pairs) for both, pairs in groups.items() if both != chosen)
    if others:
        left_out[OTHERS] += others
    source = f"the shadow of {slot} in {segments[chosen]:,} of {read:,} recorded segments"
    return Shadowed(*chosen, groups[chosen][:most], source, left_out)


def _asked_for(active: CheckpointRef, shadow: CheckpointRef, old: str | None, new: str | None) -> bool:
    return old in (None, active.id) and new in (None, shadow.id)


def _pairs(record: Record, shadow: Shadow, slot: str, with_text: bool) -> Iterator[Pair]:
    """What a shadow did not answer at all is still a pair: it shows how much is missing."""
    name = f"{record.stream_id}/{record.segment_id}"
    seen = record.observations
    if slot.startswith("vision."):
        said = shadow.frames or (None,) * len(seen.frames)
        for frame, new in zip(seen.frames, said, strict=True):
            if frame.reused_from_s is None:
                yield Pair(name, f"frame at {frame.at_s:.1f} s", "frames", None, frame.scores.get(slot), new)
    else:
        said = shadow.texts or (None,) * len(seen.texts)
        for text, new in zip(seen.texts, said, strict=True):
            yield Pair(
                id=name,
                where=place_of_text(text),
                modality=text.source,
                language=text.language,
                old=text.scores.get(slot),
                new=new,
                text=text.text if with_text else None,
            )
