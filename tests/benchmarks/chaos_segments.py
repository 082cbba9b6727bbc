"""The segments that a pool is broken over: of every kind, poison among them, each with what must become of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, count, islice
from pathlib import Path
from random import Random

from pydantic import JsonValue

from pipelines import coverage as why
from pipelines.manifest import SegmentManifest
from tests.poisoned_worker import DEEDS
from tests.recordings import ffmpeg
from tests.segments import jpeg, store_segment
from workers import quarantine
from workers.demo.programme import STREAM_FILE
from workers.records import record_key_of
from workers.storage import Storage

ROUND: Mapping[str, int] = {
    "frames": 17, "chat": 9, "speech": 3, "gone": 1, "broken": 1,
    "die": 2, "leave": 1, "fail": 1, "manifest": 2, "outside_media": 1,
}  # fmt: skip
"""Segments of each kind in a round, unless told otherwise; rounds follow each other, each in an order of its own.

`frames`, `chat` and `speech` are what they say; of `gone` a frame is not in the store, of `broken` one is no picture.
The deeds of `tests.poisoned_worker` end in quarantine, as do what is no `manifest` and what names objects
`outside_media`.
"""
RARE: Sequence[str] = ("hang", "stuck")
RARE_EVERY = 6
"""One of these in every so many rounds, in turn: each keeps a child from work for minutes."""
STREAM = 8
"""Segments of one stream that follow each other: whoever is poison has neighbours."""
SAID: Mapping[str, frozenset[str]] = {
    "gone": frozenset({why.MISSING_OBJECT}),
    "broken": frozenset({why.UNDECODABLE}),
}
"""What records of a kind say of their coverage, besides what is harmless."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One segment, and where it must end: `record` is None for what must have none. `name` tells it from all others.

    `manifest` is None for what the pool's own publisher would not send.
    """

    name: str
    kind: str
    message: Mapping[str, JsonValue]
    manifest: SegmentManifest | None
    record: str | None
    put_aside: str

    @property
    def reason(self) -> str:
        """Why it is in quarantine, if it belongs there."""
        return "crashed" if self.kind in DEEDS else self.kind


def kinds(seed: int, rounds: int | None = None, mix: Mapping[str, int] = ROUND) -> Iterator[str]:
    """The kinds of the segments of so many rounds of this mix, in order; None: without end."""
    chance = Random(f"load {seed}")  # to be repeated, not to be hard to guess
    usual = [kind for kind, number in mix.items() for _ in range(number)]
    drawn = (_round(chance, usual, number) for number in count())
    return chain.from_iterable(islice(drawn, rounds))


def _round(chance: Random, usual: Sequence[str], number: int) -> Sequence[str]:
    """The second round has the first rare kind: a short run has none."""
    turn, rest = divmod(number, RARE_EVERY)
    all_kinds = [*usual, RARE[turn % len(RARE)]] if rest == 1 else list(usual)
    return chance.sample(all_kinds, len(all_kinds))


def made(storage: Storage, kind: str, number: int) -> Sent:
    """The segment of this kind and number, its media stored. Raises `StorageError`; then it may be made again."""
    stream, place = f"chaos-{number // STREAM:04d}", number % STREAM
    chat = [f"hello number {number}", "大家好"]
    pictures = [] if kind == "chat" else [jpeg(2 * number), jpeg(2 * number + 1)]
    if kind == "broken":
        pictures[0] = pictures[0][:400]
    audio = spoken()[number % len(spoken())] if kind == "speech" else None
    manifest = store_segment(storage, stream, place, frames=pictures, audio=audio, chat=chat)
    if kind == "gone":
        storage.delete(manifest.frames[0].key)
    if kind in DEEDS:
        manifest = manifest.model_copy(update={"segment_id": f"{manifest.segment_id}-{kind}"})
    message = manifest.as_message()
    if kind == "manifest":
        message |= {"version": 99}
    if kind == "outside_media":
        message |= {"segment_id": f"{manifest.segment_id}-outside", "audio": {"key": "records/secret.json"}}
    name = quarantine._name(message)
    bad = kind in ("manifest", "outside_media")
    return Sent(
        name=name,
        kind=kind,
        message=message,
        manifest=None if bad else manifest,
        record=None if bad or kind in DEEDS else record_key_of(manifest),
        put_aside=f"{quarantine.PREFIX}{name}.json",
    )


@cache
def spoken() -> tuple[bytes, ...]:
    """Ten seconds each of what is said in the bundled stream."""
    with tempfile.TemporaryDirectory() as folder:
        pieces = [Path(folder) / f"{start}.ogg" for start in (20, 60, 100)]
        for piece in pieces:
            start = ("-ss", piece.stem, "-t", "10")
            ffmpeg(*start, "-i", STREAM_FILE, "-vn", "-ac", "1", "-ar", "16000", "-c:a", "libopus", piece)
        return tuple(piece.read_bytes() for piece in pieces)
