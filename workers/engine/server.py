"""The engine behind a socket: listens at once, answers when its models are warm, ends when nobody needs it.

The lock file beside the socket makes it one engine per address: a second one sees the lock and ends.
Every caller has its own connection and thread; the models' own threads do the work.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Listener

from pipelines.items import Item, Result
from pipelines.models import DeadlinePassed
from workers.config import Config
from workers.engine.address import Address, engine_address, engine_key
from workers.engine.ceiling import Ceiling, resident_bytes
from workers.engine.engine import Engine
from workers.engine.errors import AlreadyRunning, CheckpointGone, EngineBroken, EnginePaused, UnknownSlot
from workers.engine.handles import Wish
from workers.engine.said import said_of
from workers.engine.sockets import KeyRefused, admit, hang_up, listen, sole_engine
from workers.engine.watching import Standing, Watcher
from workers.engine.wire import (
    Ask,
    End,
    EngineStatus,
    Given,
    Hello,
    Quiet,
    Refusal,
    Reply,
    Start,
    WireError,
    deadline_in,
    pack_reply,
    unpack_request,
)

logger = logging.getLogger(__name__)

GREETING_S = 5.0
STUCK_EXIT_CODE = 4


class EngineServer:
    """Serves one engine until `stop`, or until its last attached worker has been gone for `linger_s`.

    `watcher` has it serve what the registry says from then on. It also ends when a model is of no use any more, so
    that whoever keeps it running starts a new one: its callers wait for that one and ask again.
    """

    def __init__(
        self,
        load: Callable[[Callable[[str], None]], Engine],
        config: Config,
        *,
        linger_s: float | None = None,
        watcher: Watcher | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """`alive` is called as long as the main loop goes round."""
        self._load = load
        self._alive = alive
        self._ceiling = Ceiling(config.engine.memory_limit_mb)
        self._device = config.engine.device
        self._address = engine_address(config)
        self._key = engine_key(config, self._address)
        self._linger_s = linger_s
        self._watcher = watcher
        self._stuck_s = config.engine.stuck_s
        self._engine: Engine | None = None
        self._progress = "starting"
        self._started = time.monotonic()
        self._callers: set[Connection[bytes, bytes]] = set()
        self._attached: set[int] = set()
        self._alone_since = self._started
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Blocks until the end. Raises what loading raised, `EngineBroken` or `AlreadyRunning`."""
        with sole_engine(self._address):
            self._alive()
            listener = _listen(self._address)
            threading.Thread(target=self._accept, args=(listener,), name="accept", daemon=True).start()
            threading.Thread(target=self._load_models, name="load", daemon=True).start()
            try:
                while not self._stopping.wait(0.2):
                    self._end_when_alone()
                    self._alive()
                    self._end_when_stuck()
                    self._end_when_broken()
            finally:
                with suppress(FileNotFoundError):  # somebody cleared the state directory
                    listener.close()
                self.drop_callers()
                self._close_models()
        if self._failure is not None:
            raise self._failure

    def _close_models(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
        if self._engine is None:
            return
        closing = threading.Thread(target=self._engine.close, name="close", daemon=True)
        closing.start()
        while closing.is_alive():
            closing.join(0.2)
            self._alive()
            self._end_when_stuck()

    def stop(self) -> None:
        self._stopping.set()

    def drop_callers(self) -> None:
        """Breaks every connection, as the death of the process would; callers turn to the next engine."""
        with self._lock:
            callers = list(self._callers)
        for connection in callers:
            with suppress(OSError):
                hang_up(connection)

    def _load_models(self) -> None:
        try:
            engine = self._load(self._report)
        except Exception as error:  # noqa: BLE001  # told by run() to whoever started the process
            self._failure = error
            self._stopping.set()
            return
        self._engine = engine
        self._ceiling.warm()
        if self._watcher is not None:
            self._watcher.start(engine)
        self._report("ready")

    def _report(self, line: str) -> None:
        self._progress = line
        logger.info("engine %s", line)

    def _end_when_alone(self) -> None:
        if self._linger_s is None:
            return
        with self._lock:
            alone_s = 0.0 if self._attached else time.monotonic() - self._alone_since
        # A worker that is about to attach is given as long as the models take to load.
        if self._engine is not None and alone_s > self._linger_s:
            logger.info("engine ends: no worker for %.0f s", alone_s)
            self._stopping.set()

    def _end_when_stuck(self) -> None:
        if self._engine is not None and (slot := self._engine.stuck_slot(self._stuck_s)):
            logger.critical("engine ends: a batch of %s has been running for more than %g s", slot, self._stuck_s)
            logging.shutdown()
            os._exit(STUCK_EXIT_CODE)  # nothing interrupts a model, and an orderly end would wait for it

    def _end_when_broken(self) -> None:
        if self._watcher is not None and self._watcher.failure is not None:
            self._failure = self._watcher.failure
            self._stopping.set()
        if self._engine is not None and (slot := self._engine.broken_slot()):
            self._failure = EngineBroken(f"{slot} fails every batch")
            self._stopping.set()
        if (too_large := self._ceiling.passed()) is not None:
            self._failure = EngineBroken(too_large)
            self._stopping.set()

    def _accept(self, listener: Listener) -> None:
        while not self._stopping.is_set():
            try:
                connection = listener.accept()
            except OSError as error:
                if not self._stopping.is_set():
                    logger.warning("caller not accepted error=%s", type(error).__name__)
                    time.sleep(0.05)  # a closed or exhausted listener fails at once: do not spin
                continue
            threading.Thread(target=self._serve, args=(connection,), name="caller", daemon=True).start()

    def _serve(self, connection: Connection[bytes, bytes]) -> None:
        with self._lock:
            self._callers.add(connection)
        try:
            with connection:
                admit(connection, self._key, patience_s=GREETING_S)
                while True:
                    connection.send_bytes(pack_reply(self._answer(connection.recv_bytes(), id(connection))))
        except (EOFError, OSError):
            pass  # the caller is gone or never spoke; what it asked for is dropped at its deadline
        except KeyRefused:
            logger.warning("caller refused: it does not know the key")
        finally:
            self._detach(connection)

    def _answer(self, message: bytes, caller: int) -> Reply:
        try:
            head, items = unpack_request(message)
        except WireError as error:
            return Refusal(reason="bad_request", detail=str(error))
        match head:
            case Hello():
                if head.attach:
                    with self._lock:
                        self._attached.add(caller)
                return self._status()
            case Start():
                return self._begun(head)
            case End():
                if self._engine is not None:
                    self._engine.end(head.lease)
                return ()
            case Ask():
                return self._asked(head, items)
            case Quiet():
                if self._engine is not None:
                    self._engine.wait_quiet(head.within_s)
                return ()

    def _begun(self, head: Start) -> Refusal | Given:
        """A broken engine begins nothing: the next one does."""
        engine = self._engine
        if engine is None:
            return Refusal(reason="loading", detail=self._progress)
        if (broken := engine.broken_slot()) is not None:
            return Refusal(reason="loading", detail=f"{broken} fails every batch")
        try:
            wish = Wish(head.stream_id, head.profile, head.digests)
            lease = engine.start(wish, deadline=deadline_in(head.remaining_s))
            return Given(lease=lease.number, checkpoints=lease.checkpoints, shadows=lease.shadows)
        except EnginePaused as paused:
            return Refusal(reason="loading", detail=str(paused))

    def _asked(self, head: Ask, items: Sequence[Item]) -> Refusal | Sequence[Result]:
        engine = self._engine
        if engine is None:
            return Refusal(reason="loading", detail=self._progress)
        deadline = deadline_in(head.remaining_s)
        try:
            results = engine.ask(head.slot, head.digest, items, lane=head.lane, deadline=deadline, lease=head.lease)
            # Failures of a broken model say nothing of the items: the next engine is asked.
            return results if engine.broken_slot() is None else Refusal(reason="stopping")
        except DeadlinePassed:
            return Refusal(reason="deadline")
        except CheckpointGone:
            return Refusal(reason="checkpoint_gone")
        except UnknownSlot:
            return Refusal(reason="unknown_slot", detail=head.slot)
        except RuntimeError:
            return Refusal(reason="stopping")

    def _detach(self, connection: Connection[bytes, bytes]) -> None:
        with self._lock:
            self._callers.discard(connection)
            self._attached.discard(id(connection))
            if not self._attached:
                self._alone_since = time.monotonic()

    def _status(self) -> EngineStatus:
        engine = self._engine
        broken = engine.broken_slot() if engine is not None else None
        standing = self._watcher.standing() if self._watcher is not None else Standing()
        return EngineStatus(
            ready=engine is not None and broken is None,
            pid=os.getpid(),
            device=self._device,
            rss_bytes=resident_bytes(),
            uptime_s=round(time.monotonic() - self._started, 1),
            attached=len(self._attached),
            progress=self._progress if broken is None else f"{broken} fails every batch",
            registry=standing.version,
            problems=dict(standing.problems),
            **(said_of(engine.places) if engine is not None else {}),
        )


def _listen(address: Address) -> Listener:
    try:
        return listen(address)
    except OSError as error:
        raise AlreadyRunning(f"{address}: {type(error).__name__}") from None
