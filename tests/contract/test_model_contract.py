"""One contract, every kind and session: what an engine may rely on, whoever made the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipelines.cards import Card, CardError, Kind, Label, Session
from pipelines.items import Clip, Failure, Item, Line, Picture, Result, Scores, ScreenText, Transcript
from pipelines.kinds import load
from pipelines.models import Model
from pipelines.scoring import ModelUnusable
from pipelines.sessions.adapter import ADAPTER_FILES
from tests import tiny_adapters, tiny_speech
from tests import tiny_checkpoints as tiny


def pictures(count: int) -> list[Item]:
    rng = np.random.default_rng(1)
    return [Picture(rng.integers(0, 256, (40 + 8 * n, 64, 3), dtype=np.uint8)) for n in range(count)]


def banners(count: int) -> list[Item]:
    """Black frames with one white bar more each."""
    frames = [np.zeros((120, 200, 3), dtype=np.uint8) for _ in range(count)]
    for number, frame in enumerate(frames):
        for bar in range(number):
            frame[10 + 30 * bar : 26 + 30 * bar, 20:160] = 255
    return [Picture(frame) for frame in frames]


def clips(count: int) -> list[Item]:
    return [
        Clip(tiny_speech.voice(1.5 + n / 2), language=None if n % 2 else "en", by_sentence=n % 3 == 2)
        for n in range(count)
    ]


def lines(count: int) -> list[Item]:
    return [Line(" ".join(tiny.WORDS[: n + 1]) * (40 if n == 1 else 1)) for n in range(count)]


@dataclass(frozen=True)
class Case:
    """One way to fill a slot, and items that suit it."""

    kind: Kind
    session: Session
    make: Callable[..., None]
    items: Callable[[int], list[Item]]
    result: type[Result]
    labels: dict[str, Label] = field(default_factory=lambda: {"risky": Label(policies=("scam",))})
    adapted: bool = False

    def card(self, folder: Path) -> Card:
        artefacts = ADAPTER_FILES if self.adapted else ()
        return tiny.card_of(self.kind, (self.session,), folder=folder, labels=self.labels, artefacts=artefacts)

    def load(self, folder: Path, *, ruined: bool = False) -> Model:
        self.make(folder, ruined=ruined)
        return load(self.card(folder), folder, device="cpu", threads=1)


PROMPTS = {
    "dice": Label(policies=("gambling",), prompts=("a photo of dice", "dice")),
    "nothing": Label(prompts=("a photo of nothing",)),
}
NUMBERED = {"risky": Label(policies=("scam",), row=1), "benign": Label(row=0)}
GUARDED = {name: Label(policies=("violence",)) for name in tiny.GUARD_CATEGORIES}

CASES = {
    "resnet-torch": Case("image-classification", "torch", tiny.resnet, pictures, Scores),
    "vit-torch": Case("image-classification", "torch", tiny.vit, pictures, Scores),
    "graph-onnx": Case("image-classification", "onnx", tiny.image_graph, pictures, Scores),
    "clip-torch": Case("zero-shot-image-classification", "torch", tiny.clip, pictures, Scores, PROMPTS),
    "siglip-torch": Case("zero-shot-image-classification", "torch", tiny.siglip, pictures, Scores, PROMPTS),
    "clip-onnx": Case("zero-shot-image-classification", "onnx", tiny_adapters.clip_graphs, pictures, Scores, PROMPTS),
    "whisper-ctranslate2": Case("whisper", "ctranslate2", tiny_speech.converted_whisper, clips, Transcript, {}),
    "whisper-torch": Case("whisper", "torch", tiny_speech.whisper, clips, Transcript, {}),
    "paddle-onnx": Case("screen-text", "onnx", tiny.screen_reader, banners, ScreenText, {}),
    "xlmr-torch": Case("text-classification", "torch", tiny.text_classifier, lines, Scores),
    "xlmr-onnx": Case("text-classification", "onnx", tiny_adapters.text_graph, lines, Scores),
    "xlmr-lora": Case(
        "text-classification", "torch", tiny_adapters.adapted_text_classifier, lines, Scores, NUMBERED, adapted=True
    ),
    "vit-lora": Case("image-classification", "torch", tiny_adapters.adapted_vit, pictures, Scores, adapted=True),
    "bert-head-torch": Case("embedding-head", "torch", tiny.embedding_head, lines, Scores),
    "bert-head-onnx": Case("embedding-head", "onnx", tiny_adapters.encoder_graph, lines, Scores),
    "guard-torch": Case("guard", "torch", tiny.guard, lines, Scores, GUARDED),
}


@pytest.fixture(params=CASES, scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[str(request.param)]


@pytest.fixture(scope="module")
def model(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return case.load(tmp_path_factory.mktemp("checkpoint"))


def test_a_model_warms_up(model: Model) -> None:
    model.warm_up()


def test_there_are_as_many_results_as_items_and_of_the_kind_s_type(case: Case, model: Model) -> None:
    results = model.predict(case.items(3))
    assert [type(result) for result in results] == [case.result] * 3


def test_no_items_make_no_results(model: Model) -> None:
    assert list(model.predict([])) == []


def test_a_batch_says_what_its_items_say_alone_and_in_order(case: Case, model: Model) -> None:
    items = case.items(4)
    together = model.predict(items)
    assert_alike(together, [model.predict([item])[0] for item in items])
    assert_alike(list(reversed(model.predict(items[::-1]))), together)


def test_an_item_of_another_modality_is_an_error(case: Case, model: Model) -> None:
    wrong: Item = Line("hello") if case.items is not lines else Picture(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(TypeError, match=type(wrong).__name__):
        model.predict([wrong])


def test_weights_that_are_no_numbers_give_failures(case: Case, tmp_path: Path) -> None:
    ruined = case.load(tmp_path, ruined=True)
    assert [type(result) for result in ruined.predict(case.items(2))] == [Failure, Failure]


def test_weights_that_are_no_numbers_do_not_pass_the_warm_up(case: Case, tmp_path: Path) -> None:
    ruined = case.load(tmp_path, ruined=True)
    with pytest.raises((ModelUnusable, ValueError)):
        ruined.warm_up()


def assert_alike(some: Sequence[Result], others: Sequence[Result]) -> None:
    for one, other in zip(some, others, strict=True):
        if isinstance(one, Scores) and isinstance(other, Scores):
            assert one.labels == pytest.approx(other.labels, abs=1e-4)
        else:
            assert one == other


def test_a_pair_of_kind_and_session_that_nothing_runs_is_one_line(tmp_path: Path) -> None:
    card = tiny.card_of("screen-text", ("torch",))
    with pytest.raises(CardError, match="nothing here runs screen-text as torch"):
        load(card, tmp_path)


def test_a_session_that_the_card_does_not_list_is_refused(tmp_path: Path) -> None:
    card = tiny.card_of("image-classification", ("torch",))
    with pytest.raises(CardError, match="cannot run as onnx"):
        load(card, tmp_path, session="onnx")


def test_an_empty_folder_is_told_in_one_line(case: Case, tmp_path: Path) -> None:
    with pytest.raises(CardError) as caught:
        load(case.card(tmp_path), tmp_path, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [tiny.resnet, tiny.text_classifier])
def test_a_checkpoint_that_lacks_weights_is_refused_instead_of_filled_up(
    make: Callable[..., None], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    make(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors[next(name for name in tensors if name.startswith("classifier"))]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    kind: Kind = "image-classification" if make is tiny.resnet else "text-classification"
    with pytest.raises(CardError, match="lacks 1 weights"):
        load(tiny.card_of(kind, ("torch",)), tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("answer", "scores"),
    [
        (("Safety: Safe\n", "Categories: None"), {"Violent": 0.0, "PII": 0.0}),
        (("Safety: Controversial\n", "Categories: PII"), {"Violent": 0.0, "PII": 0.5}),
        (("Safety: Unsafe\n", "Categories: Violent, PII"), {"Violent": 1.0, "PII": 1.0}),
    ],
)
def test_a_guard_s_answer_becomes_scores(answer: Sequence[str], scores: dict[str, float], tmp_path: Path) -> None:
    model = Case("guard", "torch", partial(tiny.guard, answer=answer), lines, Scores, GUARDED).load(tmp_path)
    assert model.predict([Line("hello")]) == [Scores(labels=scores)]


@pytest.mark.parametrize("answer", [("hello", "money"), ("Safety: Unsafe\n", "Categories: None"), ("Safety: Safe",)])
def test_a_guard_that_answers_anything_else_has_failed_not_cleared(answer: Sequence[str], tmp_path: Path) -> None:
    model = Case("guard", "torch", partial(tiny.guard, answer=answer), lines, Scores, GUARDED).load(tmp_path)
    assert isinstance(model.predict([Line("hello")])[0], Failure)
