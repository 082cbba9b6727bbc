"""Killing the engine in the middle of every step: it comes up with what the registry says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil

from tests.benchmarks.bench import Bench, say
from tests.benchmarks.corpus import Corpus
from tests.benchmarks.swap_load import FullLoad, failures
from tests.swapping import FORCED
from workers.config import Config
from workers.engine.wire import EngineStatus
from workers.registry import moves
from workers.registry.moves import StillMoving
from workers.registry.slots import Move, Named
from workers.registry.store import read_state

DELAYS_S = (0.0, 0.4, 1.5)
"""How long after the step the engine dies: before it has looked, while it loads, at about the switch."""
WAIT_S = 600.0


def prove_deaths(bench: Bench, corpus: Corpus, slot: str, other: str) -> Iterator[str]:
    """Prints what came up after each death and yields what differs from the registry, and lost segments."""
    steps: tuple[Callable[[Config], Move], ...] = (
        lambda config: moves.shadow(config, slot, other),
        lambda config: moves.canary(config, slot, other, 20, FORCED),
        lambda config: moves.promote(config, slot, other, FORCED),
        lambda config: moves.rollback(config, slot),
    )
    with FullLoad(bench, corpus.manifests, name="deaths") as load:
        for number, step in enumerate(steps):
            delay_s = DELAYS_S[number % len(DELAYS_S)]
            yield from _die(bench, step, slot, delay_s)
    records = load.records()
    failed = failures(bench, records)
    say(f"segments: {len(load.sent)} sent, {len(load.sent) - len(records)} lost, {len(failed)} failed")
    if failed or len(records) < len(load.sent):
        yield f"deaths: {len(load.sent) - len(records)} segments lost, {len(failed)} failed {failed[:1]}"


def _die(bench: Bench, step: Callable[[Config], Move], slot: str, delay_s: float) -> Iterator[str]:
    pid = bench.engine().pid
    move = _made(bench, step)
    time.sleep(delay_s)
    psutil.Process(pid).kill()
    took_s = bench.wait(
        lambda: _is_up(bench, pid, move.version), f"the engine is up after {move.step}", timeout_s=WAIT_S
    )
    wanted, status = read_state(bench.storage).filling(slot), bench.engine()
    assert wanted is not None
    found = (
        _named(status, "slots", slot),
        _named(status, "canary", slot),
        _named(status, "shadow", slot),
        status.shares.get(slot, 0),
    )
    right = found == (wanted.active, wanted.canary, wanted.shadow, wanted.share) and not status.problems
    say(
        f"killed {delay_s:g} s after {move.step}: up after {took_s:.1f} s "
        f"{'as' if right else 'NOT as'} the registry says"
    )
    if not right:
        yield f"killed after {move.step}: the engine has {found}, the registry says {wanted}; {status.problems}"


def _made(bench: Bench, step: Callable[[Config], Move]) -> Move:
    """The move, as soon as the one before is taken in."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            return step(bench.config)
        except StillMoving:
            if time.monotonic() > until:
                raise
            bench.pool.tend()
            time.sleep(0.5)


def _is_up(bench: Bench, before: int, version: int) -> bool:
    with suppress(Exception):
        status = bench.engine()
        return status.pid != before and status.ready and status.registry == version
    return False


def _named(status: EngineStatus, role: str, slot: str) -> Named | None:
    found = getattr(status, role).get(slot)
    return Named(id=found.checkpoint.id, digest=found.checkpoint.digest) if found else None
