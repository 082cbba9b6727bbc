"""The worker's side of the engine's socket. Imports no model library.

Connections are kept and used by one asker at a time. When the engine dies they break at once; the models of a
segment then wait for the next engine and ask again, as asking changes nothing, until the segment's deadline.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from pipelines.items import CheckpointRef, Item, Result
from pipelines.manifest import Profile
from pipelines.models import DeadlinePassed
from pipelines.strict import Sha256
from workers.config import Config
from workers.engine.address import engine_address, engine_key
from workers.engine.errors import CheckpointGone, EngineUnavailable
from workers.engine.sockets import KeyRefused, connect, set_patience
from workers.engine.waiting import SHADOW
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
    pack_request,
    unpack_reply,
)

RETRY_S = 0.2
STATUS_S = 5.0
GRACE_S = 0.5
"""The engine watches the deadline too; it is given a moment to say so itself."""


class EngineAway(Exception):
    """No engine to answer right now; the same question may be asked again."""


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
        except (OSError, EOFError, WireError, DeadlinePassed) as error:
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

    def models(
        self,
        stream_id: str,
        *,
        lane: str,
        deadline: float,
        profile: Profile = "live",
        digests: Mapping[str, Sha256] | None = None,
    ) -> RemoteModels:
        """The models of one segment, whose asks end at the deadline (`time.monotonic`'s clock). To be closed.

        `digests`: the checkpoints that a run was planned with; it is given those that are loaded.
        Waits for an engine that is not ready, but for no more than half of the time that is left: a segment
        that began with less would end as "deadline" for what was the engine's absence. It is put back instead
        (`EngineUnavailable`).
        """
        patience = time.monotonic() + (deadline - time.monotonic()) / 2
        start = Start(stream_id=stream_id, profile=profile, digests=None if digests is None else dict(digests))
        while True:
            try:
                return RemoteModels(self, self._started(start, patience, deadline), lane, deadline)
            except EngineAway as away:
                if time.monotonic() > patience:
                    raise EngineUnavailable(f"the engine at {self._address} is not ready: {away}") from None
                time.sleep(RETRY_S)

    def _started(self, start: Start, patience: float, deadline: float) -> Given:
        request = start.model_copy(update={"remaining_s": max(0.0, deadline - time.monotonic())})
        try:
            reply = self._exchange(pack_request(request), patience)
        except (OSError, EOFError, WireError, DeadlinePassed):
            raise EngineAway("not answering") from None
        if isinstance(reply, Refusal) and reply.reason == "loading":
            raise EngineAway(reply.detail)
        if not isinstance(reply, Given):
            raise EngineAway("it gave no checkpoints")
        return reply

    def end(self, lease: int) -> None:
        """Tells the engine that a segment is over; one that is away has forgotten it anyway."""
        with suppress(OSError, EOFError, WireError, DeadlinePassed, EngineUnavailable):
            self._exchange(pack_request(End(lease=lease)), time.monotonic() + GRACE_S)

    def ask(self, head: Ask, items: Sequence[Item], deadline: float) -> Sequence[Result]:
        """Results in order, from the engine that answers now.

        Raises `DeadlinePassed` when the models were too slow, `EngineAway` when there was none to answer or it
        is ending: another will follow.
        """
        request = pack_request(head.model_copy(update={"remaining_s": deadline - time.monotonic()}), items)
        try:
            reply = self._exchange(request, deadline)
        except (OSError, EOFError) as error:
            raise EngineAway(type(error).__name__) from None
        if isinstance(reply, Refusal):
            raise _refused(reply)
        return _results(reply, len(items))

    def wait_quiet(self, within_s: float) -> None:
        """Returns when the engine has no live ask in flight, or none answers, at the latest after `within_s`."""
        with suppress(OSError, EOFError, WireError, DeadlinePassed, EngineUnavailable):
            self._exchange(pack_request(Quiet(within_s=within_s)), time.monotonic() + within_s)

    def close(self) -> None:
        """Closes what nobody is using; the client stays usable."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _exchange(self, request: bytes, deadline: float) -> Reply:
        """One request and its reply. A connection whose reply was not waited for is closed, never reused."""
        patience_s = max(0.0, deadline - time.monotonic()) + GRACE_S
        connection = self._connection(patience_s)
        try:
            set_patience(connection, patience_s)
            connection.send_bytes(request)
            if not connection.poll(max(0.0, deadline - time.monotonic()) + GRACE_S):
                raise DeadlinePassed
            reply = unpack_reply(connection.recv_bytes())
        except BaseException:
            connection.close()
            self.close()  # when one broke, the others lead to the same dead engine
            raise
        with self._lock:
            self._idle.append(connection)
        return reply

    def _connection(self, patience_s: float) -> Connection[bytes, bytes]:
        """One that nobody is using: the last one given back, or a new one."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        try:
            return connect(self._address, self._key, patience_s=patience_s)
        except KeyRefused:
            raise EngineUnavailable(f"the engine at {self._address} refused our key") from None


class RemoteModels:
    """The `Models` of one segment, asked over the socket; its stages ask side by side. Closed, it frees them.

    When the engine dies, the next one is asked again until the deadline. If that passes and the engine had been
    away at any time of this segment, its absence may be why: the segment is put back (`EngineUnavailable`)
    instead of keeping a "deadline" for ever.
    """

    def __init__(self, client: EngineClient, given: Given, lane: str, deadline: float) -> None:
        self._client = client
        self._given = given
        self._lane = lane
        self._deadline = deadline
        self._away = False

    @property
    def checkpoints(self) -> Mapping[str, CheckpointRef]:
        return self._given.checkpoints

    @property
    def shadows(self) -> Mapping[str, CheckpointRef]:
        """Slot to the checkpoint that may be asked beside."""
        return self._given.shadows

    def ask_shadow(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        """As `ask`, of the shadow, tried once and behind everybody else; raises what `EngineClient.ask` does."""
        head = Ask(slot=slot, digest=self.shadows[slot].digest, lane=SHADOW, remaining_s=None, lease=self._given.lease)
        return self._client.ask(head, items, self._deadline)

    def close(self) -> None:
        self._client.end(self._given.lease)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        digest = self.checkpoints[slot].digest
        head = Ask(slot=slot, digest=digest, lane=self._lane, remaining_s=None, lease=self._given.lease)
        try:
            while (remaining := self._deadline - time.monotonic()) > 0:
                try:
                    return self._client.ask(head, items, self._deadline)
                except EngineAway:
                    self._away = True
                    time.sleep(min(RETRY_S, remaining))
            raise DeadlinePassed
        except DeadlinePassed:
            if self._away:
                raise EngineUnavailable("the deadline passed after the engine had been away") from None
            raise


def _results(reply: EngineStatus | Given | Sequence[Result], asked: int) -> Sequence[Result]:
    if isinstance(reply, EngineStatus | Given) or len(reply) != asked:
        raise WireError("the answer does not fit the question")
    return reply


def _refused(refusal: Refusal) -> Exception:
    """What a refusal means to the segment. After a loading or stopping engine comes a ready one."""
    match refusal.reason:
        case "loading" | "stopping":
            return EngineAway(refusal.reason)
        case "deadline":
            return DeadlinePassed()
        case "checkpoint_gone":
            return CheckpointGone(refusal.detail)
        case _:
            return EngineUnavailable(f"the engine refused: {refusal.reason} {refusal.detail}")
