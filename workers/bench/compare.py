"""Contenders one after the other, in blocks of changing order, each started anew in each block."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from workers.bench.contender import Contender, Running
from workers.bench.corpus import Corpus, Shape
from workers.bench.costs import cpu_s, memory_mib
from workers.bench.order import Order
from workers.bench.report import WHOLE, Burst, Load, Measured

JITTER = 0.5
"""A segment comes so much of the mean distance earlier or later: streams start when they like."""


def compare(
    contenders: Sequence[Contender], corpus: Corpus, order: Order, tell: Callable[[str], None]
) -> Iterator[Measured]:
    """What each contender did in each block. Only one of them exists at a time."""
    for block in range(order.blocks):
        turn = block % len(contenders)
        for contender in (*contenders[turn:], *contenders[:turn]):
            tell(f"block {block + 1} of {order.blocks}: {contender.name}")
            yield _measured(contender, block, corpus, order, tell)


def _measured(contender: Contender, block: int, corpus: Corpus, order: Order, tell: Callable[[str], None]) -> Measured:
    loaded = {WHOLE if name == "pool-whole" else name for name in order.loaded}
    loads: tuple[Load, ...]
    began = time.monotonic()
    with contender.start() as running:
        ready_s = time.monotonic() - began
        first_s = ready_s + _burst(running, corpus, order.shapes[0], 1).wall_s
        if order.warm_up:
            _burst(running, corpus, order.shapes[0], order.warm_up)
        alone_s = tuple(_burst(running, corpus, order.shapes[0], 1).wall_s for _ in range(order.alone))
        bursts = {}
        for shape in order.shapes:
            bursts[shape] = _burst(running, corpus, shape, order.segments)
            tell(f"  {shape}: {order.segments} segments in {bursts[shape].wall_s:.1f} s")
        memory = memory_mib(running.roots())
        loads = ()
        if contender.name in loaded:
            loads = tuple(_loads(running, corpus, bursts[order.shapes[0]], order, block))
    return Measured(
        contender=contender.name,
        block=block,
        ready_s=round(ready_s, 2),
        first_s=round(first_s, 2),
        alone_s=alone_s,
        bursts=bursts,
        loads=loads,
        part_memory_mib={name: round(held, 1) for name, held in memory.items()},
    )


def _burst(running: Running, corpus: Corpus, shape: Shape, count: int) -> Burst:
    segments = corpus.copies(shape, count, uuid.uuid4().hex[:8])
    before = cpu_s(running.roots())
    moments = running.play(segments, [0.0] * count)
    spent = {name: round(now - before.get(name, 0.0), 3) for name, now in cpu_s(running.roots()).items()}
    return Burst(segments=count, wall_s=round(max(moments), 4), part_cpu_s=spent)


def _loads(running: Running, corpus: Corpus, burst: Burst, order: Order, block: int) -> Iterator[Load]:
    """Of the first shape, at shares of what the burst has shown to be possible."""
    count = order.loaded_segments
    for share in (load / 100 for load in order.loads if count):
        at_s = arrivals(count, burst.wall_s / burst.segments / share, (order.seed, block, round(share * 100)))
        moments = running.play(corpus.copies(order.shapes[0], count, uuid.uuid4().hex[:8]), at_s)
        yield Load(
            share=share, latency_s=tuple(round(end - start, 3) for end, start in zip(moments, at_s, strict=True))
        )


def arrivals(count: int, every_s: float, seed: Sequence[int]) -> list[float]:
    """Moments in order: evenly spread, each a little off."""
    off = np.random.default_rng(seed).uniform(-JITTER, JITTER, count)
    return sorted(max(0.0, (index + float(by)) * every_s) for index, by in enumerate(off))
