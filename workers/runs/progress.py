"""Where a run stands, counted from its objects, and the three ways to move it: pause, resume, cancel."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import redis
from pydantic import AwareDatetime, ValidationError

from pipelines.strict import Strict
from workers.runs.hold import Held, hold, release, tell
from workers.runs.run import Plan, Progress
from workers.runs.store import NoSuchRun, RunError, Runs, Tally

HINT_KEY = "liverisk:run:"
HINT_TTL_S = 30
READERS = 8


class Hint(Strict):
    """What the feeder lately said of a run. Absent: it has not seen enough to tell."""

    rate_per_s: float | None = None
    eta_s: float | None = None
    detail: str = ""
    at: AwareDatetime


def progress(runs: Runs, run: str, client: redis.Redis | None) -> Progress:
    """The run's counts, which add up at every moment; `NoSuchRun` when there is none.

    `client` gives rate, ETA and what the run waits for, as the feeder says; without, or when the broker is away,
    these are left out.
    """
    state = runs.state(run)
    try:
        plan = runs.plan(run)
    except NoSuchRun:
        return _requested(runs, run)
    total, examined = _counts(runs, plan)
    hint = (_hint(client, run) if client is not None and state == "running" else None) or Hint(at=datetime.now(UTC))
    return Progress(
        run=run,
        kind=plan.kind,
        state=state,
        lane=plan.lane,
        selected=plan.selected,
        recorded=total.recorded,
        unexaminable=total.unexaminable,
        examined=examined,
        waiting=plan.selected - total.recorded - total.unexaminable - examined,
        changes=total.changes,
        created_at=plan.created_at,
        reason=plan.reason,
        rate_per_s=hint.rate_per_s,
        eta_s=hint.eta_s,
        detail=hint.detail,
    )


def put_hint(client: redis.Redis, run: str, hint: Hint) -> None:
    client.set(f"{HINT_KEY}{run}", hint.model_dump_json(), ex=HINT_TTL_S)


def pause(runs: Runs, run: str, by: str, client: redis.Redis) -> None:
    """Stops the run within a segment of every worker; `RunError` unless it was on its way."""
    _only(runs, run, "paused", {"paused", "cancelled", "finished"})
    runs.mark(run, "paused", by)
    _stop_messages(run, "paused", client)


def resume(runs: Runs, run: str, by: str, client: redis.Redis) -> None:
    """Lets a paused run go on; `RunError` when it is in any other state. `by` is for whoever keeps a log of it."""
    del by
    state = runs.state(run)
    if state in ("cancelled", "finished"):
        raise RunError(f"{run} is {state} and cannot be resumed; plan a new one")
    if state != "paused":
        raise RunError(f"{run} is not paused")
    runs.unpause(run)
    with suppress(redis.RedisError):
        release(client, run)
        tell(client)


def cancel(runs: Runs, run: str, by: str, client: redis.Redis) -> None:
    """Ends the run where it is: what it recorded stays, nothing is applied; `RunError` when it has ended."""
    _only(runs, run, "cancelled", {"cancelled", "finished"})
    runs.mark(run, "cancelled", by)
    _stop_messages(run, "cancelled", client)


def concluded_up_to(concluded: frozenset[int]) -> int:
    """The last of the batches from 1 on that are concluded without a hole."""
    number = 0
    while number + 1 in concluded:
        number += 1
    return number


def _only(runs: Runs, run: str, move: str, not_from: set[str]) -> None:
    state = runs.state(run)
    if state in not_from:
        raise RunError(f"{run} is {state} already" if state == move else f"{run} is {state} and cannot be {move}")


def _stop_messages(run: str, state: Held, client: redis.Redis) -> None:
    """At once, as far as the broker answers: workers drop the run's messages; the feeder, told, takes them back."""
    with suppress(redis.RedisError):
        hold(client, run, state)
        tell(client)


def _counts(runs: Runs, plan: Plan) -> tuple[Tally, int]:
    """What the receipts add up to, and the segments with an outcome in batches without one.

    Receipts are looked up after outcomes: a batch that is concluded meanwhile counts once, as concluded.
    """
    concluded = runs.receipts(plan.run)
    after = concluded_up_to(concluded)
    outcomes = runs.examined(plan.run, after=after) if plan.stages else {}
    concluded |= runs.receipts(plan.run, after=after)
    with ThreadPoolExecutor(READERS) as pool:
        tallies = list(pool.map(partial(runs.tally, plan.run), sorted(concluded)))
    total = Tally(
        recorded=sum(one.recorded for one in tallies),
        unexaminable=sum(one.unexaminable for one in tallies),
        changes=sum(one.changes for one in tallies),
    )
    return total, sum(count for batch, count in outcomes.items() if batch not in concluded)


def _requested(runs: Runs, run: str) -> Progress:
    request = runs.request(run)
    if request is None:
        raise NoSuchRun(f"no run {run}; `liverisk rescan status` lists them")
    state = runs.state(run)
    return Progress(
        run=run,
        kind="review",
        state=state,
        lane="review",
        selected=0,
        recorded=0,
        unexaminable=0,
        examined=0,
        waiting=0,
        changes=0,
        created_at=request.requested_at,
        reason=request.reason,
        detail="waiting: the segments it is about have yet to come" if state == "requested" else "",
    )


def _hint(client: redis.Redis, run: str) -> Hint | None:
    try:
        raw = client.get(f"{HINT_KEY}{run}")
        return Hint.model_validate_json(raw) if isinstance(raw, bytes) else None
    except (redis.RedisError, ValidationError):
        return None
