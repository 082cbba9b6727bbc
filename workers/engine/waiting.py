"""What waits before one model: the requests of callers, by lane and in a lane by age. Touched under one lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from pipelines.items import Item, Result
from workers.engine.sharing import Turn
from workers.lanes import LANES

SHADOW = "shadow"
"""Where questions to shadows wait: behind everything that somebody needs."""
RANKS = (*LANES, SHADOW)

Queues = Sequence[deque["Request"]]
Place = tuple["Request", int]
"""An item of a request, by its index."""


def rank_of(lane: str) -> int:
    """0 is live; what is no lane known here comes last."""
    return next((rank for rank, known in enumerate(RANKS) if known == lane), len(RANKS) - 1)


@dataclass(slots=True, eq=False)
class Request:
    """Items of one caller; they may ride in several batches. `taken` of them are in one, `done` have a result."""

    items: Sequence[Item]
    turn: Turn
    deadline: float | None
    answer: Future[Sequence[Result]] = field(default_factory=Future)
    results: list[Result | None] = field(default_factory=list)
    taken: int = 0
    done: int = 0

    def __post_init__(self) -> None:
        self.results = [None] * len(self.items)

    @property
    def live(self) -> bool:
        return self.turn[0] == 0

    def put(self, index: int, result: Result) -> None:
        """Answers the caller with the last result, unless it has given up."""
        self.results[index] = result
        self.done += 1
        if self.done == len(self.items) and self.answer.set_running_or_notify_cancel():
            self.answer.set_result([r for r in self.results if r is not None])

    def refuse(self, error: Exception) -> None:
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(error)


class Waiting:
    """The queues of one model, most urgent first."""

    def __init__(self) -> None:
        self._lanes: tuple[deque[Request], ...] = tuple(deque() for _ in RANKS)
        self.live: Queues = self._lanes[:1]
        self.bulk: Queues = self._lanes[1:]

    def __iter__(self) -> Iterator[Request]:
        return iter([request for queue in self._lanes for request in queue])

    def add(self, request: Request) -> None:
        self._lanes[request.turn[0]].append(request)

    def __contains__(self, request: Request) -> bool:
        return request.taken < len(request.items) and request in self._lanes[request.turn[0]]

    def remove(self, request: Request) -> None:
        self._lanes[request.turn[0]].remove(request)

    def bulk_turn(self) -> Turn | None:
        return next((queue[0].turn for queue in self.bulk if queue), None)

    def next_deadline(self) -> float | None:
        return min((request.deadline for request in self if request.deadline is not None), default=None)


def items_in(queues: Queues) -> int:
    return sum(len(request.items) - request.taken for queue in queues for request in queue)


def take(queues: Queues, size: int) -> list[Place]:
    """The next `size` items, or what there is, out of their queues."""
    places: list[Place] = []
    for queue in queues:
        while queue and len(places) < size:
            request = queue[0]
            places.append((request, request.taken))
            request.taken += 1
            if request.taken == len(request.items):
                queue.popleft()
    return places
