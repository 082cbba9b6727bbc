"""Small finished checkpoints and the cards that describe them."""

from __future__ import annotations

import hashlib
import json
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import yaml

from pipelines.cards import Card, read_card
from pipelines.checkpoints import ensure
from pipelines.checkpoints.verification import SECTIONS

FILES = {
    "config.json": json.dumps({"id2label": {"0": "normal", "1": "nsfw"}}).encode(),
    "model.safetensors": b"\x02\0\0\0\0\0\0\0{}",
}
CHANGED = {**FILES, "model.safetensors": b"\x03\0\0\0\0\0\0\0{ }"}
"""As usable as `FILES`, and not the same."""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


class Cards:
    """Writes cards into a directory; `card(...)` overrides fields of a small image classifier's."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def card(self, name: str = "tiny", *, licence: str = "mit", **fields: Any) -> Card:
        front = {
            "license": licence,
            "liverisk": {
                "card_version": 1,
                "slots": ["vision.nudity"],
                "kind": "image-classification",
                "sessions": ["torch"],
                "sources": [{"local": "finished"}],
                "labels": {"nsfw": {"policies": ["sexual"]}, "normal": {}},
                **fields,
            },
        }
        folder = self.directory / name
        folder.mkdir(parents=True, exist_ok=True)
        told = "".join(f"\n## {section}\n\nMade for a test.\n" for section in SECTIONS)
        (folder / "README.md").write_text(f"---\n{yaml.safe_dump(front)}---\n# {name}\n{told}", encoding="utf-8")
        return read_card(folder)

    def finished(self, files: dict[str, bytes] = FILES, name: str = "tiny") -> Path:
        """The folder that the default card's source names."""
        return write_files(self.directory / name / "finished", files)


def pins(files: dict[str, bytes] = FILES) -> dict[str, str]:
    return {name: sha256(content) for name, content in files.items()}


def ensure_in_a_process(folder: Path, models: Path, answers: Queue[tuple[str, bool]]) -> None:
    """What a second process does: puts the digest, and whether this process was the one to get the files."""
    said: list[str] = []
    digest = ensure(read_card(folder), models, progress=said.append).digest
    answers.put((digest, any("getting" in line for line in said)))
