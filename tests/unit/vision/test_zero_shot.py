from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.cards import CardError, Label
from pipelines.items import Picture, Result, Scores
from pipelines.kinds import load
from pipelines.vision.zero_shot import ZeroShotClassifier
from tests import tiny_adapters
from tests import tiny_checkpoints as tiny

PICTURE = Picture(np.zeros((8, 8, 3), dtype=np.uint8))


def classifier(sight: NDArray[np.float32], *, bias: float | None) -> ZeroShotClassifier:
    """Dice (two prompts), smoke and nothing (benign) along the axes of a space that pictures fall into as told."""
    return ZeroShotClassifier(
        labels=("dice", "smoke", "nothing"),
        benign=(False, False, True),
        owners=np.array([0, 0, 1, 2]),
        prompts=np.eye(4, dtype=np.float32),
        scale=10.0,
        bias=bias,
        prepare=lambda pictures: np.zeros((len(pictures), 3, 1, 1), dtype=np.float32),
        embed=lambda pixels: np.repeat(sight[None], len(pixels), axis=0),
        encoder="e" * 64,
    )


def scores(sight: list[float], *, bias: float | None = None) -> dict[str, float]:
    result = classifier(np.array(sight, dtype=np.float32), bias=bias).predict([PICTURE])[0]
    assert isinstance(result, Scores)
    return result.labels


def test_a_label_scores_by_its_best_prompt() -> None:
    assert scores([0.0, 0.9, 0.0, 0.1])["dice"] == scores([0.9, 0.0, 0.0, 0.1])["dice"] > 0.99


def test_two_risks_in_one_picture_do_not_take_from_one_another() -> None:
    both = scores([0.9, 0.0, 0.9, 0.1])
    assert both["dice"] > 0.99
    assert both["smoke"] > 0.99


def test_a_picture_of_nothing_scores_low_for_every_risk() -> None:
    nothing = scores([0.1, 0.1, 0.1, 0.9])
    assert max(nothing["dice"], nothing["smoke"]) < 0.01


def test_siglip_scores_each_label_by_itself() -> None:
    assert scores([0.9, 0, 0, 0.9], bias=-5.0)["dice"] == pytest.approx(1 / (1 + np.exp(-4)))


def test_clip_without_a_benign_label_is_refused(tmp_path: Path) -> None:
    tiny.clip(tmp_path)
    labels = {"dice": Label(policies=("gambling",), prompts=("dice",))}
    card = tiny.card_of("zero-shot-image-classification", ("torch",), labels=labels)
    with pytest.raises(CardError, match="label without policies"):
        load(card, tmp_path, device="cpu")


def test_a_label_without_prompts_is_refused(tmp_path: Path) -> None:
    card = tiny.card_of("zero-shot-image-classification", ("torch",), labels={"dice": Label(policies=("gambling",))})
    with pytest.raises(CardError, match=r"labels\.dice"):
        load(card, tmp_path, device="cpu")


def test_graphs_take_their_scale_from_the_weights_beside_them_or_from_the_card(tmp_path: Path) -> None:
    tiny_adapters.clip_graphs(tmp_path)
    labels = {"dice": Label(policies=("gambling",), prompts=("dice",)), "nothing": Label(prompts=("nothing",))}

    def score(**options: float) -> Result:
        card = tiny.card_of("zero-shot-image-classification", ("onnx",), labels=labels, options={**options})
        return load(card, tmp_path, device="cpu").predict([PICTURE])[0]

    stored = score()
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CardError, match="graphs need logit_scale"):
        score()
    assert score(logit_scale=1.0) != stored
    assert isinstance(stored, Scores)


def test_a_checkpoint_that_knows_no_phrases_is_refused(tmp_path: Path) -> None:
    tiny.vit(tmp_path)
    labels = {"dice": Label(policies=("gambling",), prompts=("dice",)), "nothing": Label(prompts=("nothing",))}
    card = tiny.card_of("zero-shot-image-classification", ("torch",), labels=labels)
    with pytest.raises(CardError):
        load(card, tmp_path, device="cpu")
