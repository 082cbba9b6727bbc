"""The pool's last segments, kept in the broker's store for `liverisk status`: coverage and latency, no content.

A hint, not a promise: what was concluded stands in the records. Bounded in number and forgotten in an hour.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import redis
from pydantic import AwareDatetime, ValidationError

from pipelines.record import Record
from pipelines.strict import Strict
from workers.verdicts.latency import Latency, latency
from workers.verdicts.timeline import is_flagged, lacking

KEY = "liverisk:stats:recent"
KEPT = 1000
TTL_S = 3600
WINDOW_S = 300
"""A summary speaks of the last five minutes."""


class Done(Strict):
    """One finished segment. `lacking` is modality -> reason, for what was there and not wholly examined."""

    at: AwareDatetime
    run: str
    latency_s: float
    flagged: bool
    lacking: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Summary:
    """Segments finished within the window; latency is of `live` ones, 0 where the sender's clock is ahead."""

    window_s: int
    segments: int
    flagged: int
    whole: int
    latency_s: Latency | None
    lacking: dict[str, int]


def note_done(client: redis.Redis, record: Record) -> None:
    """Remembers that this record was written. May raise `redis.RedisError`, which fails no segment."""
    done = Done(
        at=record.processing.finished_at,
        run=record.run,
        latency_s=record.processing.latency_s,
        flagged=any(map(is_flagged, record.verdicts)),
        lacking=dict(lacking(record)),
    )
    with client.pipeline() as pipe:
        pipe.lpush(KEY, done.model_dump_json())
        pipe.ltrim(KEY, 0, KEPT - 1)
        pipe.expire(KEY, TTL_S)
        pipe.execute()


def summary(client: redis.Redis, *, now: datetime | None = None) -> Summary | None:
    """The last minutes, or None when nothing was noted in them."""
    since = (now or datetime.now(UTC)) - timedelta(seconds=WINDOW_S)
    stored = client.lrange(KEY, 0, -1)
    assert isinstance(stored, list)
    done = [one for one in map(_parsed, stored) if one is not None and one.at >= since]
    if not done:
        return None
    return Summary(
        window_s=WINDOW_S,
        segments=len(done),
        flagged=sum(one.flagged for one in done),
        whole=sum(not one.lacking for one in done),
        latency_s=latency(max(0.0, one.latency_s) for one in done if one.run == "live"),
        lacking=dict(Counter(f"{name} {reason}" for one in done for name, reason in one.lacking.items()).most_common()),
    )


def _parsed(raw: bytes | str) -> Done | None:
    """None for what another version wrote."""
    try:
        return Done.model_validate_json(raw)
    except ValidationError:
        return None
