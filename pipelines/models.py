"""The two protocols between what a segment means and what runs the weights.

`Model` is one loaded checkpoint (what a task means); its session (torch, ONNX Runtime, CTranslate2) is
the other axis and lives in `pipelines.sessions`. `Models` is what a stage asks: the engine's client, the
engine itself in-process, or a fake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from pipelines.items import CheckpointRef, Item, Result
from pipelines.strict import Sha256


class Model(Protocol):
    """One checkpoint in memory. Its owner calls it from one thread at a time, or from as many as `at_a_time` says."""

    def warm_up(self) -> None:
        """Runs real shapes once, so that the first segment is not the slow one; raises when unusable."""
        ...

    def predict(self, items: Sequence[Item]) -> Sequence[Result]:
        """One result per item, in order. Raising fails the whole batch: the caller then bisects it."""
        ...


@runtime_checkable
class OverEncoder(Protocol):
    """A model that scores what an encoder makes of an item, and takes that in the item's place."""

    @property
    def encoder(self) -> Sha256:
        """The digest of everything that makes an embedding of an item."""
        ...


def at_a_time(model: Model) -> int:
    """From how many threads the model may be asked side by side, to some gain: one, unless an attribute says more."""
    return int(getattr(model, "at_a_time", 1))


class Models(Protocol):
    """The models of one segment: a fixed set of checkpoints, so that no record mixes two of one slot."""

    @property
    def checkpoints(self) -> Mapping[str, CheckpointRef]:
        """Slot to checkpoint, as taken when the segment started."""
        ...

    def ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        """One result per item, in order, `Failure` where an item could not be scored.

        Raises `DeadlinePassed` when the segment's deadline passes first.
        """
        ...


class DeadlinePassed(Exception):
    """The segment's deadline passed before the models answered."""
