"""How long after a segment's end its record was there, as the workers measured it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from a segment's end to its record: what half, and what 95 %, of the segments did not exceed."""

    p50: float
    p95: float


def latency(seconds: Iterable[float]) -> Latency | None:
    """None of no segments."""
    ordered = sorted(seconds)
    if not ordered:
        return None
    return Latency(p50=_reached_by(ordered, 0.5), p95=_reached_by(ordered, 0.95))


def _reached_by(ordered: list[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    return ordered[ceil(share * len(ordered)) - 1]
