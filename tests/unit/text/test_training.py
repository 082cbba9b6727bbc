from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from numpy.typing import NDArray

from pipelines.cards import CARDS_DIRECTORY, read_card
from pipelines.policies import POLICY_IDS
from pipelines.text.encoder import Embedder
from pipelines.text.training.datasets import DataError, Example, read_examples, read_held_out
from pipelines.text.training.evaluate import Share, evaluate, probabilities
from pipelines.text.training.fit import FitError, Fitted, fit
from pipelines.text.training.report import tables, write_card
from pipelines.text.training.vectors import VectorCache
from tests import tiny_checkpoints as tiny
from workers.cli.main import cli

ROWS = 30


def separable() -> tuple[tuple[Example, ...], NDArray[np.float32]]:
    """Each policy along its own axis, ordinary lines near the origin; every fifth line held out."""
    rng = np.random.default_rng(3)
    examples, vectors = [], []
    for column, policy in enumerate((*POLICY_IDS, None)):
        for row in range(ROWS):
            vector = rng.normal(0, 0.2, 16)
            if policy:
                vector[column] += 2
            vectors.append(vector)
            known = {name: name == policy for name in POLICY_IDS}
            split = "held-out" if row % 5 == 0 else "train"
            examples.append(Example(f"{policy} {row}", f"{policy} {row}", known, "phrases", "zh", split))  # type: ignore[arg-type]  # a literal
    return tuple(examples), np.array(vectors, dtype=np.float32)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit(*separable())


def test_what_can_be_told_apart_is_told_apart(fitted: Fitted) -> None:
    examples, vectors = separable()
    evaluation = evaluate(fitted, examples, vectors)
    assert all(figures.average_precision > 0.95 for figures in evaluation.policies)
    assert evaluation.languages[0].false_alarms.value < 0.2


def test_the_training_examples_alone_give_the_same_head_again(fitted: Fitted) -> None:
    examples, vectors = separable()
    train = [at for at, example in enumerate(examples) if example.split == "train"]
    alone = fit([examples[at] for at in train], vectors[train])
    assert (alone.head.weight == fitted.head.weight).all()
    assert alone.calibrations == fitted.calibrations


def test_a_policy_that_nobody_knows_anything_about_is_named() -> None:
    examples, vectors = separable()
    blind = [replace(each, known={k: v for k, v in each.known.items() if k != "weapons"}) for each in examples]
    with pytest.raises(FitError, match="weapons: too few negative examples"):
        fit(blind, vectors)


def test_unknown_labels_are_not_judged(fitted: Fitted) -> None:
    examples, vectors = separable()
    half = [replace(each, known={"scam": each.known["scam"]}) if "5" in each.text else each for each in examples]
    figures = {each.policy: each.examples for each in evaluate(fitted, half, vectors).policies}
    assert figures["scam"] > figures["drugs"]


def test_probabilities_rise_with_the_score(fitted: Fitted) -> None:
    along = np.zeros((3, 16), np.float32)
    along[:, 0] = [0, 1, 2]
    found = probabilities(fitted, along)[POLICY_IDS[0]]
    assert found[0] < found[1] < found[2]


def test_the_card_gets_calibrations_figures_and_keeps_its_text(fitted: Fitted, tmp_path: Path) -> None:
    examples, vectors = separable()
    evaluation = evaluate(fitted, examples, vectors)
    card = read_card(CARDS_DIRECTORY / "e5-small-risk")
    target = tmp_path / card.id
    target.mkdir()
    write_card(card, fitted, evaluation, "some", target)
    written = read_card(target)
    assert {label: entry.calibration for label, entry in written.fields.labels.items()} == fitted.calibrations
    assert written.fields.sources == card.fields.sources
    assert tables(evaluation) in written.body
    assert written.body.count("## ") == card.body.count("## ")
    write_card(written, fitted, evaluation, "some", target)
    assert read_card(target).body == written.body
    assert yaml.safe_dump(written.metadata["model-index"])


def test_vectors_are_computed_once(tmp_path: Path) -> None:
    tiny.embedding_head(tmp_path)
    embedder = Embedder(tmp_path, device="cpu")
    progress: list[int] = []
    first = VectorCache(tmp_path / "vectors", embedder).embed(["a", "b", "a"], lambda done, of: progress.append(of))
    again = VectorCache(tmp_path / "vectors", embedder).embed(["b", "a"], lambda done, of: progress.append(of))
    assert (first[[1, 0]] == again).all()
    assert progress == [2, 2, 0]


def test_missing_data_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no cold_train\.csv, cold_dev\.csv") as caught:
        read_examples(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_bad_held_out_line_is_named_by_number(tmp_path: Path) -> None:
    path = tmp_path / "heldout.jsonl"
    path.write_text('{"text": "hi", "language": "en", "policies": []}\n{"text": 3}\n')
    with pytest.raises(DataError, match="line 2: KeyError"):
        read_held_out(path)


def test_the_command_without_data_ends_with_two_and_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["models", "train", "text.risk", "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert result.output.startswith("liverisk: training data missing")
    assert result.output.count("\n") == 1


def test_the_command_refuses_a_slot_that_it_cannot_train(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["models", "train", "speech", "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "whisper-base is not trained here" in result.output


def test_a_share_of_few_has_a_wide_interval() -> None:
    assert list(Share(3, 4).interval) == pytest.approx([0.30, 0.95], abs=0.01)


def test_the_data_sets_map_as_the_card_says(shared_data: Path) -> None:
    examples = read_examples(shared_data / "text")
    by_source = {name: [e for e in examples if e.source == name] for name in {e.source for e in examples}}
    assert {e.split for e in by_source["COLD dev"]} == {"held-out"}
    assert {e.split for e in by_source["COLD train"]} == {"train"}
    assert all("drugs" not in e.known for e in by_source["Moderation half"])
    assert any("harassment" not in e.known for e in by_source["Davidson"])
