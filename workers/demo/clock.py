"""A stream's own clock: seconds from its first instant."""

from __future__ import annotations

from datetime import datetime

from pipelines.record import Record


def on_clock(moment: datetime, start: datetime) -> float:
    return (moment - start).total_seconds()


def extent(record: Record, start: datetime) -> tuple[float, float]:
    """When the segment begins and ends."""
    begins = on_clock(record.captured_at, start)
    return begins, begins + record.duration_s


def clock(seconds: float) -> str:
    """`mm:ss`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"
