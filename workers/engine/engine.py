"""The engine: one copy of each slot's model on one device, asked by many callers.

`Engine` runs in any process: behind a socket for the pool (`workers.engine.server`), or directly in a
notebook or a test:

    with Engine.load(config) as engine:
        observations = examine(segment, engine.models("room-1"), settings)

What fills a slot may change while segments are under way: each keeps the handles it was given at its start.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from types import MappingProxyType, TracebackType
from typing import Self

from pipelines.items import CheckpointRef, Item, Result
from pipelines.manifest import Profile
from pipelines.models import DeadlinePassed, Models
from pipelines.strict import Sha256
from workers.config import Config
from workers.engine.batching import LIVE_LANE, BatcherCounts
from workers.engine.errors import CheckpointGone, EnginePaused, UnknownSlot
from workers.engine.handles import Handle, Place, Wish, chosen
from workers.engine.leases import Lease, Leases
from workers.engine.loading import Loading
from workers.engine.memory import give_back

logger = logging.getLogger(__name__)

BROKEN_BATCHES = 8
"""So many batches in a row without an item that the model could take: hardly the items' fault any more."""


class Engine:
    """Slots filled with loaded, warmed-up models. Thread-safe.

    `handles` fill the slots; `deep` are for the slots where deep reviews ask another checkpoint.
    """

    def __init__(self, handles: Mapping[str, Handle], deep: Mapping[str, Handle] = MappingProxyType({})) -> None:
        self._lock = threading.Lock()
        self._places = {slot: Place(handle, deep.get(slot)) for slot, handle in handles.items()}
        self._handles = {(slot, one.ref.digest): one for slot, place in self._places.items() for one in place.handles}
        self._leases = Leases()
        self._paused = ""

    @classmethod
    def load(cls, config: Config, *, report: Callable[[str], None] = logger.info) -> Self:
        """Fetches, verifies, loads and warms up every configured checkpoint; raises when one is unusable."""
        loading = Loading(config, report)
        handles: dict[str, Handle] = {}
        deep: dict[str, Handle] = {}
        for name, slot in config.slots.items():
            handles[name] = loading.handle(name, slot, loading.checkpoint(slot.checkpoint))
            if (heavier := loading.deep(name, handles[name])) is not None:
                deep[name] = heavier
        return cls(handles, deep)

    @property
    def places(self) -> Mapping[str, Place]:
        """What fills each slot now."""
        with self._lock:
            return dict(self._places)

    @property
    def checkpoints(self) -> Mapping[str, CheckpointRef]:
        """Which checkpoint fills each slot now."""
        return {slot: place.active.ref for slot, place in self.places.items()}

    def loaded(self, slot: str, digest: Sha256) -> Handle | None:
        """The handle of this checkpoint, if there is one, be it that it only waits to be freed."""
        with self._lock:
            return self._handles.get((slot, digest))

    def rearrange(self, slot: str, place: Place) -> None:
        """Segments that start from now on are given this; those under way keep what they have."""
        with self._lock:
            self._places[slot] = place
            self._handles |= {(slot, handle.ref.digest): handle for handle in place.handles}

    def vacate(self, slot: str) -> None:
        """Empties the slot, while no segment may start and none under way has its handles: `free` then frees them."""
        with self._lock:
            del self._places[slot]

    def pause(self, why: str) -> None:
        """No segment starts until `resume`; those under way go on."""
        with self._lock:
            self._paused = why

    def resume(self) -> None:
        self.pause("")

    def start(self, wish: Wish, *, deadline: float | None = None) -> Lease:
        """The handles of one segment, its own until `end` or the deadline; `EnginePaused` while none may start."""
        with self._lock:
            if self._paused:
                raise EnginePaused(self._paused)
            given = {slot: chosen(slot, place, wish) for slot, place in self._places.items()}
            beside = {
                slot: place.shadow
                for slot, place in self._places.items()
                if place.shadow is not None and wish.digests is None and place.shadow is not given[slot]
            }
            return self._leases.open(given, beside, deadline)

    def end(self, lease: int) -> None:
        """The segment asks no more; what nobody waits for, as questions to shadows, is not answered."""
        with self._lock:
            ended = self._leases.close(lease)
        for question in ended.asked if ended else ():
            question.cancel()

    def models(
        self, stream_id: str, *, lane: str = LIVE_LANE, deadline: float | None = None, profile: Profile = "live"
    ) -> Models:
        """The models of one segment; `deadline` is on `time.monotonic`'s clock."""
        lease = self.start(Wish(stream_id, profile), deadline=deadline)
        models = SegmentModels(self, lease.checkpoints, lane, deadline)
        weakref.finalize(models, self.end, lease.number)
        return models

    def ask(
        self,
        slot: str,
        digest: Sha256,
        items: Sequence[Item],
        *,
        lane: str = LIVE_LANE,
        deadline: float | None = None,
        lease: int | None = None,
    ) -> Sequence[Result]:
        """Results in order. Raises `UnknownSlot`, `CheckpointGone` or `DeadlinePassed`.

        With a lease the question ends with it, if not before.
        """
        with self._lock:
            if slot not in self._places:
                raise UnknownSlot(slot)
            handle = self._handles.get((slot, digest))
            if handle is None:
                raise CheckpointGone(slot)
            answer = handle.batcher.submit(items, lane=lane, deadline=deadline)
            if (held := self._leases.find(lease)) is not None:
                held.asked.append(answer)
        try:
            return answer.result(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except (FutureTimeout, CancelledError):
            answer.cancel()
            raise DeadlinePassed from None

    def free(self) -> int:
        """Frees the handles that fill no slot and that no segment has any more; how many those were."""
        with self._lock:
            self._leases.drop_expired()
            placed = {id(handle) for place in self._places.values() for handle in place.handles}
            idle = [
                key
                for key, handle in self._handles.items()
                if id(handle) not in placed and not self._leases.holds(handle)
            ]
            retired = [self._handles.pop(key) for key in idle]
        for handle in retired:
            handle.batcher.close()
            logger.info("checkpoint freed id=%s digest=%s", handle.ref.id, handle.ref.digest[:12])
        count = len(retired)
        if retired:
            del handle
            retired.clear()
            give_back(gc.collect)
        return count

    def under_way(self) -> int:
        """Segments that have started and neither ended nor passed their deadline."""
        with self._lock:
            self._leases.drop_expired()
            return len(self._leases)

    def broken_slot(self) -> str | None:
        """A slot whose model has lately failed whatever it was given; one that is only tried is no slot's."""
        return next((slot for slot, place in self.places.items() if any(map(is_broken, place.relied_on))), None)

    def stuck_slot(self, after_s: float) -> str | None:
        """A slot of which a model has been busy with one batch for longer than `after_s`."""
        return next((name for name, c in self._all_counts() if c.running_s > after_s), None)

    def _all_counts(self) -> Iterator[tuple[str, BatcherCounts]]:
        with self._lock:
            handles = dict(self._handles)
        return ((slot, handle.batcher.counts()) for (slot, _), handle in handles.items())

    def wait_quiet(self, within_s: float) -> None:
        """Returns when no live ask is in flight where bulk would slow it down, at the latest after `within_s`."""
        deadline = time.monotonic() + within_s
        with self._lock:
            found = [handle.batcher.sharing for handle in self._handles.values()]
        for sharing in {id(one): one for one in found}.values():
            sharing.wait_quiet(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        with self._lock:
            handles = list(self._handles.values())
        for handle in handles:
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


def is_broken(handle: Handle) -> bool:
    return handle.batcher.counts().broken_in_row >= BROKEN_BATCHES
