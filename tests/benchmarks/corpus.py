"""What the proofs work on: the bundled livestream, sampled and examined once, and copies of its records.

A copy is a record of its own under another stream id that names the same media, so that thousands of segments need
the models only once. A copy may claim to come from another checkpoint: a rescan then runs that stage again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from pipelines.items import CheckpointRef
from pipelines.manifest import Context, SegmentManifest, segment_id_at
from pipelines.record import Record
from workers.config import Config
from workers.demo.programme import CHAT_FILE, STREAM_FILE, read_planted
from workers.lanes import Lane
from workers.publish import Publisher
from workers.records import write_record
from workers.sampler.run import Order, sample
from workers.storage import Storage

STREAM_ID = "corpus"
FINDING = 6
"""The segment before the first in which something is found."""
OTHER_DIGEST = "0" * 64
"""The digest of a checkpoint that nobody has."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """The bundled stream in order of time: `records` are what the pool made of `manifests`."""

    manifests: tuple[SegmentManifest, ...]
    records: tuple[Record, ...]

    def copies(self, prefix: str, count: int, *, other: str | None = None) -> Iterator[Record]:
        """`count` records in streams `<prefix>-0001`, …, each the whole corpus; `other`: a slot changed since."""
        return islice(self._endless(prefix, other), count)

    def _endless(self, prefix: str, other: str | None) -> Iterator[Record]:
        number = 0
        while True:
            number += 1
            for record in self.records:
                yield _copy(record, f"{prefix}-{number:04d}", other)

    def streams(self, prefix: str, count: int) -> tuple[str, ...]:
        """The streams that `count` copies have."""
        return tuple(f"{prefix}-{number + 1:04d}" for number in range(-(-count // len(self.records))))


class _Kept(Publisher):
    """Keeps what it is given instead of sending it."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.kept: list[SegmentManifest] = []

    def send(self, manifest: SegmentManifest, lane: Lane = "live", *, live: bool = False) -> None:
        del lane, live
        self.kept.append(manifest)


def sampled(config: Config, storage: Storage, *, limit: int | None = None) -> tuple[SegmentManifest, ...]:
    """The segments of the bundled stream, media stored and nothing queued, in order of time.

    With a limit, as many from just before its first finding on.
    """
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=read_planted().duration_s + 3600)
    with _Kept(config) as publisher:
        context = Context(language="en", region="SG", viewers=1200)
        order = Order(str(STREAM_FILE), STREAM_ID, start=start, chat=CHAT_FILE, context=context)
        sample(
            order,
            config=config,
            storage=storage,
            publisher=publisher,
            report=lambda _: None,
            stop=threading.Event(),
        )
        ordered = sorted(publisher.kept, key=lambda manifest: manifest.captured_at)
        return tuple(ordered if limit is None else ordered[FINDING : FINDING + limit])


def ending_now(manifest: SegmentManifest, stream_id: str) -> SegmentManifest:
    """The same media as a segment of another stream that ends at this moment."""
    captured_at = datetime.now(UTC) - timedelta(seconds=manifest.duration_s)
    return manifest.model_copy(
        update={"stream_id": stream_id, "segment_id": segment_id_at(captured_at), "captured_at": captured_at}
    )


def store(storage: Storage, records: Iterator[Record]) -> int:
    """Writes the records, several at a time; how many there were."""
    with ThreadPoolExecutor(8) as pool:
        return sum(1 for _ in pool.map(lambda record: write_record(storage, record), records))


def _copy(record: Record, stream_id: str, other: str | None) -> Record:
    observations = record.observations
    if other is not None:
        was = observations.checkpoints[other]
        changed = CheckpointRef(id=was.id, digest=OTHER_DIGEST, session=was.session)
        observations = observations.model_copy(update={"checkpoints": {**observations.checkpoints, other: changed}})
    return record.model_copy(update={"stream_id": stream_id, "observations": observations})


def slot_of(records: Sequence[Record], kind: str) -> str:
    """The first slot of a kind, for instance `text`, that has looked at these records."""
    slots = sorted({slot for record in records for slot in record.observations.checkpoints})
    return next(slot for slot in slots if slot.partition(".")[0] == kind)
