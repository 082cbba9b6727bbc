"""Deep reviews: who asks for one, and what it is planned to look at.

A flagged live segment asks for the stretch of its stream around it; people and other services ask for any stretch.
The feeder plans a request when the segments it is about have their records.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import redis
from pydantic import JsonValue, ValidationError

from pipelines.manifest import one_line, segment_id_at
from pipelines.policies import read_policies
from pipelines.record import STAGES, Record, Verdict
from pipelines.strict import Identifier, Moment, Strict
from workers.config import Config
from workers.records import place_of, record_keys, tells_its_time
from workers.runs.hold import tell
from workers.runs.run import BATCH_SEGMENTS, Batch, Item, Plan, Reason, Request, new_run_id
from workers.runs.store import OPEN_PREFIX, RunError, Runs
from workers.runs.stretch import read_stretch
from workers.storage import Storage
from workers.verdicts.timeline import ends_at, is_flagged

if TYPE_CHECKING:
    from workers.classify import Bench

logger = logging.getLogger(__name__)

ASKED_AGAIN_S = 600
"""The same message of another service within this time is the same request, delivered again."""
FUSION = "fusion"
"""Who asks when a verdict does."""


class RequestError(ValueError):
    """What was asked for is no request for a review; one line that quotes no content."""


class _Asked(Strict):
    """The message of the task `liverisk.review`."""

    stream_id: Identifier
    since: Moment | None = None
    until: Moment | None = None
    reason: Reason = ""


def ask_for_review(record: Record, config: Config, storage: Storage, client: redis.Redis) -> None:
    """Asks for a deep look at what surrounds a live segment with a finding; safe to repeat, and never raises.

    A policy for which the stream was asked about within `review.cool_down_s` does not ask again.
    """
    if not config.review.auto or record.run != "live":
        return
    try:
        _ask(record, config, storage, client)
    except Exception as error:  # noqa: BLE001  # the segment's own record is safe; a review must not put it at risk
        logger.error("review not asked for stream=%s error=%s", record.stream_id, type(error).__name__)


def request_review(
    storage: Storage, stream_id: str, since: datetime | None, until: datetime | None, reason: str, by: str
) -> Request:
    """Asks for a review of the segments that start in [since, until); `RequestError` when that can be none."""
    asked = _asked({"stream_id": stream_id, "since": since, "until": until, "reason": reason})
    return _requested(storage, asked, new_run_id("review", secrets.token_hex(4)), by)


def review_asked(message: JsonValue, bench: Bench) -> Request:
    """The body of the task `liverisk.review`. Raises `RequestError` for a message that is none."""
    asked = _asked(message)
    canonical = json.dumps(asked.model_dump(mode="json"), sort_keys=True)
    name = hashlib.sha256(canonical.encode()).hexdigest()
    run = new_run_id("review", name[:8])
    earlier = bench.redis.set(f"liverisk:review-asked:{name}", run, nx=True, get=True, ex=ASKED_AGAIN_S)
    request = _requested(bench.storage, asked, earlier.decode() if isinstance(earlier, bytes) else run, "a service")
    tell(bench.redis)
    logger.info("review asked for run=%s stream=%s", request.run, request.stream_id)
    return request


def plan_review(request: Request, config: Config, storage: Storage) -> Plan | None:
    """Plans what was asked for; None while the stretch is not over or its last records may still come.

    Raises `RunError` when the stream has no records there. Safe to repeat: a plan that is there stands.
    """
    runs = Runs(storage)
    if planned := runs.find_plan(request.run):
        return planned
    waiting = request.until is not None and datetime.now(UTC) < _settled(request, config)
    if waiting and not _moved_on(request, storage):
        return None
    stretch = read_stretch(storage, request.stream_id, request.since, request.until)
    if waiting and stretch.has_hole:
        return None
    items = stretch.items()
    if not items:
        raise RunError(f"{request.run}: no records of stream {request.stream_id} in the time asked for")
    runs.put_plan(_plan(request, config, items, _put_batches(runs, request.run, items)))
    return runs.plan(request.run)


def _ask(record: Record, config: Config, storage: Storage, client: redis.Redis) -> None:
    found = [one for one in record.verdicts if one.action in ("review", "act") and is_flagged(one)]
    run = automatic_run(record)
    taken: dict[str, Verdict] = {}
    try:
        for verdict in found:
            key = f"liverisk:reviewed:{record.stream_id}:{verdict.policy}"
            if _take(client, key, run, config.review.cool_down_s):
                taken[key] = verdict
        if taken:
            _put(storage, _request(record, run, tuple(taken.values()), config))
            logger.info("review asked for run=%s stream=%s policies=%d", run, record.stream_id, len(taken))
    except Exception:
        if taken:
            client.delete(*taken)
        raise


def _request(record: Record, run: str, asking: Sequence[Verdict], config: Config) -> Request:
    return Request(
        run=run,
        stream_id=record.stream_id,
        since=record.captured_at - timedelta(seconds=config.review.before_s),
        until=ends_at(record) + timedelta(seconds=config.review.after_s),
        requested_at=datetime.now(UTC),
        by=FUSION,
        reason=", ".join(f"{one.policy} {one.action} {one.probability:.2f}" for one in asking),
        policies=tuple(one.policy for one in asking),
    )


def automatic_run(record: Record) -> str:
    """The review that this segment asks for: always the same one, however often it is delivered."""
    name = hashlib.sha256(f"{record.stream_id}/{record.segment_id}".encode()).hexdigest()
    return f"review-{record.captured_at.astimezone(UTC):%Y%m%dt%H%M%S}-{name[:8]}"


def _take(client: redis.Redis, key: str, run: str, cool_down_s: float) -> bool:
    """Starts the cool-down; False when it runs already, unless this very review started it."""
    if not cool_down_s or client.set(key, run, nx=True, px=max(1, round(cool_down_s * 1000))):
        return True
    return client.get(key) == run.encode()


def _asked(message: object) -> _Asked:
    try:
        asked = _Asked.model_validate(message)
    except ValidationError as error:
        raise RequestError(one_line(error)) from None
    if asked.since is not None and asked.until is not None and asked.since >= asked.until:
        raise RequestError("since: must lie before until")
    return asked


def _requested(storage: Storage, asked: _Asked, run: str, by: str) -> Request:
    request = Request(run=run, requested_at=datetime.now(UTC), by=by, **asked.model_dump())
    _put(storage, request)
    return request


def _put(storage: Storage, request: Request) -> None:
    """Also when it was put before: whoever did may have died before the feeder could find it."""
    runs = Runs(storage)
    if not runs.put_request(request) and runs.state(request.run) == "requested":
        storage.put(f"{OPEN_PREFIX}{request.run}", b"")


def _settled(request: Request, config: Config) -> datetime:
    """When no more records are waited for. Recordings have times of their own: fusion's requests count from asking."""
    assert request.until is not None
    last = max(request.until, request.requested_at) if request.by == FUSION else request.until
    return last + timedelta(seconds=config.review.after_s)


