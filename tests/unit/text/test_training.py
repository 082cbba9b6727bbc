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
from pipelines.text.training.crossvalidate import CategoryFigures, CrossValidated
from pipelines.text.training.datasets import (
    DataError,
    Example,
    Split,
    read_examples,
    read_held_out,
    without_leaks,
)
from pipelines.text.training.evaluate import Share, bins_of, calibration_error, evaluate, probabilities
from pipelines.text.training.fit import FitError, Fitted, fit
from pipelines.text.training.lines import lines_of
from pipelines.text.training.reliability import draw
from pipelines.text.training.report import Report, tables, write_card
from pipelines.text.training.vectors import VectorCache
from pipelines.text.training.views import with_views
from tests import tiny_checkpoints as tiny
from workers.cli.main import cli

ROWS = 48
SPLITS: tuple[Split, ...] = ("train", "train", "train", "tune", "calibrate", "held-out")


def separable() -> tuple[tuple[Example, ...], NDArray[np.float32]]:
    """Each policy along its own axis, ordinary lines near the origin, and some of every split."""
    rng = np.random.default_rng(3)
    examples, vectors = [], []
    for column, policy in enumerate((*POLICY_IDS, None)):
        for row in range(ROWS):
            vector = rng.normal(0, 0.2, 16)
            if policy:
                vector[column] += 2
            vectors.append(vector)
            known = {name: name == policy for name in POLICY_IDS}
            text = f"{policy} {row}"
            examples.append(Example(text, text, known, "phrases", "zh", SPLITS[row % len(SPLITS)]))
    return tuple(examples), np.array(vectors, dtype=np.float32)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit(*separable())


def report_of(fitted: Fitted) -> Report:
    evaluation = evaluate(fitted, *separable())
    return Report(evaluation, evaluation, (), "some")


def test_what_can_be_told_apart_is_told_apart(fitted: Fitted) -> None:
    examples, vectors = separable()
    evaluation = evaluate(fitted, examples, vectors)
    assert all(figures.average_precision > 0.95 for figures in evaluation.policies)
    assert evaluation.languages[0].false_alarms.value < 0.2


def test_held_out_examples_change_nothing_of_the_head(fitted: Fitted) -> None:
    examples, vectors = separable()
    others = [at for at, example in enumerate(examples) if example.split != "held-out"]
    alone = fit([examples[at] for at in others], vectors[others])
    assert (alone.head.weight == fitted.head.weight).all()
    assert alone.labels == fitted.labels


def test_a_policy_that_nobody_knows_anything_about_is_named() -> None:
    examples, vectors = separable()
    blind = [replace(each, known={k: v for k, v in each.known.items() if k != "weapons"}) for each in examples]
    with pytest.raises(FitError, match="weapons: too few positive examples to train on"):
        fit(blind, vectors)


def test_unknown_and_assumed_labels_are_not_judged(fitted: Fitted) -> None:
    examples, vectors = separable()
    half = [replace(each, known={"scam": each.known["scam"]}) if "5" in each.text else each for each in examples]
    figures = {each.policy: each.examples for each in evaluate(fitted, half, vectors).policies}
    assert figures["scam"] > figures["drugs"]
    assumed = [replace(each, assumed=frozenset({"drugs"})) if "5" in each.text else each for each in examples]
    again = {each.policy: each.examples for each in evaluate(fitted, assumed, vectors).policies}
    assert again["drugs"] == figures["drugs"]


def test_probabilities_rise_with_the_score(fitted: Fitted) -> None:
    examples, _ = separable()
    along = np.zeros((3, 16), np.float32)
    along[:, 0] = [0, 1, 2]
    lines = lines_of(fitted.head, [replace(each, split="held-out") for each in examples[:3]], along, "held-out")
    found = probabilities(fitted, lines)[POLICY_IDS[0]]
    assert found[0] < found[1] < found[2]


def test_of_two_views_of_a_line_the_higher_score_counts(fitted: Fitted) -> None:
    examples, _ = separable()
    written = replace(examples[0], split="held-out")
    view = replace(written, text="unmasked", written=written.text)
    vectors = np.zeros((2, 16), np.float32)
    vectors[1, 0] = 2
    lines = lines_of(fitted.head, [written, view], vectors, "held-out")
    assert lines.examples == (written,)
    both = 1 / (1 + np.exp(-fitted.head.meant(vectors)[:, 0]))
    assert lines.scores[0, 0] == pytest.approx(both.max())


def test_a_language_with_enough_examples_is_calibrated_apart() -> None:
    examples, vectors = separable()
    wide = [replace(each, split="calibrate") if each.split == "tune" else each for each in examples]
    label = fit(wide, vectors).labels["scam"]
    assert set(label.by_language) == {"en"}  # what the words of the test read as
    assert label.calibration_for("en") == label.by_language["en"]
    assert label.calibration_for("fr") == label.calibration_for(None) == label.calibration


