"""The worker's side of the engine's socket. Imports no model library.

Connections are kept and used by one asker at a time. When the engine dies they break at once; the client then
waits for the next engine and asks again, as asking changes nothing, until the segment's deadline.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection

from pipelines.items import CheckpointRef, Item, Result
from pipelines.models import DeadlinePassed, Models
from workers.config import Config
from workers.engine.address import engine_address, engine_key
from workers.engine.errors import CheckpointGone, EngineUnavailable
from workers.engine.wire import Ask, EngineStatus, Hello, Refusal, Stop, WireError, pack_request, unpack_reply

RETRY_S = 0.2
STATUS_S = 5.0


class EngineClient:
    """Thread-safe; open it after a fork."""

    def __init__(self, config: Config) -> None:
        self._address = engine_address(config)
        self._key = engine_key(config, self._address)
        self._idle: list[Connection[bytes, bytes]] = []
        self._lock = threading.Lock()

    def status(self, *, attach: bool = False, timeout_s: float = STATUS_S) -> EngineStatus:
        """What the engine says of itself; `EngineUnavailable` when none answers within `timeout_s`."""
        try:
            reply = self._exchange(pack_request(Hello(attach=attach)), deadline=time.monotonic() + timeout_s)
        except (OSError, EOFError, DeadlinePassed) as error:
            raise EngineUnavailable(f"no engine at {self._address}: {type(error).__name__}") from None
        if not isinstance(reply, EngineStatus):
            raise EngineUnavailable(f"the engine at {self._address} gave no status")
        return reply

    def wait_until_ready(self, timeout_s: float) -> EngineStatus:
        """The status of a warm engine; `EngineUnavailable` says what it was doing when the time was up."""
        deadline = time.monotonic() + timeout_s
        doing = "not answering"
        while True:
            try:
                status = self.status(timeout_s=min(STATUS_S, max(RETRY_S, deadline - time.monotonic())))
                if status.ready:
                    return status
                doing = status.progress
            except EngineUnavailable:
                doing = "not answering"
            if time.monotonic() > deadline:
                raise EngineUnavailable(f"the engine at {self._address} is not ready: {doing}")
            time.sleep(RETRY_S)

    def models(self, stream_id: str, *, lane: str, deadline: float) -> Models:
        """The models of one segment, whose asks end at the deadline (`time.monotonic`'s clock).

        Waits for an engine that is not ready, but for no more than half of the time that is left: a segment
        that began with less would end as "deadline" for what was the engine's absence. It is put back instead
        (`EngineUnavailable`).
        """
        del stream_id
        status = self.wait_until_ready((deadline - time.monotonic()) / 2)
        checkpoints = {name: slot.checkpoint for name, slot in status.slots.items()}
        return _RemoteModels(self, checkpoints, lane, deadline)

    def stop_engine(self) -> None:
        """Asks the engine to end; nothing happens when there is none."""
        try:
            self._exchange(pack_request(Stop()), deadline=time.monotonic() + 5)
        except (OSError, EOFError, DeadlinePassed):
            return
        finally:
            self.close()

    def ask(self, head: Ask, items: Sequence[Item], deadline: float) -> Sequence[Result]:
        """Results in order, from this engine or the next one that comes up before the deadline.

        Raises `DeadlinePassed` when the models were too slow, `EngineUnavailable` when there was no engine.
        """
        away = False
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise EngineUnavailable("no engine until the deadline") if away else DeadlinePassed
            request = pack_request(head.model_copy(update={"remaining_s": remaining}), items)
            try:
                reply = self._exchange(request, deadline)
            except (OSError, EOFError):
                reply = Refusal(reason="stopping")
            if not isinstance(reply, Refusal):
                return _results(reply, len(items))
            _raise_unless_passing(reply)
            away = True
            time.sleep(min(RETRY_S, max(0.0, deadline - time.monotonic())))

    def close(self) -> None:
        """Closes what nobody is using; the client stays usable."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _exchange(self, request: bytes, deadline: float) -> Refusal | EngineStatus | Sequence[Result]:
        """One request and its reply. A connection whose reply was not waited for is closed, never reused."""
        connection = self._connection()
        try:
            connection.send_bytes(request)
            # The engine watches the deadline too; it is given a moment to say so itself.
            if not connection.poll(max(0.0, deadline - time.monotonic()) + 0.5):
                raise DeadlinePassed
            reply = unpack_reply(connection.recv_bytes())
        except BaseException:
            connection.close()
            self.close()  # when one broke, the others lead to the same dead engine
            raise
        with self._lock:
            self._idle.append(connection)
        return reply

    def _connection(self) -> Connection[bytes, bytes]:
        """One that nobody is using: the last one given back, or a new one."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        try:
            return Client(self._address, authkey=self._key)
        except AuthenticationError:
            raise EngineUnavailable(f"the engine at {self._address} refused our key") from None


class _RemoteModels:
    """The `Models` of one segment, asked over the socket."""

    def __init__(
        self, client: EngineClient, checkpoints: Mapping[str, CheckpointRef], lane: str, deadline: float
    ) -> None:
        self._client = client
        self._checkpoints = checkpoints
        self._lane = lane
        self._deadline = deadline

    @property
    def checkpoints(self) -> Mapping[str, CheckpointRef]:
        return self._checkpoints

    def ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        head = Ask(slot=slot, digest=self._checkpoints[slot].digest, lane=self._lane, remaining_s=None)
        return self._client.ask(head, items, self._deadline)


def _results(reply: EngineStatus | Sequence[Result], asked: int) -> Sequence[Result]:
    if isinstance(reply, EngineStatus) or len(reply) != asked:
        raise WireError("the answer does not fit the question")
    return reply


def _raise_unless_passing(refusal: Refusal) -> None:
    """A loading or stopping engine will be followed by a ready one; everything else is final."""
    match refusal.reason:
        case "loading" | "stopping":
            return
        case "deadline":
            raise DeadlinePassed
        case "checkpoint_gone":
            raise CheckpointGone(refusal.detail)
        case _:
            raise EngineUnavailable(f"the engine refused: {refusal.reason} {refusal.detail}")
