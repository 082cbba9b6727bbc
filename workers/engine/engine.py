"""The engine: one copy of each slot's model on one device, asked by many callers.

`Engine` runs in any process: behind a socket for the pool (`workers.engine.server`), or directly in a
notebook or a test:

    with Engine.load(config) as engine:
        observations = examine(segment, engine.models("room-1"), settings)
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pipelines import kinds
from pipelines.cards import read_cards
from pipelines.checkpoints import Checkpoint, ensure
from pipelines.items import CheckpointRef, Item, Result
from pipelines.models import DeadlinePassed, Model, Models
from workers.checkpoints import s3_fetcher
from workers.config import Config, Slot
from workers.engine.batching import LIVE_LANE, Batcher, BatcherCounts
from workers.engine.errors import CheckpointGone, UnknownSlot

logger = logging.getLogger(__name__)

BROKEN_BATCHES = 8
"""So many batches in a row without an item that the model could take: hardly the items' fault any more."""


@dataclass(frozen=True, slots=True)
class Handle:
    """One loaded checkpoint and the queue before it."""

    ref: CheckpointRef
    batcher: Batcher
    load_s: float
    warm_up_s: float


class Engine:
    """Slots filled with loaded, warmed-up models. Thread-safe."""

    def __init__(self, handles: Mapping[str, Handle]) -> None:
        self._handles = dict(handles)

    @classmethod
    def load(cls, config: Config, *, report: Callable[[str], None] = logger.info) -> Self:
        """Fetches, verifies, loads and warms up the checkpoint of every slot; raises when one is unusable."""
        cards = read_cards(config.cards_directory)
        handles: dict[str, Handle] = {}
        for name, slot in config.slots.items():
            checkpoint = ensure(
                cards[slot.checkpoint], config.models, fetch_s3=s3_fetcher(config.store), progress=report
            )
            handles[name] = _load_slot(name, slot, checkpoint, config)
            report(f"{name}: {slot.checkpoint} ready in {handles[name].load_s + handles[name].warm_up_s:.1f} s")
        return cls(handles)

    @property
    def checkpoints(self) -> Mapping[str, CheckpointRef]:
        """Which checkpoint fills each slot now."""
        return {name: handle.ref for name, handle in self._handles.items()}

    def counts(self) -> Mapping[str, BatcherCounts]:
        return {name: handle.batcher.counts() for name, handle in self._handles.items()}

    def models(self, stream_id: str, *, lane: str = LIVE_LANE, deadline: float | None = None) -> Models:
        """The models of one segment; `deadline` is on `time.monotonic`'s clock.

        `stream_id` is what decides between checkpoints where a slot has more than one.
        """
        del stream_id
        return SegmentModels(self, self.checkpoints, lane, deadline)

    def ask(
        self, slot: str, digest: str, items: Sequence[Item], *, lane: str = LIVE_LANE, deadline: float | None = None
    ) -> Sequence[Result]:
        """Results in order. Raises `UnknownSlot`, `CheckpointGone` or `DeadlinePassed`."""
        handle = self._handles.get(slot)
        if handle is None:
            raise UnknownSlot(slot)
        if handle.ref.digest != digest:
            raise CheckpointGone(slot)
        answer = handle.batcher.submit(items, lane=lane, deadline=deadline)
        try:
            return answer.result(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except FutureTimeout:
            answer.cancel()
            raise DeadlinePassed from None

    def broken_slot(self) -> str | None:
        """A slot whose model has lately failed whatever it was given."""
        return next((name for name, c in self.counts().items() if c.broken_in_row >= BROKEN_BATCHES), None)

    def stuck_slot(self, after_s: float) -> str | None:
        """A slot whose model has been busy with one batch for longer than `after_s`."""
        return next((name for name, c in self.counts().items() if c.running_s > after_s), None)

    def close(self) -> None:
        for handle in self._handles.values():
            handle.batcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class SegmentModels:
    """The `Models` of one segment, in the engine's own process."""

    def __init__(
        self, engine: Engine, checkpoints: Mapping[str, CheckpointRef], lane: str, deadline: float | None
    ) -> None:
        self._engine = engine
        self._checkpoints = checkpoints
        self._lane = lane
        self._deadline = deadline

    @property
    def checkpoints(self) -> Mapping[str, CheckpointRef]:
        return self._checkpoints

    def ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        digest = self._checkpoints[slot].digest
        return self._engine.ask(slot, digest, items, lane=self._lane, deadline=self._deadline)


def _load_slot(name: str, slot: Slot, checkpoint: Checkpoint, config: Config) -> Handle:
    device = config.engine.device
    session = kinds.session_for(checkpoint.card, slot.session, device)
    # The models run side by side: each with every core would have them wait for one another's threads.
    threads = slot.threads or max(1, (os.cpu_count() or 1) // 2)
    started = time.monotonic()
    model: Model = kinds.load(checkpoint.card, checkpoint.folder, session=session, device=device, threads=threads)
    loaded = time.monotonic()
    model.warm_up()
    warm = time.monotonic()
    batcher = Batcher(model.predict, name=name, max_batch=slot.max_batch, bulk_share=config.engine.bulk_share)
    return Handle(checkpoint.ref(session), batcher, loaded - started, warm - loaded)
