"""Has an engine serve what the registry says: from its start on, and whenever that changes.

One thread looks, every few seconds and at once when told; another loads. So a move that comes while a checkpoint loads
is seen, and what it makes needless is dropped.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue

import redis
from redis.client import PubSub

from pipelines.checkpoints import CheckpointError
from workers.config import Config
from workers.engine.address import engine_address
from workers.engine.bases import Bases, held_bases
from workers.engine.engine import Engine
from workers.engine.errors import EngineBroken
from workers.engine.handles import Handle
from workers.engine.loading import LoadFailed, Loading
from workers.engine.memory import free_bytes
from workers.engine.taking_in import Superseded, TakingIn, named_of
from workers.registry.intake import CHANNEL, TTL_S, Intake, forget, report
from workers.registry.slots import Named, SlotFilling
from workers.registry.store import RegistryError, State, note_history, read_state
from workers.state import connect
from workers.storage import Storage, StorageError

logger = logging.getLogger(__name__)

TICK_S = 0.25
STORE_AGAIN_S = 2.0
REPORT_S = TTL_S / 3
"""However seldom it looks: so often it says how far it is, or whoever moves would take it for dead."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The version of the registry that the engine serves as far as `problems` (slot -> why not) let it."""

    version: int | None = None
    problems: Mapping[str, str] = field(default_factory=dict)


