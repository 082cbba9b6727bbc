"""Which runs are in force: those whose records stand before the live ones when somebody asks what is current.

Applying a run, and undoing it, adds one numbered object and touches no record:

    runs/applied/000001.json     {"run": "rescan-…", "action": "apply", "at": …, "by": …}
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from pipelines.manifest import one_line
from pipelines.strict import Identifier, Strict
from workers.runs.store import PREFIX, RunError, Runs
from workers.storage import Storage

APPLIED_PREFIX = f"{PREFIX}applied/"
LIVE = "live"
"""The run whose record is current where no run in force has one."""
READERS = 8


class Step(Strict):
    """One run applied or undone."""

    run: Identifier
    action: Literal["apply", "undo"]
    at: AwareDatetime
    by: str = Field(max_length=256)


def apply_run(storage: Storage, run: str, by: str) -> None:
    """Puts the run's records before all others. `RunError` unless all of it was concluded, or when it is in force."""
    runs = Runs(storage)
    plan = runs.plan(run)
    if runs.marked(run, "cancelled") is not None:
        raise RunError(f"{run} was cancelled; only a finished run can be applied")
    concluded = len(runs.receipts(run))
    if concluded < len(plan.batches):
        raise RunError(f"{run} is not finished: {concluded} of {len(plan.batches)} batches are concluded")
    while True:
        steps = history(storage)
        if run in in_force(steps):
            raise RunError(f"{run} is applied already")
        if _add(storage, steps, Step(run=run, action="apply", at=datetime.now(UTC), by=by)):
            return


def apply_once(storage: Storage, run: str, by: str) -> None:
    """Applies a run that asked for it as it finishes; nothing when it ever was applied, be it undone since."""
    if all(step.run != run for step in history(storage)):
        apply_run(storage, run, by)


def undo_run(storage: Storage, run: str, by: str) -> None:
    """What was current before is so again, wherever this run's records stood. `RunError` when it is not in force."""
    while True:
        steps = history(storage)
        if run not in in_force(steps):
            raise RunError(f"{run} is not applied; there is nothing to undo")
        if _add(storage, steps, Step(run=run, action="undo", at=datetime.now(UTC), by=by)):
            return


def applied(storage: Storage) -> tuple[str, ...]:
    """The runs in force, the one applied last first: its record of a segment is the current one."""
    return in_force(history(storage))


def in_force(steps: Sequence[Step]) -> tuple[str, ...]:
    """What these steps leave applied, latest first."""
    runs: list[str] = []
    for step in steps:
        if step.action == "apply":
            runs.insert(0, step.run)
        else:
            runs.remove(step.run)
    return tuple(runs)


def history(storage: Storage) -> tuple[Step, ...]:
    """Every step ever taken, the first one first. One listing when nothing was ever applied."""
    keys = list(storage.keys(APPLIED_PREFIX))
    if not keys:
        return ()
    with ThreadPoolExecutor(READERS) as pool:
        return tuple(pool.map(partial(_read, storage), keys))


def _add(storage: Storage, steps: Sequence[Step], step: Step) -> bool:
    """False when somebody else's step came first: what it did must be looked at before ours is taken."""
    key = f"{APPLIED_PREFIX}{len(steps) + 1:06d}.json"
    return storage.put_once(key, step.model_dump_json().encode(), content_type="application/json")


def _read(storage: Storage, key: str) -> Step:
    try:
        return Step.model_validate_json(storage.get(key))
    except ValidationError as error:
        raise RunError(f"{key}: unreadable ({one_line(error)})") from None