def _moved_on(request: Request, storage: Storage) -> bool:
    """Whether the stream has a record that starts at or after the end; ids that do not tell their time do not count."""
    assert request.until is not None
    first = segment_id_at(request.until)
    places = map(place_of, record_keys(storage, stream_id=request.stream_id, since=request.until))
    return any(place and tells_its_time(place.segment_id) and place.segment_id >= first for place in places)


def _put_batches(runs: Runs, run: str, items: Sequence[Item]) -> tuple[int, ...]:
    """Writes the batches; those that an attempt before this one left stand, and what they lack follows."""
    sizes: list[int] = []
    rest = list(items)
    while rest:
        number = len(sizes) + 1
        runs.put_batch(run, Batch(number=number, items=tuple(rest[:BATCH_SEGMENTS])))
        there = runs.batch(run, number).items
        planned = {_segment(item) for item in there}
        rest = [item for item in rest if _segment(item) not in planned]
        sizes.append(len(there))
    return tuple(sizes)


def _segment(item: Item) -> str:
    return item.source.rpartition("/")[0]


def _plan(request: Request, config: Config, items: Sequence[Item], sizes: tuple[int, ...]) -> Plan:
    bounds = {"since": request.since, "until": request.until}
    counts = {stage: sum(stage in item.stages for item in items) for stage in STAGES}
    return Plan(
        run=request.run,
        kind="review",
        lane="review",
        profile="deep",
        created_at=datetime.now(UTC),
        by=request.by,
        reason=request.reason,
        selection={"stream": request.stream_id}
        | {name: moment.isoformat() for name, moment in bounds.items() if moment is not None},
        policies=read_policies(config.policies_file),
        batches=sizes,
        stages={stage: count for stage, count in counts.items() if count},
    )
