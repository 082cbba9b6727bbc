"""Two really different text checkpoints, held against each other by the commands as an engineer gives them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file, save_file

from pipelines.cards import Card
from pipelines.comparison.evaluation import Evaluation
from pipelines.items import CheckpointRef, Clip, Item, Line, Picture
from pipelines.items import Result as ItsResult
from pipelines.models import Model
from pipelines.record import TextObservation
from tests import tiny_checkpoints as tiny
from tests import tiny_speech
from tests.checkpoints import Cards
from workers.cli.main import cli
from workers.comparison.asked import of_images, of_lines, thinned
from workers.comparison.running import Candidate, Question, Running, Unusable

WEIGHT, BIAS = "classifier.out_proj.weight", "classifier.out_proj.bias"
LINES = [" ".join(words) for words in product(("hello", "send", "money", "dice", "你好"), repeat=3)]
"""A hundred and twenty-five lines of which each says something else to weights drawn at random."""


def text_card(cards: Cards, name: str) -> Card:
    """A sequence classifier whose label `risky` speaks for scams."""
    labels = {"risky": {"policies": ["scam"]}, "benign": {}}
    card = cards.card(name, slots=["text.risk"], kind="text-classification", labels=labels)
    finished = card.folder / "finished"
    finished.mkdir()
    tiny.text_classifier(finished)
    return card


def rewrite_last_layer(card: Card, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
    """Both tensors of it have a row for `benign` and one for `risky`."""
    path = card.folder / "finished" / "model.safetensors"
    tensors = load_file(path)
    for name in (WEIGHT, BIAS):
        tensors[name] = np.ascontiguousarray(change(tensors[name]))
    save_file(tensors, path, metadata={"format": "pt"})


def make_decided(card: Card) -> None:
    """Spreads the scores of the lines, which random weights leave close together, evenly around a half."""
    scores = Running(candidate(card)).score([written(line) for line in LINES]).scores
    risky = np.array([(found or {})["risky"] for found in scores])
    logits = np.log(risky / (1 - risky))
    scale, middle = 2 / logits.std(), float(np.median(logits))

    def change(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        shift = np.array([0, middle] if tensor.ndim == 1 else [[0], [0]], np.float32)
        return np.asarray((tensor - shift) * scale, np.float32)

    rewrite_last_layer(card, change)


def turn_over(card: Card) -> None:
    """Every score of `risky` becomes that of `benign`: the two labels' rows trade places."""
    rewrite_last_layer(card, lambda tensor: tensor[::-1])


def candidate(card: Card, **changes: object) -> Candidate:
    ref = CheckpointRef(id=card.id, digest="a" * 64, session="torch")
    plain = Candidate(card.fields.slots[0], card, card.folder / "finished", ref, "torch", threads=1, max_batch=4)
    return Candidate(**{**{name: getattr(plain, name) for name in Candidate.__slots__}, **changes})


def written(text: str, unmasked: str | None = None) -> TextObservation:
    return TextObservation(source="chat", at_s=0, text=text, normalised=text, unmasked=unmasked)


@dataclass(frozen=True)
class Balking:
    """A model that cannot take any batch with the second line in it."""

    model: Model

    def warm_up(self) -> None:
        self.model.warm_up()

    def predict(self, items: Sequence[Item]) -> Sequence[ItsResult]:
        if Line(LINES[1]) in items:
            raise RuntimeError("cannot")
        return self.model.predict(items)


@dataclass(frozen=True)
class Bench:
    """Two checkpoints, settings in which the first is active, and lines that it is right about."""

    folder: Path
    old: Card
    new: Card
    scores: dict[str, float]

    @property
    def lines(self) -> Path:
        return self.folder / "lines.jsonl"

    def call(self, *arguments: str) -> Result:
        environment = {"LIVERISK__STORE__ENDPOINT_URL": "http://127.0.0.1:1"}
        settings = str(self.folder / "settings.yaml")
        return CliRunner(env=environment).invoke(cli, ["--config", settings, "models", *arguments])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    cards = Cards(folder / "cards")
    old, new = text_card(cards, "old-risk"), text_card(cards, "new-risk")
    make_decided(old)
    shutil.copytree(old.folder / "finished", new.folder / "finished", dirs_exist_ok=True)
    turn_over(new)
    answers = Running(candidate(old)).score([written(line) for line in LINES])
    scores = {line: (found or {})["risky"] for line, found in zip(LINES, answers.scores, strict=True)}
    rows = [{"text": line, "policies": ["scam"] if scores[line] > 0.5 else [], "judged": ["scam"]} for line in LINES]
    (folder / "lines.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    settings = {
        "cards_directory": str(cards.directory),
        "models_directory": str(folder / "models"),
        "slots": {"text.risk": {"checkpoint": "old-risk", "session": "torch", "threads": 1}},
    }
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    golden = {"text": LINES[0], "scores": {"risky": scores[LINES[0]]}}
    (new.folder / "golden.jsonl").write_text(json.dumps(golden), encoding="utf-8")
    return Bench(folder, old, new, scores)


