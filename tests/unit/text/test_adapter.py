from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from pipelines.cards import CardError
from pipelines.sessions.adapter import ADAPTER_FILES, CONFIG_FILE, WEIGHTS_FILE, adapter_of
from pipelines.text.encoder import Embedder
from pipelines.text.training.adapted import Adapted, AdaptedVectors, Lora, load_adapter, save_adapter
from pipelines.text.training.states import StateStore
from tests import tiny_checkpoints as tiny

LORA = Lora(layers=2, rank=4, alpha=8)
TEXTS = ["send money", "hello", "a photo of dice"]


def silent(line: str) -> None:
    pass


def encoder(folder: Path, *, hidden: int = 16) -> Path:
    config = transformers.BertConfig(
        vocab_size=64,
        hidden_size=hidden,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=160,
        pad_token_id=1,
    )
    tiny.save(transformers.BertModel(config, add_pooling_layer=False), folder, ruined=False)
    tiny.write_words(folder)
    return folder


def trained(folder: Path) -> Adapted:
    """As if something had been learned: matrices that change the vectors."""
    adapted = Adapted(Embedder(folder, device="cpu").module, LORA, labels=3)
    with torch.no_grad():
        for name, parameter in adapted.learned().items():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    return adapted


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return encoder(tmp_path / "encoder")


@pytest.fixture
def adapter(folder: Path, tmp_path: Path) -> Path:
    save_adapter(trained(folder), tmp_path / "adapter", "some/encoder")
    return tmp_path / "adapter"


def test_a_merged_adapter_gives_the_vectors_that_training_saw(folder: Path, adapter: Path, tmp_path: Path) -> None:
    embedder = Embedder(folder, device="cpu")
    windows = [embedder.windows(text)[0] for text in TEXTS]
    store = StateStore(tmp_path / "states", embedder, 1)
    store.prepare(windows, silent)
    seen = AdaptedVectors(trained(folder), store).embed_windows(windows)
    merged = Embedder(folder, device="cpu", adapter=adapter).embed(TEXTS)
    assert (merged * seen).sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-4)
    assert (merged * embedder.embed(TEXTS)).sum(axis=1).min() < 0.999


def test_an_adapter_that_learned_nothing_changes_nothing(folder: Path, tmp_path: Path) -> None:
    save_adapter(Adapted(Embedder(folder, device="cpu").module, LORA, labels=1), tmp_path, "some/encoder")
    merged = Embedder(folder, device="cpu", adapter=tmp_path).embed(TEXTS)
    assert merged == pytest.approx(Embedder(folder, device="cpu").embed(TEXTS), abs=1e-6)


def test_an_adapter_is_two_small_files_that_name_the_encoder_and_no_path(adapter: Path) -> None:
    assert sorted(path.name for path in adapter.iterdir()) == sorted(ADAPTER_FILES)
    assert json.loads((adapter / CONFIG_FILE).read_text())["base_model_name_or_path"] == "some/encoder"
    assert {tensor.dtype for tensor in load_file(adapter / WEIGHTS_FILE).values()} == {np.dtype(np.float16)}


def test_a_stored_adapter_goes_back_into_training(folder: Path, adapter: Path) -> None:
    fresh = Adapted(Embedder(folder, device="cpu").module, LORA, labels=3)
    load_adapter(fresh, adapter)
    for name, parameter in trained(folder).learned().items():
        assert torch.allclose(fresh.learned()[name], parameter, atol=1e-2)


def test_an_adapter_with_a_missing_matrix_is_refused(folder: Path, adapter: Path) -> None:
    tensors = load_file(adapter / WEIGHTS_FILE)
    tensors.pop(next(iter(tensors)))
    save_file(tensors, adapter / WEIGHTS_FILE)
    with pytest.raises(CardError, match="does not fit"):
        Embedder(folder, device="cpu", adapter=adapter)


def test_an_adapter_of_another_encoder_is_refused_in_one_line(adapter: Path, tmp_path: Path) -> None:
    other = encoder(tmp_path / "other", hidden=8)
    with pytest.raises(CardError, match="the adapter does not load") as caught:
        Embedder(other, device="cpu", adapter=adapter)
    assert "\n" not in str(caught.value)


def test_a_damaged_adapter_is_refused_in_one_line(folder: Path, adapter: Path) -> None:
    (adapter / CONFIG_FILE).write_text("{")
    with pytest.raises(CardError, match="the adapter does not load"):
        Embedder(folder, device="cpu", adapter=adapter)


def test_an_absent_adapter_is_asked_of_nobody(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"no adapter_config\.json beside the card"):
        Embedder(folder, device="cpu", adapter=tmp_path)


def test_a_card_says_whether_it_has_an_adapter(tmp_path: Path) -> None:
    card = tiny.card_of("embedding-head", ("torch",), folder=tmp_path)
    assert adapter_of(card) is None
    for artefacts, found in ((ADAPTER_FILES, tmp_path), (("head.safetensors",), None)):
        named = card.model_copy(update={"fields": card.fields.model_copy(update={"artefacts": artefacts})})
        assert adapter_of(named) == found


def test_a_card_that_names_half_an_adapter_is_refused(tmp_path: Path) -> None:
    card = tiny.card_of("embedding-head", ("torch",), folder=tmp_path)
    half = card.model_copy(update={"fields": card.fields.model_copy(update={"artefacts": (CONFIG_FILE,)})})
    with pytest.raises(CardError, match="alone; an adapter is"):
        adapter_of(half)
