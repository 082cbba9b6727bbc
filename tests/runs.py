"""Runs for tests: planned over stored records, and worked off message by message without a pool."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import redis

from pipelines.policies import Policies, read_policies
from pipelines.record import Record
from pipelines.reexamine import Stage
from workers.classify import Bench
from workers.lanes import CONCLUDE, REEXAMINE, Lane
from workers.records import key_of
from workers.runs.conclude import conclude
from workers.runs.feeder import Feeder
from workers.runs.reexamination import reexamine_segment
from workers.runs.run import Batch, Item, Kind, Plan
from workers.runs.store import Runs


def stricter() -> Policies:
    """The shipped policies with every threshold of `scam` halved, so that more is flagged."""
    shipped = read_policies()
    scam = shipped.policies["scam"]
    levels = {name: round(value / 2, 3) for name, value in scam.thresholds.model_dump().items()}
    changed = scam.model_copy(
        update={
            "thresholds": scam.thresholds.model_copy(update=levels),
            "persistence": scam.persistence.model_copy(update={"hysteresis": 0.05}),
        }
    )
    return Policies.model_validate({**shipped.model_dump(), "policies": {**shipped.policies, "scam": changed}})


def planned(
    runs: Runs,
    records: Sequence[Record],
    *,
    run: str = "rescan-a",
    stages: Collection[Stage] = (),
    batch_size: int = 60,
    policies: Policies | None = None,
    checkpoints: dict[str, str] | None = None,
    lane: Lane = "rescan",
    kind: Kind = "rescan",
) -> Plan:
    """Plans a run over these records, which come in order of stream and time; each runs the same stages."""
    items = [Item(source=key_of(record), stages=tuple(stages)) for record in records]
    parts = [items[start : start + batch_size] for start in range(0, len(items), batch_size)]
    for number, part in enumerate(parts, start=1):
        runs.put_batch(run, Batch(number=number, items=tuple(part)))
    plan = Plan(
        schema="liverisk.plan",
        run=run,
        kind=kind,
        lane=lane,
        profile="live" if kind == "rescan" else "deep",
        created_at=datetime.now(UTC),
        by="tester",
        policies=policies or stricter(),
        checkpoints=checkpoints or {},
        batches=tuple(map(len, parts)),
        stages=dict.fromkeys(stages, len(items)),
    )
    runs.put_plan(plan)
    return plan


def take(client: redis.Redis, lane: Lane = "rescan") -> tuple[str, list[object]] | None:
    """The oldest message of the lane, task and arguments, which is gone from it then."""
    raw = client.rpop(lane)
    if not isinstance(raw, bytes):
        return None
    message = json.loads(raw)
    return message["headers"]["task"], json.loads(base64.b64decode(message["body"]))[0]


def work(bench: Bench, runs: Runs, lane: Lane = "rescan", *, at_most: int = 1000) -> int:
    """Does what the lane's messages ask for, as one worker child would; how many there were."""
    done = 0
    while done < at_most and (found := take(bench.redis, lane)) is not None:
        task, arguments = found
        if task == REEXAMINE:
            run, batch, index = arguments
            reexamine_segment(str(run), int(str(batch)), int(str(index)), bench, runs)
        else:
            assert task == CONCLUDE
            conclude(str(arguments[0]), int(str(arguments[1])), bench, runs)
        done += 1
    return done


def work_off(feeder: Feeder, bench: Bench, runs: Runs, lane: Lane = "rescan") -> None:
    """Feeds and works in turn until no run is open."""
    for _ in range(200):
        if feeder.tick() == 0:
            return
        work(bench, runs, lane)
    raise AssertionError("runs are still open")
