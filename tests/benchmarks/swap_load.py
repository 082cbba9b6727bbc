"""Full load for a proof of swaps: lanes that are never empty, and what became of every segment."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle
from types import TracebackType
from typing import Self

from pipelines.manifest import SegmentManifest
from pipelines.record import Record
from tests.benchmarks.bench import Bench
from tests.benchmarks.corpus import ending_now
from workers.quarantine import entries
from workers.records import PREFIX, read_record, record_key_of

STREAMS = 40
AHEAD = 30
"""So many segments wait at least."""
TELLING = 0.02
"""Scores of two checkpoints that differ by more than this say which of them spoke."""


class FullLoad:
    """Sends segments, without audio unless asked for, as fast as the pool takes them, from a thread of its own."""

    def __init__(self, bench: Bench, manifests: Sequence[SegmentManifest], *, name: str, audio: bool = False) -> None:
        self._bench = bench
        self._segments = cycle(one if audio else one.model_copy(update={"audio": None}) for one in manifests)
        self._name = name
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send, name="load", daemon=True)
        self.sent: list[SegmentManifest] = []
        self.empty_looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _send(self) -> None:
        while not self._stopping.is_set():
            waiting = int(self._bench.client.llen("live"))
            self.empty_looks += waiting == 0 and bool(self.sent)
            for _ in range(AHEAD - waiting):
                self._send_one()
            self._stopping.wait(0.05)

    def _send_one(self) -> None:
        """Streams take turns; the segments of one stream follow one another within moments, which nobody minds."""
        manifest = ending_now(next(self._segments), f"{self._name}-{len(self.sent) % STREAMS}")
        self._bench.publisher.send(manifest)
        self.sent.append(manifest)

    def records(self) -> tuple[Record, ...]:
        """Of every segment that was sent, in the order in which they were finished."""
        wanted = {record_key_of(manifest) for manifest in self.sent}
        storage = self._bench.storage
        self._bench.wait(lambda: wanted <= set(storage.keys(PREFIX)), "every segment has its record", every_s=2)
        with ThreadPoolExecutor(8) as pool:
            found = pool.map(partial(read_record, storage), wanted)
            return tuple(sorted(found, key=lambda record: record.processing.finished_at))


def failures(bench: Bench, records: Sequence[Record]) -> list[str]:
    """Segments put aside, and those of which a model said nothing."""
    found = [f"{name}: in quarantine" for name, _ in entries(bench.storage)]
    reasons = ("deadline", "shed", "model_failed", "no_model")
    for record in records:
        wrong = [seen.reason for seen in record.observations.coverage.values() if seen.reason in reasons]
        found += [f"{record.stream_id}/{record.segment_id}: {wrong[0]}"] if wrong else []
    return found


def mixed(records: Sequence[Record], slots: Sequence[str]) -> list[str]:
    """Records whose scores are not those of the checkpoint that they name.

    What each checkpoint says of an item is known from all records that name it: the middle one counts.
    """
    found = []
    for slot in slots:
        said: dict[tuple[str, str], list[float]] = {}
        looked = [record for record in records if slot in record.observations.checkpoints]
        for record in looked:
            for item, score in _scores(record, slot):
                said.setdefault((record.observations.checkpoints[slot].digest, item), []).append(score)
        usual = {key: sorted(scores)[len(scores) // 2] for key, scores in said.items()}
        digests = sorted({digest for digest, _ in usual})
        for record in looked:
            own = record.observations.checkpoints[slot].digest
            others = [digest for digest in digests if digest != own]
            if any(_is_anothers(item, score, own, others, usual) for item, score in _scores(record, slot)):
                found.append(f"{record.stream_id}/{record.segment_id}: {slot}")
    return found


def _is_anothers(
    item: str, score: float, own: str, others: Sequence[str], usual: Mapping[tuple[str, str], float]
) -> bool:
    """Whether the score is another checkpoint's rather than its own, where the two can be told apart."""
    mine = usual[own, item]
    return any(
        (other, item) in usual
        and abs(usual[other, item] - mine) > TELLING
        and abs(score - usual[other, item]) < abs(score - mine)
        for other in others
    )


def _scores(record: Record, slot: str) -> Iterator[tuple[str, float]]:
    """What was asked, by what alone decides its score, and each score. A frame judged by reuse was not asked about."""
    seen = record.observations
    keys = {stored.at_s: stored.key for stored in record.media}
    for frame in (one for one in seen.frames if one.reused_from_s is None):
        for label, score in sorted(frame.scores.get(slot, {}).items()):
            yield f"{keys[frame.at_s]}@{frame.at_s:g}/{label}", score
    for text in seen.texts:
        for label, score in sorted(text.scores.get(slot, {}).items()):
            yield f"{text.normalised}/{text.unmasked}/{label}", score


def finished_between(records: Sequence[Record], start: float, end: float) -> int:
    """Records that were done in these seconds of the epoch."""
    return sum(start <= record.processing.finished_at.timestamp() < end for record in records)


def tell(bench: Bench, seconds: float) -> None:
    """Lets the load run on, with the pool looked after."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        bench.pool.tend()
        time.sleep(min(0.5, max(0.0, until - time.monotonic())))


def counted(records: Sequence[Record], slot: str) -> Counter[str]:
    """How many records each checkpoint of a slot has; none where nothing was looked at."""
    found = (record.observations.checkpoints.get(slot) for record in records)
    return Counter(one.id if one is not None else "none" for one in found)
