"""Cards over one base: what two of them cost in memory, and that they do not disturb one another."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from pipelines.cards import Card, CardError, Label
from pipelines.items import Line, Scores
from pipelines.kinds import load
from pipelines.models import Model
from pipelines.scoring import softmax
from pipelines.sessions.adapter import ADAPTER_FILES, CONFIG_FILE, peft_said
from pipelines.sessions.pytorch import load_shared
from pipelines.text.encoder import Embedder
from tests import tiny_adapters
from tests import tiny_checkpoints as tiny

LABELS = {"risky": Label(policies=("scam",), row=1), "benign": Label(row=0)}
LINE = Line("send money first")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So many words that the encoder outweighs everything an adapter brings, as real ones do."""
    folder = tmp_path_factory.mktemp("base")
    tiny_adapters.encoder_without_head(folder, words=4000)
    return folder


@pytest.fixture(scope="module")
def cards(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Card, Card]:
    """Two cards that differ in their adapters alone."""
    first, second = (tmp_path_factory.mktemp("card") for _ in range(2))
    for seed, folder in enumerate((first, second)):
        tiny_adapters.text_adapter(base, folder, seed=seed)
    return card(first), card(second)


def card(folder: Path) -> Card:
    return tiny.card_of("text-classification", ("torch",), folder=folder, labels=LABELS, artefacts=ADAPTER_FILES)


def loaded(of: Card, base: Path) -> Model:
    return load(of, base, device="cpu", threads=1)


def classifier(of: Card, base: Path) -> Any:
    return load_shared(
        AutoModelForSequenceClassification, base, device="cpu", threads=1, adapter=of.folder, labels=of.rows
    )


def scores(model: Model) -> dict[str, float]:
    (result,) = model.predict([LINE])
    assert isinstance(result, Scores)
    return result.labels


def held_bytes() -> int:
    """Bytes of all tensors in this process, those that share their memory counted once."""
    gc.collect()
    tensors = [one for one in gc.get_objects() if type(one) in (torch.Tensor, torch.nn.Parameter)]
    return sum({one.data_ptr(): one.nbytes for one in tensors if one.device.type == "cpu"}.values())


def test_two_adapters_cost_one_base(base: Path, cards: tuple[Card, Card]) -> None:
    before = held_bytes()
    first = loaded(cards[0], base)
    one = held_bytes() - before
    second = loaded(cards[1], base)
    both = held_bytes() - before
    assert one > 4000 * 16 * 4
    assert both < 1.1 * one
    assert scores(first) != scores(second)


def test_every_tensor_of_the_base_is_the_same_memory(base: Path, cards: tuple[Card, Card]) -> None:
    first, second = (classifier(one, base) for one in cards)
    ours = {name: one.data_ptr() for name, one in first.named_parameters() if name.startswith("roberta.")}
    other = {name: one.data_ptr() for name, one in second.named_parameters()}
    differ = {name for name in ours if ours[name] != other[name]}
    assert differ == {name for name in ours if "lora_" in name}
    assert len(ours) > len(differ) > 0


def test_a_second_card_leaves_the_first_one_s_scores_as_they_were(base: Path, cards: tuple[Card, Card]) -> None:
    first = loaded(cards[0], base)
    alone = scores(first)
    second = loaded(cards[1], base)
    scores(second)
    assert scores(first) == alone


def test_the_weights_go_with_the_last_model_over_them(base: Path, cards: tuple[Card, Card]) -> None:
    before = held_bytes()
    models = [loaded(one, base) for one in cards]
    assert held_bytes() > before
    models.clear()
    assert held_bytes() == before


def test_a_changed_file_is_another_base(base: Path, cards: tuple[Card, Card], tmp_path: Path) -> None:
    tiny_adapters.encoder_without_head(tmp_path, words=4001)
    first, second = classifier(cards[0], base), classifier(cards[1], tmp_path)
    ours = {one.data_ptr() for one in first.parameters()}
    assert not ours & {one.data_ptr() for one in second.parameters()}


def test_an_adapted_classifier_says_what_peft_s_own_does(base: Path, cards: tuple[Card, Card]) -> None:
    from peft import PeftModel
    from transformers import AutoTokenizer

    bare = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
    with peft_said():
        reference = PeftModel.from_pretrained(bare, cards[0].folder).get_base_model().eval()
    tokens = AutoTokenizer.from_pretrained(base)([LINE.text], return_tensors="pt")
    with torch.inference_mode():
        logits = reference(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits
    benign, risky = softmax(logits.numpy())[0]
    assert scores(loaded(cards[0], base)) == pytest.approx({"benign": benign, "risky": risky}, abs=1e-6)


def test_encoders_of_two_heads_share_their_weights_and_a_merged_adapter_takes_only_what_it_changes(
    tmp_path: Path,
) -> None:
    from peft import LoraConfig

    tiny.embedding_head(tmp_path)
    plain = Embedder(tmp_path, device="cpu")
    before = plain.embed([LINE.text])
    tiny_adapters.write_adapter(plain.module, LoraConfig(r=2, target_modules=["query"]), tmp_path / "card", seed=1)
    again, merged = Embedder(tmp_path, device="cpu"), Embedder(tmp_path, device="cpu", adapter=tmp_path / "card")
    places = [{name: one.data_ptr() for name, one in e.module.named_parameters()} for e in (again, merged)]
    changed = {name for name in places[0] if places[0][name] != places[1][name]}
    assert changed == {"encoder.layer.0.attention.self.query.weight"}
    assert (again.embed([LINE.text]) == before).all()
    assert (merged.embed([LINE.text]) != before).any()


def test_phrases_alone_do_not_load_the_weights_twice(tmp_path: Path) -> None:
    tiny.clip(tmp_path)
    first, second = (
        tiny.card_of(
            "zero-shot-image-classification",
            ("torch",),
            labels={"dice": Label(policies=("gambling",), prompts=(prompt,)), "nothing": Label(prompts=("nothing",))},
        )
        for prompt in ("dice", "a photo of dice")
    )
    before = held_bytes()
    one = loaded(first, tmp_path)
    alone = held_bytes() - before
    other = loaded(second, tmp_path)
    assert held_bytes() - before < 1.1 * alone
    del one, other


def test_a_base_without_a_classifier_needs_an_adapter_that_brings_one(base: Path) -> None:
    bare = tiny.card_of("text-classification", ("torch",), labels=LABELS)
    with pytest.raises(CardError, match=r"lacks 4 weights of the model, first classifier\."):
        loaded(bare, base)


def test_an_adapter_that_needs_another_base_is_refused(base: Path, cards: tuple[Card, Card], tmp_path: Path) -> None:
    for name in ADAPTER_FILES:
        (tmp_path / name).write_bytes((cards[0].folder / name).read_bytes())
    config = json.loads((tmp_path / CONFIG_FILE).read_bytes())
    (tmp_path / CONFIG_FILE).write_text(json.dumps(config | {"init_lora_weights": "pissa"}))
    with pytest.raises(CardError, match="needs a base changed by pissa"):
        loaded(card(tmp_path), base)