@pytest.fixture(scope="module")
def refused(bench: Bench) -> tuple[Evaluation, Result]:
    """`models eval` of the checkpoint that says the opposite, each of both in a process of its own."""
    arguments = ("--slot", "text.risk", "--data", str(bench.lines), "--html", str(bench.folder / "page.html"))
    result = bench.call("eval", "new-risk", *arguments, "--json")
    assert result.stdout, result.output
    return Evaluation.model_validate_json(result.stdout), result


def test_the_disagreements_of_two_checkpoints_are_found(bench: Bench, refused: tuple[Evaluation, Result]) -> None:
    (scam,) = refused[0].comparison.policies
    high = sum(score >= 0.6 for score in bench.scores.values())
    low = sum(1 - score >= 0.6 for score in bench.scores.values())

    assert min(high, low) > 10
    assert (scam.flags.only_old, scam.flags.only_new, scam.flags.both) == (high, low, 0)
    assert scam.drift.rank_correlation == pytest.approx(-1, abs=0.01)
    assert scam.drift.mean_old + scam.drift.mean_new == pytest.approx(1, abs=0.001)


def test_the_first_example_is_the_line_that_changed_most(bench: Bench, refused: tuple[Evaluation, Result]) -> None:
    first = refused[0].comparison.policies[0].exemplars[0]
    line = LINES[int(first.where.removeprefix("line ")) - 1]

    assert first.old == pytest.approx(bench.scores[line], abs=1e-3)
    assert abs(first.old - first.new) > 0.3
    assert first.text is None


def test_what_is_worse_is_refused_with_a_line_for_each_reason(refused: tuple[Evaluation, Result]) -> None:
    found, result = refused

    assert result.exit_code == 3
    assert result.stderr.splitlines()[-1].startswith("liverisk: new-risk is refused: golden example: golden.jsonl:1")
    assert not found.passed
    assert [line for line in found.regressions if line.startswith("scam: average precision 1.000 →")]


def test_both_are_timed_and_weighed_in_their_own_processes(refused: tuple[Evaluation, Result]) -> None:
    sides = refused[0].comparison.old.cost, refused[0].comparison.new.cost

    for cost in sides:
        assert cost is not None
        assert cost.items == len(LINES)
        assert 0 < cost.p50_ms <= cost.p95_ms
        assert cost.memory_mb is not None
        assert cost.memory_mb > 50


def test_without_a_registry_the_configured_checkpoint_is_the_active_one(refused: tuple[Evaluation, Result]) -> None:
    found, result = refused

    assert found.against.id == "old-risk"
    assert "the registry could not be asked" in result.stderr


def test_the_page_is_written_for_its_owner_alone(bench: Bench, refused: tuple[Evaluation, Result]) -> None:
    page = bench.folder / "page.html"

    assert "new-risk against old-risk" in page.read_text(encoding="utf-8")
    assert page.stat().st_mode & 0o077 == 0


