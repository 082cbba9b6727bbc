"""Tiny checkpoints that really differ, and an engine in this process that serves what the registry says of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import load_file, save_file

from pipelines.checkpoints import ensure
from tests import tiny_checkpoints as tiny
from tests.checkpoints import Cards
from workers.config import Config, Slot
from workers.engine.client import EngineClient
from workers.engine.server import EngineServer
from workers.engine.watching import Watcher
from workers.registry.moves import Asked

SLOT = "text.risk"
FORCED = Asked(force="a test")
"""A move of a checkpoint that nobody evaluated."""
LABELS: dict[str, object] = {"benign": {}, "risky": {"policies": ["scam"]}}
WEIGHTS = "model.safetensors"


class Workshop:
    """A folder of cards and a configuration whose slot `text.risk` is filled by `one`; `two` and `three` are others."""

    def __init__(self, config: Config, directory: Path) -> None:
        self.cards = Cards(directory / "cards")
        self.config = config.model_copy(
            update={
                "slots": {SLOT: Slot(checkpoint="one", threads=1)},
                "cards_directory": self.cards.directory,
                "models_directory": directory / "models",
                "registry": config.registry.model_copy(update={"poll_s": 0.5}),
            }
        )
        for number, name in enumerate(("one", "two", "three"), start=1):
            self.add(name, number)

    def add(self, name: str, factor: float, *, ruined: bool = False, words: int | None = None) -> Path:
        """A classifier that is pulled; the folder that engines load."""
        self.cards.card(name, slots=[SLOT], kind="text-classification", labels=LABELS)
        folder = self.cards.finished({}, name)
        classifier(folder, factor, ruined=ruined, words=words)
        return self.pull(name)

    def pull(self, name: str) -> Path:
        from pipelines.cards import read_card

        return ensure(read_card(self.cards.directory / name), self.config.models).folder


def classifier(folder: Path, factor: float = 1, *, ruined: bool = False, words: int | None = None) -> None:
    """A text classifier with all its weights times `factor`. `words`: it knows no more, and its tokeniser does."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny.text_classifier(folder, ruined=ruined)
    tensors = {key: (value * factor).contiguous() for key, value in load_file(folder / WEIGHTS).items()}
    if words is not None:
        for key in [one for one in tensors if one.endswith("word_embeddings.weight")]:
            tensors[key] = tensors[key][:words].contiguous()
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**settings, "vocab_size": words}))
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


@contextmanager
def engine_of(config: Config, *, ready: bool = True) -> Iterator[EngineServer]:
    """An engine that follows the registry, served at the configured address until the block ends.

    `ready` False: it is not waited for.
    """
    watcher = Watcher(config)
    server = EngineServer(watcher.load, config, watcher=watcher)
    thread = threading.Thread(target=server.run)
    thread.start()
    client = EngineClient(config)
    try:
        if ready:
            client.wait_until_ready(60)
        yield server
    finally:
        client.close()
        server.stop()
        thread.join(20)
        assert not thread.is_alive()
