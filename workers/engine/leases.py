"""Which segments are under way with which handles: a handle is freed when nobody has it any more.

Not thread-safe: the engine calls it under its lock.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from pipelines.items import CheckpointRef, Result
from workers.engine.handles import Handle


@dataclass(slots=True)
class Lease:
    """One segment's handles by slot, until it ends or its deadline (`time.monotonic`'s clock) passes.

    `beside` are shadows; `asked` is what was asked in its name.
    """

    number: int
    handles: Mapping[str, Handle]
    beside: Mapping[str, Handle]
    deadline: float | None
    asked: list[Future[Sequence[Result]]] = field(default_factory=list)

    @property
    def checkpoints(self) -> dict[str, CheckpointRef]:
        return {slot: handle.ref for slot, handle in self.handles.items()}

    @property
    def shadows(self) -> dict[str, CheckpointRef]:
        return {slot: handle.ref for slot, handle in self.beside.items()}


class Leases:
    def __init__(self) -> None:
        self._open: dict[int, Lease] = {}
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._open)

    def open(self, handles: Mapping[str, Handle], beside: Mapping[str, Handle], deadline: float | None) -> Lease:
        lease = Lease(next(self._numbers), handles, beside, deadline)
        self._open[lease.number] = lease
        return lease

    def find(self, number: int | None) -> Lease | None:
        return self._open.get(number) if number is not None else None

    def close(self, number: int) -> Lease | None:
        """The lease that ends; None when it has ended before."""
        return self._open.pop(number, None)

    def drop_expired(self) -> None:
        """Whoever held them has given up by now, or has died."""
        now = time.monotonic()
        for lease in [one for one in self._open.values() if one.deadline is not None and one.deadline <= now]:
            del self._open[lease.number]

    def holds(self, handle: Handle) -> bool:
        return any(
            handle is one for lease in self._open.values() for one in (*lease.handles.values(), *lease.beside.values())
        )
