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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Self

from pipelines import kinds
from pipelines.cards import read_cards
from pipelines.checkpoints import Checkpoint, ensure
from pipelines.items import CheckpointRef, Item, Result
from pipelines.manifest import Profile
from pipelines.models import DeadlinePassed, Model, Models
from workers.checkpoints import s3_fetcher
from workers.config import Config, Filling
from workers.engine.batching import LIVE_LANE, Batcher, BatcherCounts
from workers.engine.errors import CheckpointGone, UnknownSlot
from workers.engine.sharing import Sharing

logger = logging.getLogger(__name__)

LINGER_S = 0.1
"""Live keeps the device so long after an answer: a segment's next question mostly follows within that time."""
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
    """Slots filled with loaded, warmed-up models. Thread-safe.

    `handles` fill the slots; `deep` are for the slots where deep reviews ask another checkpoint.
    """

    def __init__(self, handles: Mapping[str, Handle], deep: Mapping[str, Handle] = MappingProxyType({})) -> None:
        self._chosen: Mapping[Profile, Mapping[str, Handle]] = {"live": dict(handles), "deep": {**handles, **deep}}
        pairs = [(slot, handle) for chosen in self._chosen.values() for slot, handle in chosen.items()]
        self._handles = {(slot, handle.ref.digest): handle for slot, handle in pairs}

    @classmethod
    def load(cls, config: Config, *, report: Callable[[str], None] = logger.info) -> Self:
        """Fetches, verifies, loads and warms up the checkpoint of every slot; raises when one is unusable."""
        loading = _Loading(config, report)
        handles: dict[str, Handle] = {}
        deep: dict[str, Handle] = {}
        for name, slot in config.slots.items():
            handles[name] = loading.handle(name, slot, loading.checkpoint(slot))
            if slot.deep is None:
                continue
            heavier = loading.checkpoint(slot.deep)
            if heavier.digest != handles[name].ref.digest:
                deep[name] = loading.handle(name, slot.deep, heavier)
        return cls(handles, deep)

    @property
    def checkpoints(self) -> Mapping[str, CheckpointRef]:
        """Which checkpoint fills each slot now."""
        return self.checkpoints_of("live")

    def checkpoints_of(self, profile: Profile) -> Mapping[str, CheckpointRef]:
        """Which checkpoint of each slot segments of this profile ask."""
        return {name: handle.ref for name, handle in self._chosen[profile].items()}

    def counts(self, profile: Profile = "live") -> Mapping[str, BatcherCounts]:
        return {name: handle.batcher.counts() for name, handle in self._chosen[profile].items()}

    def models(
        self, stream_id: str, *, lane: str = LIVE_LANE, deadline: float | None = None, profile: Profile = "live"
    ) -> Models:
        """The models of one segment; `deadline` is on `time.monotonic`'s clock.

        `stream_id` is what decides between checkpoints where a slot has more than one for a profile.
        """
        del stream_id
        return SegmentModels(self, self.checkpoints_of(profile), lane, deadline)

    def ask(
        self, slot: str, digest: str, items: Sequence[Item], *, lane: str = LIVE_LANE, deadline: float | None = None
    ) -> Sequence[Result]:
        """Results in order. Raises `UnknownSlot`, `CheckpointGone` or `DeadlinePassed`."""
        if slot not in self._chosen["live"]:
            raise UnknownSlot(slot)
        handle = self._handles.get((slot, digest))
        if handle is None:
            raise CheckpointGone(slot)
        answer = handle.batcher.submit(items, lane=lane, deadline=deadline)
        try:
            return answer.result(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except FutureTimeout:
            answer.cancel()
            raise DeadlinePassed from None

    def broken_slot(self) -> str | None:
        """A slot whose model has lately failed whatever it was given."""
        return next((name for name, c in self._all_counts() if c.broken_in_row >= BROKEN_BATCHES), None)

    def stuck_slot(self, after_s: float) -> str | None:
        """A slot whose model has been busy with one batch for longer than `after_s`."""
        return next((name for name, c in self._all_counts() if c.running_s > after_s), None)

    def _all_counts(self) -> Iterator[tuple[str, BatcherCounts]]:
        return ((slot, handle.batcher.counts()) for (slot, _), handle in self._handles.items())

    def wait_quiet(self, within_s: float) -> None:
        """Returns when no live ask is in flight where bulk would slow it down, at the latest after `within_s`."""
        deadline = time.monotonic() + within_s
        for sharing in {id(one): one for one in (handle.batcher.sharing for handle in self._handles.values())}.values():
            sharing.wait_quiet(max(0.0, deadline - time.monotonic()))

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


class _Loading:
    """From the settings of a slot to a handle; slots whose models run on one device share it."""

    def __init__(self, config: Config, report: Callable[[str], None]) -> None:
        self._config = config
        self._report = report
        self._cards = read_cards(config.cards_directory)
        settings = config.engine
        self._sharing = {
            on_cuda: Sharing(
                exclusive=not on_cuda,
                bulk_share=settings.bulk_share,
                batch_s=settings.bulk_batch_ms / 1000,
                linger_s=LINGER_S,
            )
            for on_cuda in (False, True)
        }

    def checkpoint(self, filling: Filling) -> Checkpoint:
        card, fetch_s3 = self._cards[filling.checkpoint], s3_fetcher(self._config.store)
        return ensure(card, self._config.models, fetch_s3=fetch_s3, progress=self._report)

    def handle(self, slot: str, filling: Filling, checkpoint: Checkpoint) -> Handle:
        card, device = checkpoint.card, self._config.engine.device
        session = kinds.session_for(card, filling.session, device)
        # The models run side by side: each with every core would have them wait for one another's threads.
        threads = filling.threads or max(1, (os.cpu_count() or 1) // 2)
        started = time.monotonic()
        model: Model = kinds.load(card, checkpoint.folder, session=session, device=device, threads=threads)
        loaded = time.monotonic()
        model.warm_up()
        warm = time.monotonic()
        self._report(f"{slot}: {card.id} ready in {warm - started:.1f} s")
        sharing = self._sharing[kinds.runs_on_cuda(card, session, device)]
        batcher = Batcher(model.predict, name=slot, max_batch=filling.max_batch, sharing=sharing)
        return Handle(checkpoint.ref(session), batcher, loaded - started, warm - loaded)
