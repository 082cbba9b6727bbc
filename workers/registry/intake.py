"""What engines say of the registry they serve, and how they are told of a move: through the broker's store.

Neither is needed for an engine to come right: it looks at the registry by itself. A nudge saves the wait, a report lets
whoever moved see what became of it. Both are lost without harm.
"""

from __future__ import annotations

import redis
from pydantic import ValidationError

from pipelines.strict import Strict
from workers.registry.slots import Named

CHANNEL = "liverisk:registry"
_KEY = "liverisk:registry:engine:"
TTL_S = 10


class Intake(Strict):
    """How far one engine is. `version` of the registry is taken in, as far as `problems` (slot -> why not) let it.

    `version` None: it is still starting. `doing` is what it is at just now, or what keeps it from looking. `follows` is
    the bucket whose registry it serves. `free_bytes` can be had for a further checkpoint, those counted that are only
    kept for going back; over a base that it `holds`, by the sha256 of its files, a checkpoint takes little.
    """

    engine: str
    pid: int
    follows: str = ""
    version: int | None = None
    doing: str = ""
    serving: dict[str, Named] = {}
    problems: dict[str, str] = {}
    free_bytes: int | None = None
    holds: tuple[str, ...] = ()


def report(client: redis.Redis, intake: Intake) -> None:
    """Kept for a while: who says nothing any more has ended."""
    client.set(f"{_KEY}{intake.engine}", intake.model_dump_json(), ex=TTL_S)


def forget(client: redis.Redis, engine: str) -> None:
    """It ends in order: nobody need wait for it until its word runs out."""
    client.delete(f"{_KEY}{engine}")


def reports(client: redis.Redis) -> tuple[Intake, ...]:
    """What every engine lately said, in the order of their names; of another version's words nothing."""
    keys = sorted(client.scan_iter(match=f"{_KEY}*", count=1000))
    return tuple(one for one in map(_parsed, (client.get(key) for key in keys)) if one is not None)


def nudge(client: redis.Redis) -> None:
    """Has every engine that listens look at the registry now."""
    client.publish(CHANNEL, b"")


def _parsed(raw: object) -> Intake | None:
    try:
        return Intake.model_validate_json(raw) if isinstance(raw, bytes) else None
    except ValidationError:
        return None
