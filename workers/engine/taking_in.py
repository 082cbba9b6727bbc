"""From what the registry says to what the slots hold: load beside, prove, then switch.

A checkpoint that cannot be used changes nothing: what served goes on serving, and the reason is told.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from pipelines.cards import CardError
from pipelines.checkpoints import Checkpoint, CheckpointError
from workers.config import Filling
from workers.engine.engine import Engine, is_broken
from workers.engine.errors import EngineBroken
from workers.engine.handles import Handle, Place
from workers.engine.loading import LoadFailed, Loading
from workers.registry.slots import Named, Registry, SlotFilling

logger = logging.getLogger(__name__)

LOOK_S = 0.05


class Superseded(Exception):
    """The registry has moved on: what was being loaded may not be wanted any more."""


class TakingIn:
    """Changes what fills an engine's slots. One thread calls it."""

    def __init__(self, engine: Engine, loading: Loading, without_registry: Mapping[str, Named]) -> None:
        """`without_registry`: what fills the slots for which the registry did not speak at the start."""
        self._engine = engine
        self._loading = loading
        self._without_registry = dict(without_registry)
        self._refused: dict[tuple[str, str], str] = {}
        self._new: dict[tuple[str, str], Handle] = {}

    def take_in(
        self,
        registry: Registry | None,
        *,
        superseded: Callable[[], bool] = lambda: False,
        refused: Mapping[tuple[str, str], str] | None = None,
    ) -> dict[str, str]:
        """Slot -> why it does not hold what the registry says; empty when all do. Raises `Superseded`.

        `refused`, (slot, digest) -> why, are not tried again.
        """
        self._refused = dict(refused or {})
        problems: dict[str, str] = {}
        for slot in self._loading.config.slots:
            last = registry.last if registry else None
            drain = last is not None and last.drain and last.slot == slot
            filling = registry.slots.get(slot) if registry else None
            said = self._fill(slot, filling, drain=drain, superseded=superseded)
            if said:
                problems[slot] = "; ".join(said)
        for slot in registry.slots if registry else ():
            if slot not in self._loading.config.slots:
                problems[slot] = "the registry fills this slot and the configuration here does not know it"
        self._close_needless()
        return problems

    def drop_broken(self) -> dict[str, str]:
        """Slot -> what of it was only tried and fails whatever it is given; it is taken out here."""
        problems = {}
        for slot, place in self._engine.places.items():
            broken = [one for one in (place.canary, place.shadow) if one is not None and is_broken(one)]
            if not broken:
                continue
            canary, shadow = (None if one in broken else one for one in (place.canary, place.shadow))
            self._engine.rearrange(slot, replace(place, canary=canary, shadow=shadow))
            problems[slot] = f"{broken[0].ref.id}: fails every batch, and is not tried here any more"
        return problems

    def _fill(
        self, slot: str, filling: SlotFilling | None, *, drain: bool, superseded: Callable[[], bool]
    ) -> list[str]:
        """What went wrong. The switch is one assignment, after everything new was loaded and proven."""
        said: list[str] = []
        wanted = filling or SlotFilling(active=self._configured(slot))

        def handle(named: Named | None) -> Handle | None:
            if named is None:
                return None
            try:
                found = self._handle(slot, named, drain=drain and named == wanted.active)
            except LoadFailed as error:
                said.append(str(error))
                return None
            if superseded():
                raise Superseded
            return found

        active, canary, shadow = (handle(named) for named in (wanted.active, wanted.canary, wanted.shadow))
        place = self._engine.places[slot]
        active = active or place.active
        new = replace(
            place,
            active=active,
            canary=canary if canary is not active else None,
            share=wanted.share if canary else 0,
            shadow=shadow if shadow is not active else None,
            kept=self._kept(slot, wanted.previous, active),
        )
        if new != place:
            self._engine.rearrange(slot, new)
            logger.info("slot filled slot=%s active=%s@%s", slot, active.ref.id, active.ref.digest[:12])
        return said

    def _kept(self, slot: str, previous: Named | None, active: Handle) -> Handle | None:
        """The one before, for as long as nobody needs its memory."""
        found = self._engine.loaded(slot, previous.digest) if previous else None
        return found if found is not active else None

    def _configured(self, slot: str) -> Named:
        """What fills the slot without a word of the registry; what serves now where that cannot be had."""
        if slot not in self._without_registry:
            try:
                checkpoint = self._loading.checkpoint(self._loading.config.slots[slot].checkpoint)
            except (CardError, CheckpointError, OSError):
                return named_of(self._engine.places[slot].active)
            self._without_registry[slot] = Named(id=checkpoint.card.id, digest=checkpoint.digest)
        return self._without_registry[slot]

    def _handle(self, slot: str, named: Named, *, drain: bool) -> Handle:
        """The loaded checkpoint: one that is there already, or a new one. Raises `LoadFailed`."""
        key = (slot, named.digest)
        if (found := self._engine.loaded(*key) or self._new.get(key)) is not None:
            return found
        if (why := self._refused.get(key)) is not None:
            raise LoadFailed(why)
        try:
            self._new[key] = self._loaded_beside(slot, named, drain=drain)
        except LoadFailed as error:
            self._refused[key] = str(error)
            raise
        return self._new[key]

    def _loaded_beside(self, slot: str, named: Named, *, drain: bool) -> Handle:
        """A new one, if need be in the room of what is only kept, or of the old one."""
        filling, checkpoint = self._loading.named(slot, named)
        if self._loading.check_memory(filling, checkpoint) is not None:
            self._forget_kept()
        short = self._loading.check_memory(filling, checkpoint)
        if short is None:
            return self._loading.tried(slot, filling, checkpoint, beside=True)
        if not drain:
            raise LoadFailed(short)
        return self._drained(slot, filling, checkpoint)

    def _close_needless(self) -> None:
        """What was loaded for a state that was superseded, and is wanted by none that came after."""
        for key, handle in self._new.items():
            if self._engine.loaded(*key) is not handle:
                handle.batcher.close()
        self._new.clear()

    def _forget_kept(self) -> None:
        """What is only kept for going back gives its memory away first."""
        for slot, place in self._engine.places.items():
            if place.kept is not None:
                self._engine.rearrange(slot, replace(place, kept=None))
        self._engine.free()

    def _drained(self, slot: str, filling: Filling, checkpoint: Checkpoint) -> Handle:
        """Frees what fills the slot before it loads; if that fails, the old one is loaded again.

        Meanwhile no segment starts, and those that want to are told to wait.
        """
        place = self._engine.places[slot]
        before, deep = named_of(place.active), place.deep
        del place
        self._engine.pause(f"{slot} is emptied before {checkpoint.card.id} is loaded")
        try:
            while self._engine.under_way():
                time.sleep(LOOK_S)
            self._engine.vacate(slot)
            self._engine.free()
            try:
                handle = self._loading.tried(slot, filling, checkpoint)
            except LoadFailed:
                self._engine.rearrange(slot, Place(self._again(slot, before), deep))
                raise
            self._engine.rearrange(slot, Place(handle, deep))
            return handle
        finally:
            self._engine.resume()

    def _again(self, slot: str, before: Named) -> Handle:
        try:
            return self._loading.tried(slot, *self._loading.named(slot, before))
        except LoadFailed as error:
            raise EngineBroken(
                f"{slot} was emptied, and neither the new checkpoint loads nor the old: {error}"
            ) from None


def named_of(handle: Handle) -> Named:
    return Named(id=handle.ref.id, digest=handle.ref.digest)
