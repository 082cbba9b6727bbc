"""Whether the pool takes the same time for each segment however many there are, and holds no more memory."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence

from workers.bench.corpus import Corpus, Shape
from workers.bench.costs import memory_mib
from workers.bench.pool import Pool
from workers.bench.report import Growth

WARM_UP = 8


def grow(
    pool: Pool, corpus: Corpus, shape: Shape, sizes: Sequence[int], tell: Callable[[str], None]
) -> Iterator[Growth]:
    """One pool, one number of segments after the other."""
    with pool.start() as running:
        running.play(corpus.copies(shape, WARM_UP, uuid.uuid4().hex[:8]), [0.0] * WARM_UP)
        for size in sizes:
            moments = running.play(corpus.copies(shape, size, uuid.uuid4().hex[:8]), [0.0] * size)
            found = Growth(
                segments=size,
                wall_s=round(max(moments), 3),
                memory_mib=round(sum(memory_mib(running.roots()).values()), 1),
            )
            tell(f"  {size} {shape} segments in {found.wall_s:.1f} s, {found.memory_mib:.0f} MiB")
            yield found
