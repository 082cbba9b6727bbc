"""Killing the feeder, the worker and the broker under a rescan: nothing is lost, nothing is done twice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.benchmarks.bench import Bench, say
from tests.benchmarks.rescan_control import BY
from workers.records import place_of, record_keys
from workers.runs.planning import RescanOrder, plan_rescan
from workers.runs.progress import pause, resume
from workers.runs.run import Plan, Progress
from workers.storage import StorageError

SAMPLE_S = 0.2
AGAIN = 0.02
"""So much more must be done before a run counts as on its way again."""


@dataclass
class Watch:
    """Asks where the run stands again and again, beside everything else."""

    bench: Bench
    run: str
    seen: int = 0
    wrong: list[str] = field(default_factory=list)
    _last: Progress | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._watch, name="counts")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            try:
                self._check(self.bench.progress(self.run))
            except StorageError as error:
                self.wrong.append(f"the store failed: {error}")

    def _check(self, now: Progress) -> None:
        self.seen += 1
        if now.selected != now.done + now.examined + now.waiting or now.waiting < 0:
            self.wrong.append(f"{now.selected} are not {now.done} done, {now.examined} examined, {now.waiting} waiting")
        if self._last is not None and now.done + now.examined < self._last.done + self._last.examined:
            self.wrong.append(f"fewer done than before: {now.done} and {now.examined} examined")
        self._last = now


def survive(bench: Bench, order: RescanOrder) -> Iterator[str]:
    """A rescan whose feeder, worker and broker are killed, then held and resumed; what is not as it must be."""
    plan = plan_rescan(bench.config, bench.storage, order)
    began = time.monotonic()
    with Watch(bench, plan.run) as watch:
        for number, (name, kill) in enumerate(_victims(bench).items(), start=1):
            _reach(bench, plan, number / 8)
            reached = _share(bench, plan)
            kill()
            lost_s = _reach(bench, plan, reached + AGAIN)
            say(f"kill     {name} killed at {reached:.0%}; {AGAIN:.0%} further after {lost_s:.1f} s")
        for name, kill in _victims(bench).items():
            kill()
            say(f"kill     {name} killed at {_share(bench, plan):.0%}")
        bench.wait(bench.client.ping, "the broker is back")
        pause(bench.runs, plan.run, BY, bench.client)
        resume(bench.runs, plan.run, BY, bench.client)
        bench.finish(plan)
    yield from watch.wrong[:5]
    yield from _once_each(bench, plan, time.monotonic() - began, watch.seen)


def _reach(bench: Bench, plan: Plan, share: float) -> float:
    """Seconds until so much of the run is done."""
    return bench.wait(lambda: _share(bench, plan) >= share, f"{share:.0%} are done", every_s=0.05)


def _once_each(bench: Bench, plan: Plan, wall_s: float, samples: int) -> Iterator[str]:
    places = [place_of(key) for key in record_keys(bench.storage, run=plan.run)]
    found = Counter((place.stream_id, place.segment_id) for place in places if place)
    sources = [
        place_of(item.source)
        for number in range(1, len(plan.batches) + 1)
        for item in bench.runs.batch(plan.run, number).items
    ]
    selected = {(place.stream_id, place.segment_id) for place in sources if place}
    say(
        f"kill     {plan.selected} selected, {len(places)} records in {len(found)} segments, {wall_s:.1f} s;"
        f" the counts were looked at {samples} times"
    )
    if set(found) != selected or any(count != 1 for count in found.values()):
        yield f"kill: {len(selected)} segments were selected, {len(found)} have a record, {len(places)} records in all"
    stands = bench.progress(plan.run)
    if stands.recorded != plan.selected:
        yield f"kill: {stands.recorded} recorded, {stands.unexaminable} unexaminable, {stands.waiting} still waiting"


def _victims(bench: Bench) -> dict[str, Callable[[], object]]:
    """Part of the pool -> what ends it with SIGKILL."""

    def feeder() -> None:
        bench.wait(bench.feeder, "there is a feeder", every_s=0.05)
        if (found := bench.feeder()) is not None:
            found.kill()

    def worker() -> None:
        if bench.pool.bulk is not None:
            bench.pool.bulk.kill()

    return {"the feeder": feeder, "the worker": worker, "the broker": bench.pool.services.valkey.child.kill}


def _share(bench: Bench, plan: Plan) -> float:
    found = bench.progress(plan.run)
    return (found.done + found.examined) / plan.selected
