"""What loading one more checkpoint takes where others hold its base already."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.cards import Card
from pipelines.items import CheckpointRef
from pipelines.sessions.adapter import ADAPTER_FILES
from tests.checkpoints import Cards, pins, write_files
from tests.engines import calm
from workers.config import Config, load_config
from workers.engine.bases import Bases, base_of, needed_bytes
from workers.engine.batching import Batcher
from workers.engine.handles import Handle, Place
from workers.engine.memory import SLACK_BYTES

MIB = 2**20
BASE = {"config.json": b"{}", "model.safetensors": bytes(3 * MIB)}
ADAPTER = {"adapter_config.json": b"{}", "adapter_model.safetensors": bytes(100)}


class Shelf:
    """Cards over one base in a configuration of their own."""

    def __init__(self, directory: Path) -> None:
        self.cards = Cards(directory / "cards")
        settings = {"cards_directory": self.cards.directory, "models_directory": directory / "models"}
        self.config: Config = load_config(environment={}).model_copy(update=settings)

    def card(self, name: str, *, kind: str = "text-classification", adapted: bool = False) -> Card:
        write_files(self.config.models / name, BASE)
        if adapted:
            write_files(self.cards.directory / name, ADAPTER)
        artefacts = [*ADAPTER_FILES] if adapted else []
        return self.cards.card(name, slots=["text.risk"], kind=kind, files=pins(BASE), artefacts=artefacts)

    def handle(self, name: str, session: str = "torch") -> Handle:
        self.card(name)
        ref = CheckpointRef(id=name, digest=name[0] * 64, session=session)
        return Handle(ref, Batcher(calm({"nsfw": 0}), name=name, max_batch=1), 0, 0)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_cards_over_the_same_weights_have_the_same_base(shelf: Shelf) -> None:
    plain, adapted = shelf.card("plain"), shelf.card("adapted", adapted=True)
    assert base_of(shelf.config, plain) == base_of(shelf.config, adapted) is not None


def test_an_adapter_on_a_base_that_is_held_takes_only_its_own_bytes(shelf: Shelf) -> None:
    card = shelf.card("adapted", adapted=True)
    held = [str(base_of(shelf.config, card))]
    assert needed_bytes(shelf.config, card, held) - SLACK_BYTES < 1000
    assert needed_bytes(shelf.config, card, []) - SLACK_BYTES > 6 * MIB


def test_an_embedding_head_whose_adapter_is_merged_is_taken_for_whole(shelf: Shelf) -> None:
    card = shelf.card("merged", kind="embedding-head", adapted=True)
    assert needed_bytes(shelf.config, card, [str(base_of(shelf.config, card))]) - SLACK_BYTES > 6 * MIB


def test_what_is_kept_for_going_back_gives_its_base_away_only_if_nobody_else_stands_on_it(shelf: Shelf) -> None:
    first, second, graph = shelf.handle("a"), shelf.handle("b"), shelf.handle("c", "onnx")
    bases = Bases(shelf.config)
    assert bases.freed_with_kept({"text.risk": Place(first, kept=second)}) == 0
    assert bases.freed_with_kept({"text.risk": Place(graph, kept=second)}) == 3 * MIB
    for one in (first, second, graph):
        one.batcher.close()