def test_a_second_view_is_added_where_it_differs() -> None:
    line = Example("s e n d", "g", {}, "phrases", "en", "train")
    other = replace(line, source="COLD train")
    found = with_views([line, other, replace(other, split="held-out")], lambda text: text.replace(" ", ""))
    assert [(each.text, each.written, each.source) for each in found] == [
        ("s e n d", "", "phrases"),
        ("send", "s e n d", "phrases"),
        ("s e n d", "", "COLD train"),
        ("s e n d", "", "COLD train"),
        ("send", "s e n d", "COLD train"),
    ]


def test_nothing_is_learned_that_reads_like_a_held_out_line() -> None:
    held_out = Example("Hello  there", "a", {}, "chat", "en", "held-out")
    same, other = replace(held_out, text="hello there", split="train"), replace(held_out, text="hello", split="train")
    assert without_leaks([same, held_out, other]) == (held_out, other)


def test_pairs_are_judged_by_which_line_is_higher(fitted: Fitted) -> None:
    known = dict.fromkeys(POLICY_IDS, False)
    lines = [
        Example("one", "pair 1", {**known, "hate": True}, "hate pairs", "en", "held-out"),
        Example("two", "pair 1", known, "hate pairs", "en", "held-out"),
    ]
    vectors = np.zeros((2, 16), np.float32)
    vectors[0, POLICY_IDS.index("hate")] = 2
    examples, others = separable()
    (pairs,) = evaluate(fitted, [*examples, *lines], np.concatenate([others, vectors])).pairs
    assert (pairs.ordered.hits, pairs.recall.hits, pairs.false_alarms.hits) == (1, 1, 0)
    assert len(evaluate(fitted, examples, others).languages) == 1


def test_calibration_error_is_the_distance_of_said_and_seen() -> None:
    values = np.array([0.95, 0.95, 0.05, 0.05])
    assert calibration_error(bins_of(np.array([True, True, False, False]), values)) == pytest.approx(0.05)
    assert calibration_error(bins_of(np.array([False, True, False, False]), values)) == pytest.approx(0.25)


def test_the_card_gets_labels_figures_and_keeps_its_text(fitted: Fitted, tmp_path: Path) -> None:
    card = read_card(CARDS_DIRECTORY / "e5-small-risk")
    target = tmp_path / card.id
    target.mkdir()
    report = report_of(fitted)
    write_card(card, fitted, report, target)
    written = read_card(target)
    assert written.fields.labels == fitted.labels
    assert written.fields.sources == card.fields.sources
    assert written.fields.artefacts == ("head.safetensors",)
    assert tables(report) in written.body
    assert written.body.count("\n## ") == card.body.count("\n## ")
    write_card(written, fitted, report, target)
    assert read_card(target).body == written.body
    assert yaml.safe_dump(written.metadata["model-index"])


def test_a_card_keeps_its_folds_when_only_the_head_is_fitted_anew(fitted: Fitted, tmp_path: Path) -> None:
    card = read_card(CARDS_DIRECTORY / "e5-small-risk")
    report = report_of(fitted)
    figures = CategoryFigures("S", 10, 5, 0.9, 0.95, 0.5, 0.6)
    target = tmp_path / card.id
    target.mkdir()
    write_card(card, fitted, replace(report, folds=(CrossValidated("Moderation half", (figures,)),)), target)
    crossed = read_card(target)
    assert "Moderation half" in crossed.body
    write_card(crossed, fitted, report, target)
    assert read_card(target).body == crossed.body
    assert read_card(target).metadata["model-index"] == crossed.metadata["model-index"]


def test_reliability_is_drawn_the_same_every_time(fitted: Fitted, tmp_path: Path) -> None:
    policies = report_of(fitted).evaluation.policies
    for name in ("one.png", "two.png"):
        draw(policies, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_vectors_are_computed_once(tmp_path: Path) -> None:
    tiny.embedding_head(tmp_path)
    embedder = Embedder(tmp_path, device="cpu")
    windows = [embedder.windows(text)[0] for text in ("a", "hello", "a")]
    said: list[str] = []
    first = VectorCache(tmp_path / "vectors", embedder).embed(windows, said.append)
    again = VectorCache(tmp_path / "vectors", embedder).embed(windows[1:], said.append)
    assert (first[1:] == again).all()
    assert len(said) == 1


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
    assert {e.split for e in by_source["COLD train"]} == {"train", "tune", "calibrate"}
    assert all("scam" in e.assumed for e in by_source["COLD train"])
    assert {label for e in by_source["Surge half"] for label in e.native} == {"surge/toxic"}
    assert all("drugs" not in e.known for e in by_source["Moderation half"])
    assert any("harassment" not in e.known for e in by_source["Davidson"])