class Watcher:
    """One engine's. `load` makes the engine, `start` keeps it as the registry says; it tells how far it is."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._storage = Storage(config.store)
        self._redis = connect(config) if config.state_url is not None else None
        self._listener: PubSub | None = None
        self._state = State()
        self._standing = Standing()
        self._bases = Bases(config)
        self._refused: dict[tuple[str, str], str] = {}
        self._doing = "starting"
        self._trouble = ""
        self._reported_at = 0.0
        self._without_registry: dict[str, Named] = {}
        self._loading: Loading | None = None
        self._engine: Engine | None = None
        self._wanted: SimpleQueue[State] = SimpleQueue()
        self._busy = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.failure: EngineBroken | None = None

    def standing(self) -> Standing:
        return self._standing

    def load(self, report_line: Callable[[str], None]) -> Engine:
        """An engine with the slots as the registry says; where its checkpoint fails, the one before, loudly.

        Without the registry nobody knows what should serve, and without the store nobody can work: it is waited for.
        """

        def said(line: str) -> None:
            self._doing = line
            report_line(line)

        self._run(self._watch)
        loading = self._loading = Loading(self._config, said)
        self._state = self._first_state(said)
        registry = self._state.registry
        handles: dict[str, Handle] = {}
        deep: dict[str, Handle] = {}
        for slot in self._config.slots:
            filling = registry.slots.get(slot) if registry else None
            handles[slot] = self._first_handle(slot, filling, loading)
            if filling is None:
                self._without_registry[slot] = named_of(handles[slot])
            if (heavier := loading.deep(slot, handles[slot])) is not None:
                deep[slot] = heavier
        engine = Engine(handles, deep)
        problems = TakingIn(engine, loading, self._without_registry).take_in(registry, refused=self._refused)
        self._settled(self._state, problems)
        self._doing = ""
        return engine

    def start(self, engine: Engine) -> None:
        """Watches in threads of its own until `stop`."""
        self._engine = engine
        self._publish()
        self._run(self._take_in)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=2)
        if self._redis is not None:
            with suppress(redis.RedisError):
                forget(self._redis, self._name)

    @property
    def _name(self) -> str:
        return f"{platform.node()}:{engine_address(self._config)}"

    def _run(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=f"registry{work.__name__}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _first_state(self, said: Callable[[str], None]) -> State:
        """The registry when it can be read; why it cannot is said once for each reason."""
        while not self._stopping.is_set():
            try:
                return read_state(self._storage)
            except (StorageError, RegistryError) as error:
                if self._doing != (line := f"waiting for the registry: {error}"):
                    said(line)
                self._stopping.wait(STORE_AGAIN_S)
        raise CheckpointError("stopped before the registry was read")

    def _first_handle(self, slot: str, filling: SlotFilling | None, loading: Loading) -> Handle:
        """The registry's checkpoint, else the one before it, else the configured one."""
        for named in (filling.active, filling.previous) if filling else ():
            if named is None:
                continue
            try:
                return loading.tried(slot, *loading.named(slot, named))
            except LoadFailed as error:
                logger.error("slot %s does not hold what the registry says: %s", slot, error)
                self._refused[slot, named.digest] = str(error)
        configured = self._config.slots[slot]
        return loading.handle(slot, configured, loading.checkpoint(configured.checkpoint))

    def _watch(self) -> None:
        while not self._stopping.is_set():
            for step in (self._look, self._publish, self._wait):
                try:
                    step()
                except Exception as error:  # noqa: BLE001  # the watcher must outlive whatever it meets, and go on telling
                    self._note_trouble(f"following the registry failed ({type(error).__name__} in {step.__name__})")
                    self._stopping.wait(TICK_S)

    def _look(self) -> None:
        """One look at the registry and at what is only tried."""
        if self._engine is None or self._loading is None:
            return
        try:
            state = read_state(self._storage)
        except (StorageError, RegistryError) as error:  # what serves goes on serving
            self._note_trouble(f"cannot read the registry: {error}")
            return
        self._note_trouble("")
        if state.etag != self._state.etag and state.registry is not None:
            with suppress(StorageError):  # else whoever moves next writes it
                note_history(self._storage, state.registry)
        self._state = state
        if state.version != self._standing.version and not self._busy.is_set():
            self._busy.set()
            self._doing = f"taking in {state.registry.last}" if state.registry else "going back to the configuration"
            self._wanted.put(state)
        if not self._busy.is_set() and (found := TakingIn(self._engine, self._loading, {}).drop_broken()):
            self._settled(state, {**self._standing.problems, **found})

    def _note_trouble(self, line: str) -> None:
        if line and line != self._trouble:
            logger.warning("%s", line)
        self._trouble = line

    def _wait(self) -> None:
        """Until it is time, somebody moved, or what was loading is loaded; frees what nobody has any more."""
        until, busy = time.monotonic() + self._config.registry.poll_s, self._busy.is_set()
        while time.monotonic() < until and not self._stopping.is_set():
            if self._nudged() or (busy and not self._busy.is_set()):
                return
            if time.monotonic() - self._reported_at > REPORT_S:
                self._publish()
            if not self._busy.is_set() and self._engine is not None:
                self._engine.free()

    def _nudged(self) -> bool:
        """Whether a move was announced within a moment."""
        if self._redis is not None:
            try:
                if self._listener is None:
                    self._listener = PubSub(self._redis.connection_pool, ignore_subscribe_messages=True)
                    self._listener.subscribe(CHANNEL)
                return self._listener.get_message(timeout=TICK_S) is not None
            except redis.RedisError:
                self._listener = None
        self._stopping.wait(TICK_S)
        return False

    def _take_in(self) -> None:
        """The loading thread: one for all loads, so that what its libraries keep for a thread is kept once."""
        assert self._engine is not None
        assert self._loading is not None
        taking = TakingIn(self._engine, self._loading, self._without_registry)
        while not self._stopping.is_set():
            try:
                state = self._wanted.get(timeout=TICK_S)
            except Empty:
                continue
            try:
                problems = taking.take_in(state.registry, superseded=partial(self._has_moved_on, state))
                self._settled(state, problems)
            except Superseded:
                logger.info("registry moved on version=%d", state.version)
            except EngineBroken as error:
                self.failure = error
            except Exception as error:  # the loader must outlive whatever it meets
                logger.exception("registry not taken in version=%d", state.version)
                self._settled(state, {slot: type(error).__name__ for slot in self._config.slots})
            self._doing = ""
            self._busy.clear()
            self._publish()

    def _has_moved_on(self, state: State) -> bool:
        return self._state.version != state.version

    def _settled(self, state: State, problems: Mapping[str, str]) -> None:
        self._standing = Standing(state.version, problems)
        for slot, why in problems.items():
            logger.error("slot %s does not hold what the registry says: %s", slot, why)
        logger.info("registry taken in version=%d problems=%d", state.version, len(problems))

    def _publish(self) -> None:
        """Says how far this engine is, also while it is still starting."""
        if self._redis is None:
            return
        places = self._engine.places if self._engine is not None else {}
        started = self._engine is not None
        intake = Intake(
            engine=self._name,
            pid=os.getpid(),
            follows=self._config.store.bucket,
            version=self._standing.version if started else None,
            doing=self._doing or self._trouble,
            serving={slot: named_of(place.active) for slot, place in places.items()},
            problems=dict(self._standing.problems),
            free_bytes=free_bytes(self._config.engine.memory_limit_mb) + self._bases.freed_with_kept(places)
            if started
            else None,
            holds=tuple(sorted(held_bases())),
        )
        with suppress(redis.RedisError):
            report(self._redis, intake)
            self._reported_at = time.monotonic()
