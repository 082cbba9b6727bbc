"""Whether a pool under steady load stays as it is: memory, handles, threads, connections, keys and temporary files.

    python -m tests.benchmarks.prove_soak --minutes 45 --warm-up 6 --share 0.5

The pool's capacity is measured with a burst; then segments come at half of it, of streams that come and go, some with
hostile media, some that are none. Samples go to a CSV file. What the last third of the time has more than the first is
held against bars, and the proof ends with 3 where one is passed: memory of a kind of process by 5 %, handles, threads
and connections by 2, temporary files by any, keys by more than there are streams to remember.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.benchmarks.bench import Bench, conclude, machine, place, running, say, settings
from tests.benchmarks.corpus import STREAM_ID
from tests.benchmarks.prove_lanes import capacity
from tests.benchmarks.soak_load import Askers, Load
from tests.benchmarks.soak_watch import OURS, SERVERS, Course, Sample, Watch, course
from workers.broker.settings import State
from workers.config import Config
from workers.quarantine import entries
from workers.records import PREFIX, read_record
from workers.state import LANGUAGE_TTL_S

TTL_S = 120
MEMORY_SHARE, MEMORY_MB = 0.05, 2.0
"""A kind of process may grow by the greater of both."""
MORE = 2
"""Handles, threads, connections, keys."""
KEYS_MB = 1.0
A_STREAM = {"liverisk:history": (TTL_S, 1), "liverisk:language": (LANGUAGE_TTL_S, 2)}
"""Kind of key -> how long it is kept after a stream's last segment, and how many a stream has at most."""
BOUNDED = ("liverisk:stats", "liverisk:counted")
"""Single keys that hold a bounded number of entries, which a long time fills."""
UNDER_WAY = ("live", "review", "rescan", "unacked", "unacked_index", "liverisk:attempts", "liverisk:running")
WAITING = 10
"""What is under way comes and goes: more of it on the whole means that the load was no steady one."""
LASTING = ("unacked", "unacked_index", "live", "review", "rescan")
"""These, and the broker's client's own tables, have no end."""
SLACK_S = 60.0
LATE_SHARE = 0.05


class Soak:
    """One pool, its load, and what was seen of it."""

    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        self._options = options
        self._temporary = directory / "tmp"
        self._temporary.mkdir()
        os.environ["TMPDIR"] = str(self._temporary)  # for every process of the pool
        self._config = _remembering_shortly(settings(directory))

    def run(self) -> Iterator[str]:
        """Prints what is measured and yields what is not as it must be."""
        with running(self._config, concurrency=self._options.concurrency) as bench:
            corpus = bench.corpus(limit=self._options.corpus)
            rate = self._options.share * (carried := capacity(bench, corpus, self._options.burst))
            say(f"capacity {carried:.2f} segments/s; segments come at {rate:.2f} a second; {machine()}")
            met = [
                STREAM_ID,
                *(f"{name}-{index}" for name in ("warm", "burst") for index in range(self._options.burst)),
            ]
            load = Load(bench, corpus, rate, self._options.stream_s, met)
            watch = Watch(bench, self._temporary, self._options.csv, self._options.every, partial(_streams, load))
            with watch, Askers(bench, load) as askers:
                from_s = self._loaded(bench, load, askers, watch)
            yield from _came_out(bench, load, askers)
        samples = [one for one in watch.samples if one.at_s >= from_s]
        say(f"{len(samples)} looks, {watch.missed} missed; all of them: {self._options.csv}")
        yield from report(samples)
        yield from keys(samples, watch.lasting)
        yield from (f"a process of the pool is left: {one.pid}" for one in watch.left())
        left = {path for path in self._temporary.rglob("*") if path.is_file()} - (watch.begun_with or set())
        yield from (f"left in the temporary directory: {path.name}" for path in sorted(left))

    def _loaded(self, bench: Bench, load: Load, askers: Askers, watch: Watch) -> float:
        """Works for as long as was asked; the time on the watch's clock at which the pool was warm."""
        told_at = time.monotonic()

        def tick() -> None:
            nonlocal told_at
            bench.pool.tend()
            askers.keep_up()
            if time.monotonic() - told_at > 300:
                told_at = time.monotonic()
                say(f"  {watch.now_s() / 60:.0f} min: {len(load.sent)} segments, {load.poisoned} poisoned; {machine()}")

        warm_up_s, measured_s = 60.0 * self._options.warm_up, 60.0 * self._options.minutes
        from_s: float = watch.now_s() + warm_up_s
        load.run(warm_up_s + measured_s, tick)
        load.close()
        return from_s


def _remembering_shortly(config: Config) -> Config:
    """A stream is forgotten so soon that many are within the time of the proof."""
    return config.model_copy(update={"state": State(ttl_s=TTL_S)})


def _streams(load: Load) -> dict[str, float]:
    return {f"streams.{ttl_s}": float(load.streams_since(ttl_s + SLACK_S)) for ttl_s, _ in A_STREAM.values()}


