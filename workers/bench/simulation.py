"""The pool as a discrete-event simulation: children, an engine with one thread a model, and cores that they share.

A segment waits for a child, is fetched and decoded there, asks the models side by side, each of which answers one
question after the other, and is fused and written by its child. Whatever computes at a moment shares the cores in
equal parts, and nothing takes more than one (processor sharing: Kleinrock 1976, Queueing Systems II, chapter 4).

What a segment costs is taken from segments that a real pool examined one at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Station = Literal["frames", "speech", "screen", "chat"]
"""The stages of an examination, each waiting for a model of its own."""
CHILD = "child"


@dataclass(frozen=True, slots=True)
class Demand:
    """Seconds of one core that a segment takes: in its child before and after, and of each model."""

    before_s: float
    after_s: float
    stations: Mapping[Station, float]

    def times(self, factor: float) -> Demand:
        scaled = {name: factor * taken for name, taken in self.stations.items()}
        return Demand(factor * self.before_s, factor * self.after_s, scaled)


@dataclass(frozen=True, slots=True)
class Host:
    """One machine. `engines`: copies of each model, so many questions are answered side by side.

    Of speech every copy answers `hearing` of them side by side.
    """

    cores: int
    children: int
    engines: int = 1
    hearing: int = 1

    def at_a_time(self, station: Station) -> int:
        return self.engines * (self.hearing if station == "speech" else 1)


@dataclass(slots=True)
class _Work:
    """Something that computes: of which segment, where, and how much is left of it."""

    segment: int
    where: Station | Literal["before", "after"]
    left_s: float


@dataclass
class _Run:
    host: Host
    demands: Sequence[Demand]
    at_s: Sequence[float]
    now_s: float = 0.0
    computing: list[_Work] = field(default_factory=list)
    lane: deque[int] = field(default_factory=deque)
    free_children: int = 0
    waiting: dict[Station, deque[int]] = field(default_factory=dict)
    busy: dict[Station, int] = field(default_factory=dict)
    open_stations: dict[int, int] = field(default_factory=dict)
    ended_s: dict[int, float] = field(default_factory=dict)

    def play(self) -> list[float]:
        self.free_children = self.host.children
        coming = deque(sorted(range(len(self.at_s)), key=lambda index: self.at_s[index]))
        while len(self.ended_s) < len(self.at_s):
            self._advance(self.at_s[coming[0]] if coming else None)
            while coming and self.at_s[coming[0]] <= self.now_s + 1e-12:
                self.lane.append(coming.popleft())
            self._start_children()
        return [self.ended_s[index] for index in range(len(self.at_s))]

    def _advance(self, arrival_s: float | None) -> None:
        """To the next moment at which something ends or arrives."""
        speed = min(1.0, self.host.cores / len(self.computing)) if self.computing else 1.0
        next_s = min((self.now_s + work.left_s / speed for work in self.computing), default=float("inf"))
        until_s = next_s if arrival_s is None else min(next_s, max(arrival_s, self.now_s))
        for work in self.computing:
            work.left_s -= (until_s - self.now_s) * speed
        self.now_s = until_s
        ended = [work for work in self.computing if work.left_s <= 1e-9]
        self.computing = [work for work in self.computing if work.left_s > 1e-9]
        for work in ended:
            self._ended(work)

    def _start_children(self) -> None:
        while self.lane and self.free_children:
            self.free_children -= 1
            segment = self.lane.popleft()
            self.computing.append(_Work(segment, "before", self.demands[segment].before_s))

    def _ended(self, work: _Work) -> None:
        match work.where:
            case "before":
                self._ask(work.segment)
            case "after":
                self.free_children += 1
                self.ended_s[work.segment] = self.now_s
            case station:
                self.busy[station] -= 1
                self._serve(station)
                self.open_stations[work.segment] -= 1
                self._finish(work.segment)

    def _ask(self, segment: int) -> None:
        asked = [name for name, taken in self.demands[segment].stations.items() if taken > 0]
        self.open_stations[segment] = len(asked)
        for station in asked:
            self.waiting.setdefault(station, deque()).append(segment)
            self._serve(station)
        self._finish(segment)

    def _serve(self, station: Station) -> None:
        waiting = self.waiting[station]
        while waiting and self.busy.get(station, 0) < self.host.at_a_time(station):
            self.busy[station] = self.busy.get(station, 0) + 1
            segment = waiting.popleft()
            self.computing.append(_Work(segment, station, self.demands[segment].stations[station]))

    def _finish(self, segment: int) -> None:
        if not self.open_stations[segment]:
            self.computing.append(_Work(segment, "after", self.demands[segment].after_s))


def simulate(host: Host, demands: Sequence[Demand], at_s: Sequence[float]) -> list[float]:
    """When each segment's record is there; segment `i` arrives at `at_s[i]` and takes `demands[i]`."""
    return _Run(host, demands, at_s).play()


def alone_s(host: Host, demand: Demand) -> float:
    """How long the segment takes when there is no other."""
    return simulate(host, [demand], [0.0])[0]


def fitted(host: Host, stages_ms: Mapping[str, float], took_s: float) -> Demand:
    """The demand of a segment that took so long alone, with the stages that its record tells.

    The stages' times are of the wall clock and overlap: where more of them ran than there are cores, each looks longer
    than its work. They give the proportions, and the whole gives the scale. What no stage accounts for is the child's.
    """
    names: tuple[Station, ...] = ("frames", "speech", "screen", "chat")
    stations = {name: stages_ms.get(name, 0.0) / 1000 for name in names}
    before_s, fuse_s = stages_ms.get("fetch", 0.0) / 1000, stages_ms.get("fuse", 0.0) / 1000
    rest_s = max(0.0, took_s - before_s - fuse_s - max(stations.values()))
    child = Demand(before_s, fuse_s + rest_s, dict.fromkeys(names, 0.0))
    room_s = max(1e-6, took_s - alone_s(host, child))
    models = Demand(0.0, 0.0, stations)
    by = room_s / max(1e-6, alone_s(host, models))
    return Demand(child.before_s, child.after_s, models.times(by).stations)
