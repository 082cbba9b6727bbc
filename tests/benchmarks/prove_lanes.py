"""What a bulk rescan costs live segments: their latency on a pool with and without one running.

    python -m tests.benchmarks.prove_lanes --segments 120 --blocks 3 --modes policy,text,vision,full

First the pool's capacity is measured with a burst. Then live segments come at half of it, each as it ends, in blocks
in turn: on the idle pool, then beside a rescan of each mode that outlasts the block. The same segments come in every
turn, so that what differs is the rescan. Ends with 3 when a rescan costs more than it may.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from statistics import mean

from pipelines.manifest import SegmentManifest
from pipelines.record import Record
from tests.benchmarks.bench import Bench, machine, milder, place, running, say, settings
from tests.benchmarks.corpus import Corpus, ending_now, slot_of, store
from workers.runs.planning import RescanOrder, plan_rescan
from workers.runs.progress import cancel
from workers.runs.run import Plan
from workers.runs.selection import Selection
from workers.runs.store import RunError
from workers.verdicts.latency import Latency, latency
from workers.verdicts.tables import compact

MODES = ("policy", "text", "vision", "full")
IDLE = "idle"
COPIES: Mapping[str, int] = {"policy": 4800, "text": 1600, "vision": 1600, "full": 160}
"""Records that a rescan of each mode works on: about as many as outlast a block."""
RATIO = 1.25
"""How much longer the 95th percentile may be beside a rescan that runs no speech model."""
STREAMS = 12
LOOK_S = 2.0


@dataclass
class Turn:
    """What came out of one mode over all blocks. `bulk` are segments that rescans finished meanwhile."""

    records: list[Record] = field(default_factory=list)
    bulk: int = 0
    rescans: int = 0
    wall_s: float = 0.0

    @property
    def latency(self) -> Latency:
        found = latency(record.processing.latency_s for record in self.records)
        assert found is not None
        return found

    @property
    def unexamined(self) -> int:
        """Segments of which something was left out for want of time."""
        reasons = ("deadline", "shed")
        return sum(
            any(seen.reason in reasons for seen in record.observations.coverage.values()) for record in self.records
        )


class Load:
    """A rescan of one mode that is started anew whenever it ends."""

    def __init__(self, bench: Bench, mode: str, order: RescanOrder) -> None:
        self._bench, self._mode, self._order = bench, mode, order
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="planner")
        self._plans: list[Plan] = []
        self._next: Future[Plan] | None = None
        self._looked_at = 0.0

    def start(self) -> None:
        """Returns when the rescan has finished its first segment."""
        self._plans.append(plan_rescan(self._bench.config, self._bench.storage, self._order))
        self._bench.wait(lambda: self.done() > 0, f"the {self._mode} rescan gets on")

    def keep_up(self) -> None:
        """One look, at most every few seconds; planning happens beside the caller."""
        if self._next is not None and self._next.done():
            self._plans.append(self._next.result())
            self._next = None
        if self._next is None and time.monotonic() - self._looked_at > LOOK_S:
            self._looked_at = time.monotonic()
            if self._bench.over(self._plans[-1].run):
                bench, order = self._bench, self._order
                self._next = self._executor.submit(plan_rescan, bench.config, bench.storage, order)

    def done(self) -> int:
        """Segments examined or recorded so far, over all rescans."""
        found = [self._bench.progress(plan.run) for plan in self._plans]
        return sum(one.examined + one.done for one in found)

    @property
    def rescans(self) -> int:
        return len(self._plans)

    def stop(self) -> None:
        self._executor.shutdown(wait=True)
        if self._next is not None:
            self._plans.append(self._next.result())
        for plan in self._plans:
            with suppress(RunError):  # it is over
                cancel(self._bench.runs, plan.run, "prove-lanes", self._bench.client)
        self._bench.wait(self._bench.idle, "the rescan's last segments are done")


def order_for(mode: str, bench: Bench, corpus: Corpus, copies: int) -> RescanOrder:
    """Stores what a rescan of this mode works on, and says how to ask for it."""
    kind = {"text": "text", "vision": "vision"}.get(mode)
    other = slot_of(corpus.records, kind) if kind else None
    store(bench.storage, corpus.copies(mode, copies, other=other))
    return RescanOrder(
        selection=Selection(streams=corpus.streams(mode, copies)),
        policies=milder(bench.config) if mode == "policy" else None,
        full=mode == "full",
        reason=f"prove-lanes {mode}",
        by="prove-lanes",
    )


def capacity(bench: Bench, corpus: Corpus, burst: int) -> float:
    """Live segments a second when there are always some waiting."""
    bench.records([_sent(bench, one, f"warm-{i}") for i, one in enumerate(corpus.manifests[:4])])
    spread = list(islice(cycle(corpus.manifests[:: max(1, len(corpus.manifests) // burst)]), burst))
    began = time.time()
    manifests = [_sent(bench, one, f"burst-{index}") for index, one in enumerate(spread)]
    return burst / (max(one.processing.finished_at.timestamp() for one in bench.records(manifests)) - began)


def paced(bench: Bench, corpus: Corpus, name: str, first: int, count: int, rate: float, load: Load | None) -> Turn:
    """`count` live segments, `rate` a second, each queued at the moment it ends."""
    turn, sent, began = Turn(), [], time.monotonic()
    before = load.done() if load else 0
    for index in range(count):
        while (ahead_s := began + index / rate - time.monotonic()) > 0:
            time.sleep(min(ahead_s, 0.2))
            bench.pool.tend()
            if load:
                load.keep_up()
        manifest = corpus.manifests[(first + index) % len(corpus.manifests)]
        sent.append(_sent(bench, manifest, f"{name}-{index % STREAMS}", live=True))
    turn.records = list(bench.records(sent))
    turn.wall_s = time.monotonic() - began
    turn.bulk = load.done() - before if load else 0
    turn.rescans = load.rescans if load else 0
    return turn


@contextmanager
def beside(bench: Bench, mode: str, order: RescanOrder | None) -> Iterator[Load | None]:
    """A rescan that lasts as long as the block; none for the idle turn."""
    if order is None:
        yield None
        return
    load = Load(bench, mode, order)
    load.start()
    try:
        yield load
    finally:
        load.stop()


def measure(bench: Bench, corpus: Corpus, options: argparse.Namespace) -> tuple[Mapping[str, Turn], float]:
    """A turn a mode, and how long one speech window holds the model, in seconds."""
    orders: dict[str, RescanOrder | None] = {IDLE: None}
    for mode in options.modes.split(","):
        orders[mode] = order_for(mode, bench, corpus, options.copies or COPIES[mode])
    compact(bench.storage)
    rate = options.share * (carried := capacity(bench, corpus, options.burst))
    say(f"capacity {carried:.2f} segments/s; live segments come at {rate:.2f} a second; {machine()}")
    turns = {name: Turn() for name in orders}
    each = -(-options.segments // options.blocks)
    speech_s = 0.0
    for block in range(options.blocks):
        for name, order in orders.items():
            with beside(bench, name, order) as load:
                before = bench.engine().slots["speech"]
                turn = paced(bench, corpus, f"{name}-{block}", block * each, each, rate, load)
                after = bench.engine().slots["speech"]
            if load is None:
                speech_s += after.busy_s - before.busy_s
            _add(turns[name], turn)
            say(f"  block {block + 1} {name:<7} p50 {turn.latency.p50:.2f} s, p95 {turn.latency.p95:.2f} s")
    return turns, speech_s / max(1, sum(_somebody_spoke(record) for record in turns[IDLE].records))


def shortfalls(turns: Mapping[str, Turn], window_s: float) -> Iterator[str]:
    """What is not as it must be."""
    idle = turns[IDLE].latency.p95
    for name, turn in turns.items():
        if name == IDLE:
            continue
        if turn.bulk == 0:
            yield f"{name}: the rescan did not get on"
        limit = idle + window_s if name == "full" else idle * RATIO
        if turn.latency.p95 > limit:
            yield f"{name}: p95 {turn.latency.p95:.2f} s is above {limit:.2f} s"
    for name, turn in turns.items():
        if turn.unexamined:
            yield f"{name}: {turn.unexamined} live segments were not wholly examined for want of time"


def report(turns: Mapping[str, Turn], window_s: float) -> None:
    idle = turns[IDLE].latency
    say("beside    live     p50      p95   ratio of p95    added   bulk segments   a second   rescans")
    for name, turn in turns.items():
        found = turn.latency
        bulk = f"{turn.bulk:>15} {turn.bulk / turn.wall_s:>10.2f} {turn.rescans:>9}" if name != IDLE else ""
        say(
            f"{name:<8} {len(turn.records):>5} {found.p50:>6.2f} s {found.p95:>6.2f} s {found.p95 / idle.p95:>14.2f}"
            f" {found.p95 - idle.p95:>+6.2f} s {bulk}"
        )
    say("mean ms of a segment by stage (and p95); waiting is before its worker starts")
    for name, turn in turns.items():
        stages = (f"{stage} {average:.0f} ({p95:.0f})" for stage, average, p95 in _stages(turn.records))
        say(f"{name:<8} {', '.join(stages)}")
    say(f"one speech window holds its model {window_s:.2f} s; {machine()}")


def _somebody_spoke(record: Record) -> bool:
    """Silent windows end at the voice gate and cost next to nothing."""
    return record.observations.speech is not None and record.observations.speech.speech_s > 0


def _stages(records: Sequence[Record]) -> Iterator[tuple[str, float, float]]:
    """Where the time of segments goes: stage, mean and 95th percentile, in milliseconds."""
    spent: dict[str, list[float]] = {}
    for record in records:
        done = record.processing
        worked_s = (done.finished_at - done.started_at).total_seconds()
        for stage, ms in (("waiting", (done.latency_s - worked_s) * 1000), *sorted(done.stage_ms.items())):
            spent.setdefault(stage, []).append(ms)
    for stage, times_ms in spent.items():
        found = latency(times_ms)
        assert found is not None
        yield stage, mean(times_ms), found.p95


def _add(total: Turn, turn: Turn) -> None:
    total.records += turn.records
    total.bulk += turn.bulk
    total.rescans += turn.rescans
    total.wall_s += turn.wall_s


def _sent(bench: Bench, manifest: SegmentManifest, stream_id: str, *, live: bool = False) -> SegmentManifest:
    fresh = ending_now(manifest, stream_id)
    bench.publisher.send(fresh, live=live)
    return fresh


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=120, help="live segments of each turn, over all blocks")
    parser.add_argument("--blocks", type=int, default=3, help="the turns alternate so often")
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--burst", type=int, default=24, help="segments that measure the capacity")
    parser.add_argument("--share", type=float, default=0.5, help="of the capacity that live segments take")
    parser.add_argument("--copies", type=int, help="records that each rescan works on; default: enough for a block")
    parser.add_argument("--corpus", type=int, help="segments of the bundled stream; default: all")
    parser.add_argument("--concurrency", type=int, default=2)
    options = parser.parse_args(arguments)
    if unknown := set(options.modes.split(",")) - set(MODES):
        parser.error(f"no mode {sorted(unknown)[0]}; there are {', '.join(MODES)}")
    return options


def main() -> None:
    options = _options()
    with place("lanes") as directory, running(settings(directory), concurrency=options.concurrency) as bench:
        turns, window_s = measure(bench, bench.corpus(limit=options.corpus), options)
    report(turns, window_s)
    wrong = list(shortfalls(turns, window_s))
    for line in wrong:
        say(f"NOT AS IT MUST BE: {line}")
    sys.exit(3 if wrong else 0)


if __name__ == "__main__":
    main()