def _came_out(bench: Bench, load: Load, askers: Askers) -> Iterator[str]:
    """Every segment has its record and every poison its entry."""
    bench.wait(bench.idle, "nothing is under way")
    for plan in askers.plans:
        bench.finish(plan, timeout_s=300)
    found = set(bench.storage.keys(PREFIX))
    missing = set(load.sent) - found
    put_aside = [name for name, _ in entries(bench.storage)]
    some = load.sent[:: max(1, len(load.sent) // 200)]
    late = sum(_hurried(bench, key) for key in some if key in found)
    say(
        f"{len(load.sent)} segments, {len(missing)} without a record; {load.poisoned} poisoned, {len(put_aside)} in "
        f"quarantine; {len(askers.plans)} rescans; of {len(some)} records {late} lack something for want of time"
    )
    if late > LATE_SHARE * len(some):
        yield f"the pool could not keep up: {late} of {len(some)} records lack something for want of time"
    if missing:
        yield f"{len(missing)} segments have no record, the first: {min(missing)}"
    if len(put_aside) != load.poisoned:
        yield f"{len(put_aside)} entries in quarantine, not {load.poisoned}"
    if askers.problems:
        yield f"health checks complained {len(askers.problems)} times, first: {askers.problems[0]}"


def _hurried(bench: Bench, key: str) -> bool:
    coverage = read_record(bench.storage, key).observations.coverage
    return any(seen.reason in ("deadline", "shed") for seen in coverage.values())


def report(samples: Sequence[Sample]) -> Iterator[str]:
    """A line for every value of a process; yields those that grew beyond their bar."""
    say(f"{'what':<34} {'first third':>12} {'last third':>12} {'change':>9} {'an hour':>10}")
    for kind in (*OURS, *SERVERS):
        for what in ("memory_mb", "handles", "threads", "to_store", "to_broker", "processes", "started"):
            name = f"{kind}.{what}"
            if (seen := course(samples, name)) is None or seen.most == 0:
                continue
            say(_line(name, seen))
            bar = max(MEMORY_MB, MEMORY_SHARE * seen.first) if what == "memory_mb" else MORE
            if kind in OURS and what != "started" and seen.growth > bar:
                yield f"{name} grew by {seen.growth:.1f}, more than {bar:.1f}"
            if kind in ("worker", "engine", "feeder") and what == "started" and seen.growth > 0:
                yield f"{kind}: one was replaced"


def keys(samples: Sequence[Sample], lasting: set[str]) -> Iterator[str]:
    """The same for what lies in the broker and in temporary places."""
    names = sorted({name for one in samples for name in one.values if name.startswith(("keys.", "entries.", "files"))})
    for name in names:
        if (seen := course(samples, name, otherwise=0)) is None:
            continue
        say(_line(name, seen))
        part, _, kind = name.partition(".")
        bar = KEYS_MB if kind == "memory_mb" else 0 if part == "files" else WAITING if kind in UNDER_WAY else MORE
        if kind not in A_STREAM and kind not in BOUNDED and seen.growth > bar:
            yield f"{name} grew by {seen.growth:.1f}, more than {bar:g}"
    for kind, (ttl_s, most) in A_STREAM.items():
        over = [one for one in samples if one.values.get(f"keys.{kind}", 0) > most * one.values[f"streams.{ttl_s}"]]
        if over:
            yield f"{kind}: more keys than streams that had a segment lately, in {len(over)} of {len(samples)} looks"
    for kind in sorted(lasting):
        if kind not in LASTING and not kind.startswith("_kombu.binding"):
            yield f"{kind}: keys that never expire"


def _line(name: str, seen: Course) -> str:
    share = f" ({100 * seen.growth / seen.first:+.1f} %)" if name.endswith("memory_mb") and seen.first else ""
    return f"{name:<34} {seen.first:>12.1f} {seen.last:>12.1f} {seen.growth:>+9.1f} {seen.per_hour:>+10.2f}{share}"


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=45, help="that are measured")
    parser.add_argument("--warm-up", type=float, default=6, help="minutes of the same load before them")
    parser.add_argument("--share", type=float, default=0.5, help="of the capacity that segments take")
    parser.add_argument("--every", type=float, default=10, help="seconds between two looks")
    parser.add_argument("--stream-s", type=float, default=60, help="how long a stream lasts")
    parser.add_argument("--burst", type=int, default=24, help="segments that measure the capacity")
    parser.add_argument("--corpus", type=int, help="segments of the bundled stream; default: all")
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--csv", type=Path, default=Path("build/prove-soak.csv"), help="where the samples go")
    return parser.parse_args(arguments)


def main() -> None:
    options = _options()
    with place("soak") as directory:
        wrong = list(Soak(options, directory).run())
    conclude(wrong)


if __name__ == "__main__":
    main()
