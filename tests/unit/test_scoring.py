"""What every kind owes its caller, with models that are plain functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.items import Failure, Item, Line, Result, Scores
from pipelines.scoring import ModelUnusable, rehearse, softmax
from pipelines.vision.classification import ImageClassifier

LINES = (Line("one"), Line("two"), Line("three"))
GOOD = Scores(labels={"risky": 0.5})


def picture_model(run: Callable[[int], NDArray[np.float32]]) -> ImageClassifier:
    return ImageClassifier(
        labels=("benign", "risky"),
        prepare=lambda pictures: np.zeros((len(pictures), 3, 1, 1), np.float32),
        run=lambda pixels: run(len(pixels)),
        activate=softmax,
    )


def test_a_rehearsal_asks_for_one_item_and_for_all() -> None:
    asked: list[int] = []

    def predict(items: Sequence[Item]) -> Sequence[Result]:
        asked.append(len(items))
        return [GOOD] * len(items)

    rehearse(predict, LINES)
    assert asked == [1, 3]


@pytest.mark.parametrize(
    ("results", "problem"),
    [
        ([], "0 results for 1 items"),
        ([GOOD, GOOD], "2 results for 1 items"),
        ([Failure(error="NonFiniteScore")], "NonFiniteScore"),
    ],
)
def test_a_rehearsal_that_goes_wrong_is_one_line(results: list[Result], problem: str) -> None:
    with pytest.raises(ModelUnusable, match=problem):
        rehearse(lambda items: results, LINES)


def test_a_model_that_raises_on_warm_up_is_one_line_without_its_message() -> None:
    def predict(items: Sequence[Item]) -> Sequence[Result]:
        raise RuntimeError("several\nlines")

    with pytest.raises(ModelUnusable, match=r"^warm-up of 1 items failed: RuntimeError$"):
        rehearse(predict, LINES)


def test_a_good_model_warms_up() -> None:
    picture_model(lambda count: np.zeros((count, 2), np.float32)).warm_up()


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        (lambda count: np.zeros((count, 3), np.float32), "1 x 3 numbers, not 1 x 2"),
        (lambda count: np.zeros((count, 1), np.float32), "1 x 1 numbers, not 1 x 2"),
        (lambda count: np.zeros((1, 2), np.float32), "1 x 2 numbers, not 8 x 2"),
        (lambda count: np.zeros((count, 2, 4), np.float32), "1 x 2 x 4 numbers"),
        (lambda count: np.full((count, 2), np.nan, np.float32), "NonFiniteScore"),
    ],
    ids=["a label too many", "a label too few", "one item only", "one axis too many", "no numbers"],
)
def test_outputs_of_the_wrong_shape_do_not_pass_the_warm_up(
    run: Callable[[int], NDArray[np.float32]], problem: str
) -> None:
    with pytest.raises(ModelUnusable, match=problem):
        picture_model(run).warm_up()
