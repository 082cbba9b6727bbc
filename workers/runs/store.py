"""The runs in the store. Every object is written once, so any process may read, and none needs a lock.

runs/open/<run>                      a run that is not finished: what the feeder looks for
runs/<run>/request.json              a review that was asked for
runs/<run>/batches/000001.json       planned segments
runs/<run>/lexicon.json              the terms that it reads texts with, when it reads any
runs/<run>/plan.json                 written after the batches: the run exists from here on
runs/<run>/outcomes/000001/0000.json what re-examining a segment gave
runs/<run>/receipts/000001.json      a concluded batch
runs/<run>/paused.json  cancelled.json  finished.json
runs/<run>/diff.json  diff.csv  diff.html  not-examined.csv  packet.json  packet.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, TypeVar

from pydantic import ValidationError

from pipelines.manifest import one_line
from pipelines.strict import Strict
from pipelines.text.lexicon_file import Entries
from workers.runs.run import Batch, Mark, Outcome, Plan, Receipt, Request, State
from workers.storage import ObjectMissing, Storage

PREFIX = "runs/"
OPEN_PREFIX = "runs/open/"
MarkName = Literal["paused", "cancelled", "finished"]
Read = TypeVar("Read", bound=Strict)


BATCHES_KEPT, PLANS_KEPT, TALLIES_KEPT = 32, 8, 65536


@dataclass(frozen=True, slots=True)
class Tally:
    """What a receipt adds up to."""

    recorded: int
    unexaminable: int
    changes: int


class RunError(Exception):
    """A run cannot be read or moved as asked; one line."""


class NoSuchRun(RunError):
    """Nothing of this name was ever planned or requested."""


class Runs:
    """The objects of all runs in one bucket. Raises `StorageError` when the store does not answer."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        # Written once, so what was read stays true; a process needs the same few again and again.
        self.batch = lru_cache(BATCHES_KEPT)(self._batch)
        self.plan = lru_cache(PLANS_KEPT)(self._plan)
        self.tally = lru_cache(TALLIES_KEPT)(self._tally)

    def ids(self) -> Iterator[str]:
        """Every run that was planned or requested, in the order of their names."""
        for folder in self.storage.folders(PREFIX):
            name = folder.removeprefix(PREFIX).rstrip("/")
            if name.startswith(("review-", "rescan-")):
                yield name

    def open(self) -> Iterator[str]:
        """Runs that are neither finished nor wholly cancelled."""
        return (key.removeprefix(OPEN_PREFIX) for key in self.storage.keys(OPEN_PREFIX))

    def put_request(self, request: Request) -> bool:
        """Asks for a review; False when the very run was asked for before."""
        new = self._put(f"{PREFIX}{request.run}/request.json", request)
        if new:
            self.storage.put(f"{OPEN_PREFIX}{request.run}", b"")
        return new

    def request(self, run: str) -> Request | None:
        return self.read(f"{PREFIX}{run}/request.json", Request)

    def put_batch(self, run: str, batch: Batch) -> None:
        self._put(f"{PREFIX}{run}/batches/{batch.number:06d}.json", batch)

    def _batch(self, run: str, number: int) -> Batch:
        """`runs.batch(run, number)`: the planned segments; `RunError` when they are gone."""
        found = self.read(f"{PREFIX}{run}/batches/{number:06d}.json", Batch)
        if found is None:
            raise RunError(f"{run}: batch {number} is gone")
        return found

    def put_lexicon(self, run: str, entries: Entries) -> None:
        self._put(f"{PREFIX}{run}/lexicon.json", entries)

    def lexicon(self, run: str) -> Entries:
        """The terms that the run was planned with; `RunError` when they are gone."""
        found = self.read(f"{PREFIX}{run}/lexicon.json", Entries)
        if found is None:
            raise RunError(f"{run}: its lexicon is gone")
        return found

    def put_plan(self, plan: Plan) -> None:
        """Starts the run: its batches must be there, and its lexicon."""
        self._put(f"{PREFIX}{plan.run}/plan.json", plan)
        self.storage.put(f"{OPEN_PREFIX}{plan.run}", b"")

    def find_plan(self, run: str) -> Plan | None:
        return self.read(f"{PREFIX}{run}/plan.json", Plan)

    def _plan(self, run: str) -> Plan:
        """`runs.plan(run)`: the plan; `NoSuchRun` when there is none."""
        found = self.find_plan(run)
        if found is None:
            raise NoSuchRun(f"no run {run}; `liverisk rescan status` lists them")
        return found

    def put_outcome(self, run: str, batch: int, index: int, outcome: Outcome) -> bool:
        """False when another delivery of the same segment was first; its outcome stands."""
        return self._put(outcome_key(run, batch, index), outcome)

    def has_outcome(self, run: str, batch: int, index: int) -> bool:
        return self.storage.exists(outcome_key(run, batch, index))

    def outcome(self, run: str, batch: int, index: int) -> Outcome | None:
        return self.read(outcome_key(run, batch, index), Outcome)

    def examined(self, run: str, *, after: int = 0) -> Counter[int]:
        """Batch -> how many of its items have an outcome, of the batches above `after`."""
        prefix = f"{PREFIX}{run}/outcomes/"
        start = f"{prefix}{after:06d}/~" if after else ""
        keys = self.storage.keys(prefix, start_after=start)
        return Counter(int(key.removeprefix(prefix).partition("/")[0]) for key in keys)

    def outcomes(self, run: str, batch: int) -> frozenset[int]:
        """Indexes of the batch's items that have an outcome."""
        prefix = f"{PREFIX}{run}/outcomes/{batch:06d}/"
        return frozenset(int(key.removeprefix(prefix).removesuffix(".json")) for key in self.storage.keys(prefix))

    def put_receipt(self, run: str, receipt: Receipt) -> bool:
        return self._put(f"{PREFIX}{run}/receipts/{receipt.batch:06d}.json", receipt)

    def has_receipt(self, run: str, batch: int) -> bool:
        return self.storage.exists(f"{PREFIX}{run}/receipts/{batch:06d}.json")

    def receipts(self, run: str, *, after: int = 0) -> frozenset[int]:
        """Numbers of the concluded batches, of those above `after`."""
        prefix = f"{PREFIX}{run}/receipts/"
        start = f"{prefix}{after:06d}.json" if after else ""
        keys = self.storage.keys(prefix, start_after=start)
        return frozenset(int(key.removeprefix(prefix).removesuffix(".json")) for key in keys)

    def receipt(self, run: str, batch: int) -> Receipt | None:
        return self.read(f"{PREFIX}{run}/receipts/{batch:06d}.json", Receipt)

    def _tally(self, run: str, batch: int) -> Tally:
        """`runs.tally(run, batch)`: the figures of a receipt that is there."""
        found = self.receipt(run, batch)
        if found is None:
            raise RunError(f"{run}: the receipt of batch {batch} is gone")
        return Tally(found.recorded, len(found.unexaminable), len(found.changes))

    def mark(self, run: str, name: MarkName, by: str) -> bool:
        """Leaves the mark; False when it was there."""
        return self._put(f"{PREFIX}{run}/{name}.json", Mark(at=datetime.now(UTC), by=by))

    def marked(self, run: str, name: MarkName) -> Mark | None:
        return self.read(f"{PREFIX}{run}/{name}.json", Mark)

    def unpause(self, run: str) -> None:
        self.storage.delete(f"{PREFIX}{run}/paused.json")

    def close(self, run: str) -> None:
        """Nothing is left to do for this run."""
        self.storage.delete(f"{OPEN_PREFIX}{run}")

    def state(self, run: str) -> State:
        """Where the run stands; `NoSuchRun` when there is none."""
        for name, state in _MARKS:
            if self.storage.exists(f"{PREFIX}{run}/{name}.json"):
                return state
        if self.storage.exists(f"{PREFIX}{run}/plan.json"):
            return "running"
        if self.storage.exists(f"{PREFIX}{run}/request.json"):
            return "requested"
        raise NoSuchRun(f"no run {run}; `liverisk rescan status` lists them")

    def _put(self, key: str, value: Strict) -> bool:
        return self.storage.put_once(key, body_of(value), content_type="application/json")

    def read(self, key: str, kind: type[Read]) -> Read | None:
        """The checked object; None when there is none, `RunError` when it cannot be read."""
        raw: bytes | None = None
        with suppress(ObjectMissing):
            raw = self.storage.get(key)
        if raw is None:
            return None
        try:
            return kind.model_validate_json(raw)
        except ValidationError as error:
            raise RunError(f"{key}: unreadable ({one_line(error)})") from None


def body_of(value: Strict) -> bytes:
    """The bytes of an object of a run: JSON without what is absent."""
    return value.model_dump_json(by_alias=True, exclude_none=True).encode()


def outcome_key(run: str, batch: int, index: int) -> str:
    return f"{PREFIX}{run}/outcomes/{batch:06d}/{index:04d}.json"


_MARKS: tuple[tuple[MarkName, State], ...] = (
    ("cancelled", "cancelled"),
    ("finished", "finished"),
    ("paused", "paused"),
)
