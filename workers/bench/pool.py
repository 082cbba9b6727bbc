"""The pool itself, end to end: broker, store, engine, workers, all of their processes counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import redis

from pipelines.manifest import SegmentManifest
from pipelines.record import Record
from workers.bench.contender import Pace
from workers.bench.corpus import Corpus
from workers.bench.costs import Roots
from workers.config import Config
from workers.publish import Publisher
from workers.recent import KEY, Done
from workers.records import read_record, record_key_of
from workers.stack.pool import LocalPool
from workers.stack.processes import Child
from workers.stack.services import Services
from workers.state import connect
from workers.storage import Storage

LOOKED_AT = 64
"""Of the last finished segments; more cannot finish between two looks."""


@dataclass(frozen=True)
class Pool:
    """The contender. `config` names a state directory of its own, which keeps the media from block to block."""

    config: Config
    corpus: Corpus
    children: int
    ahead: int
    savings: bool = True
    name: str = "pool"

    @contextmanager
    def start(self) -> Iterator[RunningPool]:
        """Reviews do not start by themselves, and no worker waits for them: no other contender has them."""
        examination = self.config.examination
        config = self.config.model_copy(
            update={
                "worker": self.config.worker.model_copy(update={"lanes": ("live",)}),
                "review": self.config.review.model_copy(update={"auto": False}),
                "examination": examination if self.savings else examination.without_savings(),
            }
        )
        with LocalPool(config, concurrency=self.children) as pool:
            storage = Storage(pool.config.store)
            with connect(pool.config) as client, Publisher(pool.config) as publisher:
                yield RunningPool(pool, storage, client, publisher, self.corpus, self.ahead)


def serving(services: Services) -> tuple[Child, ...]:
    """Broker and store."""
    return services.valkey.child, services.seaweedfs.child


def roots_of(children: Sequence[Child]) -> Roots:
    return {child.name: child.pid for child in children if child.pid is not None}


@dataclass
class RunningPool:
    pool: LocalPool
    storage: Storage
    client: redis.Redis
    publisher: Publisher
    corpus: Corpus
    ahead: int
    _there: bool = field(default=False, init=False)

    def roots(self) -> Roots:
        return roots_of((*serving(self.pool.services), self.pool.engine, *self.pool.workers))

    def play(self, segments: Sequence[SegmentManifest], at_s: Sequence[float]) -> list[float]:
        """Finished is what the worker has written, followed up and noted as done, seen within hundredths of a second.

        The note does not say which segment it is of, but when its record was made.
        """
        self._upload()
        seen = _Notes(self.client)
        order: list[str] = []

        def done() -> Sequence[int]:
            fresh = seen.fresh()
            order.extend(fresh)
            return range(len(order) - len(fresh), len(order))

        moments = Pace(at_s, ahead=self.ahead).run(lambda index: self.publisher.send(segments[index]), done, "pool")
        made = [record.processing.finished_at.isoformat() for record in self.records(segments)]
        moment_of = dict(zip(order, moments, strict=True))
        return [moment_of[moment] for moment in made]

    def records(self, segments: Sequence[SegmentManifest]) -> list[Record]:
        """Their records, which must be there."""
        return [read_record(self.storage, record_key_of(segment)) for segment in segments]

    def _upload(self) -> None:
        if not self._there:
            for key, body in self.corpus.objects.items():
                self.storage.put(key, body)
        self._there = True


class _Notes:
    """The notes of finished segments that came since the last look, oldest first, each as the moment of its record."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._known = set(self._last(LOOKED_AT))

    def fresh(self) -> list[str]:
        """Most looks find nothing new: they take the newest note only."""
        if self._known.issuperset(self._last(1)):
            return []
        new = [note for note in reversed(self._last(LOOKED_AT)) if note not in self._known]
        self._known.update(new)
        return [Done.model_validate_json(note).at.isoformat() for note in new]

    def _last(self, count: int) -> list[bytes | str]:
        notes = self._client.lrange(KEY, 0, count - 1)
        assert isinstance(notes, list)
        return notes
