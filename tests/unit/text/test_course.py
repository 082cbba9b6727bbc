"""The whole training run on an encoder of a few hundred weights and made-up words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipelines.cards import Card, read_card
from pipelines.items import Line, Scores
from pipelines.policies import POLICY_IDS
from pipelines.sessions.adapter import ADAPTER_FILES
from pipelines.text.embedding_head import HEAD_FILE, load_embedding_head
from pipelines.text.training.adapted import Lora
from pipelines.text.training.course import Course, cross_validated, judge, train, train_head
from pipelines.text.training.datasets import MODERATION_CATEGORIES, Example, Split
from pipelines.text.training.reliability import PICTURE
from pipelines.text.training.report import Report
from pipelines.text.training.stages import BROAD, NARROW
from tests import tiny_checkpoints as tiny
from tests.unit.text.test_adapter import encoder

SPLITS: tuple[Split, ...] = ("train", "tune", "calibrate", "held-out")


def examples() -> list[Example]:
    """Every policy has its word; the small data sets have what their folds need, and nothing makes sense."""
    words = [word for word in tiny.WORDS if word != "query:"]
    found = []
    for at in range(12 * 24):
        policy = POLICY_IDS[at % 12] if at % 24 < 12 else None
        text = f"{words[at % 11]} {words[at // 11 % 11]} {words[at // 121 % 11]}"
        known = {name: name == policy for name in POLICY_IDS}
        found.append(Example(f"{text} {at}", str(at), known, "phrases", "en", SPLITS[at // 24 % 4]))
    for at in range(20):
        native = {f"moderation/{name}": (at + turn) % 4 == 0 for turn, name in enumerate(MODERATION_CATEGORIES)}
        text = f"{words[at % 11]} {words[at // 2]}"
        found.append(Example(f"{text} m", f"m{at}", {}, "Moderation half", "en", "train", native))
        found.append(Example(f"{text} s", f"s{at}", {}, "Surge half", "en", "train", {"surge/toxic": at % 2 == 0}))
    return found


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    folder = tmp_path_factory.mktemp("course")
    encoder(folder / "encoder")
    fields = {
        "card_version": 1,
        "kind": "embedding-head",
        "slots": ["text.risk"],
        "sessions": ["torch"],
        "sources": [{"local": "."}],
        "files": {"model.safetensors": "0" * 64},
        "labels": {"risky": {}},
    }
    (folder / "card").mkdir()
    front = yaml.safe_dump({"license": "mit", "liverisk": fields})
    (folder / "card" / "README.md").write_text(f"---\n{front}---\n# tiny\n")
    narrow = replace(NARROW, epochs=1, tokens=400)
    broad = replace(BROAD, epochs=1, tokens=400)
    card = read_card(folder / "card")
    lora = Lora(1, 2, 4)
    return Course(card, folder / "encoder", folder / "work", card.folder, lambda line: None, 1, lora, broad, narrow)


@pytest.fixture(scope="module")
def report(course: Course) -> Report:
    return train(course, examples())


@pytest.fixture(scope="module")
def trained(course: Course, report: Report) -> Card:
    return read_card(course.out)


def test_a_run_leaves_adapter_head_picture_and_card(course: Course, trained: Card) -> None:
    assert trained.fields.artefacts == (*ADAPTER_FILES, HEAD_FILE)
    assert set(trained.fields.labels) == set(POLICY_IDS)
    assert all((course.out / name).is_file() for name in (*trained.fields.artefacts, PICTURE))
    assert "## Cross-validation" in trained.body


def test_the_small_data_sets_are_cross_validated(course: Course, report: Report, trained: Card) -> None:
    assert [len(data.categories) for data in report.folds] == [7, 1]
    assert cross_validated(replace(course, card=trained), examples()) == report.folds


def test_what_lies_beside_the_card_is_judged_as_the_run_judged_it(
    course: Course, report: Report, trained: Card, tmp_path: Path
) -> None:
    found = judge(replace(course, card=trained, work=tmp_path), examples())
    for again, before in zip(found.policies, report.evaluation.policies, strict=True):
        assert again.average_precision == pytest.approx(before.average_precision, abs=0.05)
        assert again.examples == before.examples


def test_what_a_run_leaves_is_a_model(course: Course, trained: Card) -> None:
    model = load_embedding_head(trained, course.encoder, session="torch", device="cpu", threads=1)
    (result,) = model.predict([Line("send money")])
    assert isinstance(result, Scores)
    assert set(result.labels) == set(POLICY_IDS)


def test_a_head_can_be_fitted_anew_on_the_same_adapter(course: Course, trained: Card, tmp_path: Path) -> None:
    before = {name: (course.out / name).read_bytes() for name in ADAPTER_FILES}
    train_head(replace(course, card=trained, out=tmp_path / "again", work=tmp_path / "work"), examples())
    assert {name: (tmp_path / "again" / name).read_bytes() for name in ADAPTER_FILES} == before
    assert "## Cross-validation" in read_card(tmp_path / "again").body


def test_without_an_adapter_heads_are_cross_validated_on_the_encoder_as_it_is(
    course: Course, report: Report, tmp_path: Path
) -> None:
    found = cross_validated(replace(course, work=tmp_path), examples())
    assert [len(data.categories) for data in found[: len(report.folds)]] == [7, 1]
    assert [
        [each.frozen_auroc for each in data.categories] != [each.auroc for each in data.categories] for data in found
    ] == [True] * len(found)
