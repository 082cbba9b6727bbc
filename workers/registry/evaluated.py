"""What was found when a checkpoint was held against the active one of its slot: stored, and asked for before it serves.

registry/evaluations/<slot>/<digest>-<id>/<digest>-<id>.json  the last evaluation of the first against the second
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from pipelines.comparison.evaluation import Evaluation
from pipelines.items import CheckpointRef
from pipelines.manifest import one_line
from pipelines.strict import Strict
from workers.registry.slots import Named
from workers.registry.store import RegistryError
from workers.storage import ObjectMissing, Storage

PREFIX = "registry/evaluations/"


class Evaluated(Strict):
    """One evaluation, when it was made and by whom. Its examples are left out: they may quote what people wrote.

    `tolerance` is how much worse was taken, in words.
    """

    schema_id: Literal["liverisk.evaluated"] = Field(default="liverisk.evaluated", alias="schema")
    version: Literal[1] = 1
    at: AwareDatetime
    by: str = Field(max_length=256)
    tolerance: str
    evaluation: Evaluation

    def __str__(self) -> str:
        found = self.evaluation
        outcome = f"regressed ({len(found.regressions)})" if found.regressions else "passed"
        forced = f", taken all the same: {found.forced}" if found.forced else ""
        return (
            f"{found.checkpoint.id} held against {found.against.id} at {self.at:%F %R}Z by {self.by} "
            f"on {found.comparison.source} (tolerance {self.tolerance}): {outcome}{forced}"
        )


def keep(storage: Storage, evaluation: Evaluation, by: str, tolerance: str) -> Evaluated:
    """Stores the evaluation in the place of an earlier one of the same two. Raises `StorageError`."""
    bare = tuple(one.model_copy(update={"exemplars": ()}) for one in evaluation.comparison.policies)
    comparison = evaluation.comparison.model_copy(update={"policies": bare})
    kept = Evaluated(
        schema="liverisk.evaluated",
        at=datetime.now(UTC),
        by=by[:256],
        tolerance=tolerance,
        evaluation=evaluation.model_copy(update={"comparison": comparison}),
    )
    key = _key(evaluation.slot, evaluation.checkpoint, evaluation.against)
    storage.put(key, kept.model_dump_json(by_alias=True).encode(), content_type="application/json")
    return kept


def evaluated(storage: Storage, slot: str, new: Named, against: Named) -> Evaluated | None:
    """The last evaluation of these two, if there is one. Raises `RegistryError`, `StorageError`."""
    key = _key(slot, new, against)
    try:
        return Evaluated.model_validate_json(storage.get(key))
    except ObjectMissing:
        return None
    except ValidationError as error:
        raise RegistryError(f"{key}: unreadable ({one_line(error)}); evaluate it again") from None


def objections(found: Evaluated | None, slot: str, new: Named, against: Named) -> tuple[str, ...]:
    """Why the checkpoint must not serve by what was found of it, a line each."""
    if found is None:
        return (
            f"{new.id}: was never held against {against.id}, which serves; "
            f"`liverisk models eval {new.id} --slot {slot} --data FILE` does that",
        )
    if found.evaluation.passed:
        return ()
    return tuple(f"{new.id} against {against.id}: {line}" for line in found.evaluation.regressions)


def _key(slot: str, new: Named | CheckpointRef, against: Named | CheckpointRef) -> str:
    return f"{PREFIX}{slot}/{new.digest}-{new.id}/{against.digest}-{against.id}.json"
