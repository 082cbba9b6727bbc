"""Promoting and rolling back under full load, round after round: what it costs, loses and leaves behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pipelines.record import Record
from tests.benchmarks.bench import Bench, say
from tests.benchmarks.corpus import Corpus
from tests.benchmarks.swap_load import FullLoad, counted, failures, finished_between, mixed, tell
from tests.swapping import FORCED
from workers.registry import moves
from workers.registry.slots import Move
from workers.verdicts.latency import latency

AROUND_S = 10.0
WAIT_S = 120.0
THROUGHPUT = 0.9
MEMORY = 1.05
SETTLED_ROUND = 2
"""By then every library has what it keeps."""


@dataclass(frozen=True, slots=True)
class Swap:
    """One move, from the call to the engine's word, in seconds of the epoch; `digest` is what serves from then on."""

    name: str
    slot: str
    digest: str
    asked: float
    taken_in: float


def prove_rounds(
    bench: Bench, corpus: Corpus, others: Mapping[str, str], *, rounds: int, pause_s: float
) -> Iterator[str]:
    """Prints what is measured and yields what is not as it must be. `others`: slot -> the checkpoint to promote."""
    swaps: list[Swap] = []
    memory: list[int] = []
    with FullLoad(bench, corpus.manifests, name="rounds") as load:
        tell(bench, max(pause_s, AROUND_S))
        for number in range(1, rounds + 1):
            for slot, other in others.items():
                swaps.append(_swap(bench, "promote", slot, partial(moves.promote, bench.config, slot, other, FORCED)))
                tell(bench, AROUND_S + pause_s)
            for slot in others:
                swaps.append(_swap(bench, "rollback", slot, partial(moves.rollback, bench.config, slot)))
                tell(bench, AROUND_S + pause_s)
            memory.append(bench.engine().rss_bytes)
            took = [f"{swap.name} {swap.slot} {swap.taken_in - swap.asked:.1f} s" for swap in swaps[-2 * len(others) :]]
            say(f"round {number}: {', '.join(took)}; engine {memory[-1] / 2**20:.0f} MiB")
    records = load.records()
    yield from _losses(bench, load, records, tuple(others))
    yield from _costs(records, swaps)
    yield from _first_records(records, swaps)
    if rounds > SETTLED_ROUND:
        growth = memory[-1] / memory[SETTLED_ROUND - 1]
        say(f"memory of the engine after round {rounds} over that after round {SETTLED_ROUND}: {growth:.3f}")
        if growth > MEMORY:
            yield f"the engine's memory grew to {growth:.3f} of what it was after round {SETTLED_ROUND}"


def _swap(bench: Bench, name: str, slot: str, make: Callable[[], Move]) -> Swap:
    asked = time.time()
    move = make()
    assert move.after is not None
    for answer in moves.await_engines(bench.config, move, WAIT_S):
        if answer.problem is not None:
            raise SystemExit(f"{name} {slot} was refused: {answer.problem}")
    return Swap(name, slot, move.after.active.digest, asked, time.time())


def _losses(bench: Bench, load: FullLoad, records: Sequence[Record], slots: Sequence[str]) -> Iterator[str]:
    failed, wrong = failures(bench, records), mixed(records, slots)
    say(
        f"segments: {len(load.sent)} sent, {len(load.sent) - len(records)} lost, {len(failed)} failed, "
        f"{len(wrong)} with two checkpoints of a slot; the lane was found empty {load.empty_looks} times"
    )
    for slot in slots:
        say(f"  {slot}: {', '.join(f'{name} {count}' for name, count in sorted(counted(records, slot).items()))}")
    for what, found in (("failed", failed), ("has two checkpoints of a slot", wrong)):
        if found:
            yield f"{len(found)} segments, the first: {found[0]} {what}"
    if len(records) < len(load.sent):
        yield f"{len(load.sent) - len(records)} segments were lost"


def _costs(records: Sequence[Record], swaps: Sequence[Swap]) -> Iterator[str]:
    """Throughput in the ten seconds around a switch against that of the ten seconds before the call, over all swaps."""
    half = AROUND_S / 2
    for name in ("promote", "rollback"):
        chosen = [swap for swap in swaps if swap.name == name]
        around = [finished_between(records, swap.taken_in - half, swap.taken_in + half) for swap in chosen]
        after = [finished_between(records, swap.asked, swap.asked + AROUND_S) for swap in chosen]
        before = [finished_between(records, swap.asked - AROUND_S, swap.asked) for swap in chosen]
        share = sum(around) / max(1, sum(before))
        say(
            f"{name}: {sum(around)} segments in the {AROUND_S:.0f} s around, {sum(before)} before: {share:.2f}; "
            f"in the {AROUND_S:.0f} s from the call on {sum(after) / max(1, sum(before)):.2f}"
        )
        if share < THROUGHPUT:
            yield f"{name}: throughput around it is {share:.2f} of before"


def _first_records(records: Sequence[Record], swaps: Sequence[Swap]) -> Iterator[str]:
    """From the command to the first record with the digest that serves now, and how long segments took across."""
    for name in ("promote", "rollback"):
        waits: list[float] = []
        for swap in (one for one in swaps if one.name == name):
            first = next((one for one in records if _has(one, swap)), None)
            if first is None:
                yield f"{name} {swap.slot}: no record has the digest that serves"
                continue
            waits.append(first.processing.finished_at.timestamp() - swap.asked)
        if found := latency(waits):
            say(f"{name} to the first record with its digest: p50 {found.p50:.2f} s, p95 {found.p95:.2f} s")
    near: list[Record] = []
    far: list[Record] = []
    for one in records:
        across = any(swap.asked <= _finished(one) < swap.taken_in + AROUND_S / 2 for swap in swaps)
        (near if across else far).append(one)
    for name, some in (("across swaps", near), ("between them", far)):
        if found := latency(_worked_s(one) for one in some):
            say(f"work on a segment {name}: p50 {found.p50:.2f} s, p95 {found.p95:.2f} s of {len(some)}")


def _has(record: Record, swap: Swap) -> bool:
    """Whether it began after the move and has the digest: one that began before may have it from an earlier round."""
    began, found = record.processing.started_at.timestamp(), record.observations.checkpoints.get(swap.slot)
    return began >= swap.asked and found is not None and found.digest == swap.digest


def _finished(record: Record) -> float:
    return record.processing.finished_at.timestamp()


def _worked_s(record: Record) -> float:
    return (record.processing.finished_at - record.processing.started_at).total_seconds()
