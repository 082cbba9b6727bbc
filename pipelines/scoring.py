"""What every kind of model owes its caller: the right items in, finite numbers or a `Failure` out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines.items import Failure, Item, Result, Scores

ItemT = TypeVar("ItemT")


class ModelUnusable(RuntimeError):
    """The checkpoint loaded, but cannot score even the warm-up items."""


def only(kind: type[ItemT], items: Sequence[Item]) -> list[ItemT]:
    """The items, all of one type; `TypeError` otherwise: a slot was asked about the wrong modality."""
    wrong = next((item for item in items if not isinstance(item, kind)), None)
    if wrong is not None:
        raise TypeError(f"this model takes {kind.__name__}, not {type(wrong).__name__}")
    return [item for item in items if isinstance(item, kind)]


def scored(labels: Sequence[str], values: NDArray[np.floating]) -> Scores | Failure:
    """One item's native scores by label; a value that is no number is a failure, never a low score."""
    if not np.isfinite(values).all():
        return Failure(error="NonFiniteScore")
    return Scores(labels={label: float(value) for label, value in zip(labels, values, strict=True)})


def table(values: NDArray[np.float32], items: int, columns: int) -> NDArray[np.float32]:
    """A classifier's output as it must be, items x columns; `ModelUnusable` otherwise.

    NumPy would spread a column too few over all labels, and the last ones of too many would go unseen.
    """
    if values.shape != (items, columns):
        shape = " x ".join(map(str, values.shape))
        raise ModelUnusable(f"the model gives {shape} numbers, not {items} x {columns} (items x labels)")
    return values


def rehearse(predict: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item]) -> None:
    """For `warm_up`: one item, then all of them at once if there are more, so that both shapes have been run.

    `ModelUnusable` in one line when the model raises, leaves items out or has no finite scores for one.
    """
    for batch in (items[:1], items) if len(items) > 1 else (items,):
        try:
            results = predict(batch)
        except ModelUnusable:
            raise
        except Exception as error:
            raise ModelUnusable(f"warm-up of {len(batch)} items failed: {type(error).__name__}") from error
        if len(results) != len(batch):
            raise ModelUnusable(f"warm-up failed: {len(results)} results for {len(batch)} items")
        prove(results)


def prove(results: Sequence[Result]) -> None:
    """For `warm_up`: raises `ModelUnusable` when an item that nothing is wrong with could not be scored."""
    failure = next((result for result in results if isinstance(result, Failure)), None)
    if failure is not None:
        raise ModelUnusable(f"warm-up failed: {failure.error}")


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Over the last axis; not-a-number stays not-a-number."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Without overflow for large negative logits."""
    half = 0.5 * logits.astype(np.float64)
    return np.asarray(0.5 * (1 + np.tanh(half)))
