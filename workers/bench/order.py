"""What a run of the benchmark is asked for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.strict import Strict
from workers.bench.corpus import Shape

Part = Literal["compare", "stages", "savings", "growth", "help"]
Name = Literal["bare", "pool", "pool-whole", "celery", "ray"]
"""`pool-whole` is the pool without its savings."""


class Order(Strict):
    """`segments` of each shape are measured in each block; they are copies of `distinct` generated ones.

    `warm_up` of the first shape come before: every child has its models then, and every cache what it keeps.
    `alone` of them are measured one after the other.

    `loads` are per cent of a contender's own throughput, for those in `loaded`. The first shape is the one that is
    measured alone and loaded.
    """

    parts: tuple[Part, ...]
    contenders: tuple[Name, ...]
    shapes: tuple[Shape, ...] = Field(min_length=1)
    segments: int
    distinct: int
    blocks: int
    warm_up: int
    alone: int
    loads: tuple[float, ...]
    loaded: tuple[Name, ...]
    loaded_segments: int
    children: int
    celery_children: int
    lanes: int
    ahead: int
    growth: tuple[int, ...]
    growth_shape: Shape
    items: int
    ray_python: str
    seed: int
    command: str