def test_a_dry_run_says_what_would_be_held_against_what(bench: Bench) -> None:
    result = bench.call("eval", "new-risk", "--slot", "text.risk", "--data", str(bench.lines), "--dry-run")

    assert result.stdout.strip() == (
        "would hold new-risk against old-risk on 125 lines of lines.jsonl, 125 of them judged"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("compare", "old-risk", "new-risk"), 2, "compare takes one of"),
        (("compare", "old-risk", "--lines", "LINES"), 2, "name both checkpoints"),
        (("compare", "old-risk", "nobody", "--lines", "LINES"), 2, "nobody: no model card"),
        (("compare", "old-risk", "old-risk", "--lines", "LINES"), 2, "old-risk is what text.risk has already"),
        (("compare", "old-risk", "new-risk", "--slot", "speech", "--lines", "LINES"), 2, "does not fill speech"),
        (("compare", "old-risk", "new-risk", "--images", "FOLDER"), 2, "text.risk reads texts"),
        (("compare", "--shadow", "text.risk"), 3, "list records/date="),
        (("eval", "new-risk", "--slot", "text.nothing"), 2, "no slot named text.nothing"),
        (("eval", "new-risk", "--slot", "text.risk", "--force", " "), 2, "--force wants a reason"),
        (("eval", "old-risk", "--slot", "text.risk", "--against", "new-risk"), 1, "nothing to judge old-risk by"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(
    bench: Bench, arguments: tuple[str, ...], code: int, told: str
) -> None:
    places = {"LINES": str(bench.lines), "FOLDER": str(bench.folder)}
    result = bench.call(*(places.get(argument, argument) for argument in arguments))

    assert result.exit_code == code, result.output
    assert told in result.stderr.splitlines()[-1]


def test_a_disguised_text_has_the_higher_score_of_both_views(bench: Bench) -> None:
    low, high = sorted((LINES[0], LINES[-1]), key=lambda line: bench.scores[line])
    answers = Running(candidate(bench.old)).score([written(low, unmasked=high)])

    assert (answers.scores[0] or {})["risky"] == pytest.approx(bench.scores[high], abs=1e-4)
    assert sum(items for items, _ in answers.batches) == 2


def test_an_image_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    card = Cards(tmp_path / "cards").card("tiny-sight", slots=["vision.tiny"], labels={"risky": {"policies": ["scam"]}})
    (card.folder / "finished").mkdir()
    tiny.resnet(card.folder / "finished")
    Image.new("RGB", (40, 40), "green").save(tmp_path / "fine.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    pixels = np.zeros((16, 16, 3), np.uint8)
    asked: list[Question] = [tmp_path / "fine.png", tmp_path / "broken.png", tmp_path / "gone.png", Picture(pixels)]

    answers = Running(candidate(card)).score(asked)

    assert [found is None for found in answers.scores] == [False, True, True, False]
    assert answers.failed == ["DecodeError", "FileNotFoundError"]


def test_a_checkpoint_that_scores_no_numbers_is_unusable(tmp_path: Path) -> None:
    card = text_card(Cards(tmp_path / "cards"), "ruined")
    tiny.text_classifier(card.folder / "finished", ruined=True)

    with pytest.raises(Unusable, match=r"^ruined: "):
        Running(candidate(card))


def test_a_batch_that_raises_is_asked_item_by_item(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    running = Running(candidate(bench.old))
    monkeypatch.setattr(running, "_model", Balking(running._model))
    answers = running.score([written(line) for line in LINES[:4]])

    assert [found is None for found in answers.scores] == [False, True, False, False]
    assert answers.failed == ["RuntimeError"]


def test_what_a_speech_checkpoint_hears_is_no_failure(tmp_path: Path) -> None:
    card = Cards(tmp_path / "cards").card("tiny-ears", slots=["speech"], kind="whisper", labels={})
    (card.folder / "finished").mkdir()
    tiny_speech.whisper(card.folder / "finished")

    answers = Running(candidate(card)).score([Clip(tiny_speech.voice(1.5))])

    assert (answers.scores, answers.failed) == ([{}], [])


def test_images_of_a_folder_are_thinned_evenly(tmp_path: Path) -> None:
    for name in ("a.png", "b.JPG", "c/d.webp", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    found = of_images(tmp_path)

    assert [item.id for item in found.items] == ["a.png", "b.JPG", "c/d.webp"]
    assert [item.id for item in thinned(found, 2).items] == ["a.png", "b.JPG"]
    assert thinned(found, 2).source.startswith("2 of 3 images of ")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "Invalid JSON"),
        ('{"image": "a.png"}', "no text, and text.risk reads texts"),
        ('{"text": "hello", "policies": ["fraud"]}', "no policy named fraud"),
    ],
)
def test_a_wrong_line_is_told_by_its_number(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"text": "hello"}\n' + line, encoding="utf-8")

    with pytest.raises(ValueError, match=rf"lines.jsonl, line 2: .*{told}"):
        of_lines(path, "text.risk")


def test_a_line_without_policies_is_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    rows = ['{"text": "hello"}', '{"text": "你好", "policies": ["scam"], "judged": ["scam", "hate"], "note": "mild"}']
    path.write_text("\n".join(rows), encoding="utf-8")

    first, second = of_lines(path, "text.risk").items

    assert first.truth == {}
    assert (second.truth, second.language) == ({"scam": True, "hate": False}, "zh")
