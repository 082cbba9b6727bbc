"""Every kind of checkpoint swapped into a running engine by its card alone: one server, one swap after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.cards import read_card
from pipelines.checkpoints import ensure
from pipelines.items import Clip, Item, Line, Picture, Result, Scores, Transcript
from pipelines.sessions.adapter import ADAPTER_FILES
from tests import tiny_adapters, tiny_speech
from tests import tiny_checkpoints as tiny
from tests.checkpoints import Cards
from tests.engines import calling
from tests.swapping import FORCED, engine_of
from workers.config import Config, Slot
from workers.registry import moves
from workers.registry.moves import Answer, await_engines
from workers.storage import Storage

Make = Callable[[Path, Path], None]
"""Fills the folder of weights and, beside the card, its artefacts."""

CLASSES = {"benign": {}, "risky": {"policies": ["gambling"]}}
TONES = {"benign": {}, "risky": {"policies": ["scam"]}}
PHRASES = {"dice": {"policies": ["gambling"], "prompts": ["a photo of dice"]}, "nothing": {"prompts": ["nothing"]}}
ROWS = {"benign": {"row": 0}, "risky": {"row": 1, "policies": ["scam"]}}
ITEMS: dict[str, Item] = {
    "vision.scenes": Picture(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)),
    "text.risk": Line("send money first"),
    "speech": Clip(tiny_speech.voice(1.5), language="en"),
}


@dataclass(frozen=True)
class Brought:
    """What an engineer brings: a folder, and a card that says this of it."""

    slot: str
    kind: str
    make: Make
    labels: dict[str, Any]
    session: str = "torch"
    adapted: bool = False


def whole(make: Callable[[Path], None]) -> Make:
    return lambda folder, beside: make(folder)


def lora(folder: Path, beside: Path) -> None:
    tiny_adapters.encoder_without_head(folder)
    tiny_adapters.text_adapter(folder, beside)


def head(folder: Path, beside: Path) -> None:
    tiny.embedding_head(folder)
    (folder / "head.safetensors").rename(beside / "head.safetensors")


PICTURES, ZERO_SHOT, LINES = "image-classification", "zero-shot-image-classification", "text-classification"
BROUGHT = {
    "resnet": Brought("vision.scenes", PICTURES, whole(tiny.resnet), CLASSES),
    "xlmr": Brought("text.risk", LINES, whole(tiny.text_classifier), TONES),
    "ctranslate2": Brought("speech", "whisper", whole(tiny_speech.converted_whisper), {}, "ctranslate2"),
    "vit": Brought("vision.scenes", PICTURES, whole(tiny.vit), CLASSES),
    "clip": Brought("vision.scenes", ZERO_SHOT, whole(tiny.clip), PHRASES),
    "siglip": Brought("vision.scenes", ZERO_SHOT, whole(tiny.siglip), PHRASES),
    "graphs": Brought("vision.scenes", ZERO_SHOT, whole(tiny_adapters.clip_graphs), PHRASES, "onnx"),
    "lora": Brought("text.risk", LINES, lora, ROWS, adapted=True),
    "graph": Brought("text.risk", LINES, whole(tiny_adapters.text_graph), TONES, "onnx"),
    "head": Brought("text.risk", "embedding-head", head, {"risky": {"policies": ["scam"]}}),
    "transformers": Brought("speech", "whisper", whole(tiny_speech.whisper), {}),
}
BEFORE = ("resnet", "xlmr", "ctranslate2")
"""What fills the slots at the start; the others come one after the other."""


def write(cards: Cards, name: str, brought: Brought) -> None:
    artefacts = (
        [*ADAPTER_FILES] if brought.adapted else ["head.safetensors"] if brought.kind == "embedding-head" else []
    )
    folder = cards.directory / name / "finished"
    folder.mkdir(parents=True)
    brought.make(folder, folder.parent)
    for leftover in folder.glob("source/*"):  # what the conversion of Whisper began with
        leftover.unlink()
    fields: dict[str, Any] = {
        "kind": brought.kind,
        "sessions": [brought.session],
        "labels": brought.labels,
        "artefacts": artefacts,
    }
    cards.card(name, slots=[brought.slot], **fields)


@pytest.fixture
def shop(config: Config, storage: Storage, tmp_path: Path) -> Iterator[Config]:
    """Its objects go with the test, so that the bucket can."""
    cards = Cards(tmp_path / "cards")
    for name, brought in BROUGHT.items():
        write(cards, name, brought)
    update = {
        "slots": {BROUGHT[name].slot: Slot(checkpoint=name, threads=1, max_batch=2) for name in BEFORE},
        "cards_directory": cards.directory,
        "models_directory": tmp_path / "models",
        "registry": config.registry.model_copy(update={"poll_s": 0.2}),
    }
    shop = config.model_copy(update=update)
    for name in BROUGHT:
        ensure(read_card(cards.directory / name), shop.models)
    yield shop
    for key in list(storage.keys("")):
        storage.delete(key)


def test_a_checkpoint_of_every_kind_is_swapped_in_by_its_card_alone(shop: Config) -> None:
    with engine_of(shop), calling(shop) as client:
        for name, brought in BROUGHT.items():
            if name not in BEFORE:
                (answer,) = await_engines(shop, moves.promote(shop, brought.slot, name, FORCED), 60)
                assert isinstance(answer, Answer)
                assert answer.problem is None
            with client.models("room", lane="live", deadline=time.monotonic() + 60) as models:
                assert models.checkpoints[brought.slot].id == name
                assert models.checkpoints[brought.slot].session == brought.session
                (result,) = models.ask(brought.slot, [ITEMS[brought.slot]])
            assert told(result) == set(brought.labels)


def told(result: Result) -> set[str]:
    """The labels that were scored; none of speech, which is a transcript."""
    assert isinstance(result, Scores | Transcript)
    return set(result.labels) if isinstance(result, Scores) else set()
