"""Every slot of the shipped settings filled with something tiny that runs as a graph, so that an engine is up soon.

None of it finds anything: whatever a segment holds, every score is low, and what is bright on screen reads as 字.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from pipelines.cards import read_card
from pipelines.checkpoints import ensure
from pipelines.text.embedding_head import HEAD_FILE, Head, write_head
from tests import tiny_adapters, tiny_speech
from tests import tiny_checkpoints as tiny
from tests.checkpoints import Cards

SLOT = "text.risk"
"""Filled by `one`; `two` and `three` are other checkpoints for it."""
EYE = "vision.nudity"
"""Filled by `eye`."""
OTHERS: Mapping[str, tuple[str, str, str, Callable[[Path], None]]] = {
    EYE: ("eye", "image-classification", "onnx", tiny.image_graph),
    "speech": ("ear", "whisper", "ctranslate2", tiny_speech.converted_whisper),
    "ocr": ("reader", "screen-text", "onnx", tiny.screen_reader),
}
HARMLESS = {"policies": ["sexual"], "calibration": {"slope": 0, "intercept": -6}}
LOGIT = -6.0


class Stock:
    """Cards and finished checkpoints in a folder, and the settings that name them."""

    def __init__(self, directory: Path) -> None:
        self.cards = Cards(directory / "cards")
        self._models = directory / "models"
        for slot, (name, kind, session, make) in OTHERS.items():
            labels: dict[str, object] = {"benign": {}, "risky": HARMLESS} if name == "eye" else {}
            self.cards.card(name, slots=[slot], kind=kind, sessions=[session], labels=labels)
            make(self._folder(name))
            self._pull(name)
        for number, name in enumerate(("one", "two", "three")):
            self.add(name, LOGIT - number)

    @property
    def settings(self) -> Mapping[str, JsonValue]:
        """For a settings file: slots, and where their checkpoints and cards lie."""
        filled = {slot: name for slot, (name, *_) in OTHERS.items()} | {SLOT: "one"}
        return {
            "cards_directory": str(self.cards.directory),
            "models_directory": str(self._models),
            "slots": {slot: {"checkpoint": name, "threads": 1} for slot, name in filled.items()},
        }

    def add(self, name: str, logit: float = LOGIT, *, ruined: bool = False) -> None:
        """One more checkpoint for `text.risk`, which gives every line this logit."""
        labels = {"risky": {"policies": ["scam"]}}
        card = self.cards.card(
            name, slots=[SLOT], kind="embedding-head", sessions=["onnx"], labels=labels, artefacts=[HEAD_FILE]
        )
        folder = self._folder(name)
        tiny_adapters.encoder_graph(folder, ruined=ruined)
        (folder / HEAD_FILE).unlink()
        write_head(
            Head(("risky",), np.zeros((1, 16), np.float32), np.array([logit], np.float32)), card.folder / HEAD_FILE
        )
        self._pull(name)

    def add_heads(self, number: int) -> None:
        """Checkpoints `head-N` and `phrases-N`, which differ from those of another number in what no encoder knows."""
        name, phrases = f"head-{number}", f"phrases-{number}"
        card = self.cards.card(
            name, slots=[SLOT], kind="embedding-head", labels={"risky": {"policies": ["scam"]}}, artefacts=[HEAD_FILE]
        )
        folder = self.cards.finished({}, name)
        tiny.embedding_head(folder)
        (folder / HEAD_FILE).unlink()
        write_head(
            Head(("risky",), number * np.linspace(-1, 1, 16, dtype=np.float32)[None], np.zeros(1, np.float32)),
            card.folder / HEAD_FILE,
        )
        labels = {
            "dice": {"policies": ["gambling"], "prompts": [tiny.WORDS[number]]},
            "nothing": {"prompts": ["nothing"]},
        }
        self.cards.card(phrases, slots=[EYE], kind="zero-shot-image-classification", labels=labels)
        tiny.clip(self.cards.finished({}, phrases))
        for made in (name, phrases):
            self._pull(made)

    def _folder(self, name: str) -> Path:
        folder = self.cards.finished({}, name)
        folder.mkdir()
        return folder

    def _pull(self, name: str) -> None:
        ensure(read_card(self.cards.directory / name), self._models)
