"""Checkpoints that must not come in: each refused with one line, and the one that serves goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines.checkpoints import ensure
from pipelines.checkpoints.folder import entries, sha256_of
from pipelines.policies import POLICY_IDS
from tests.benchmarks.bench import Bench, say
from tests.checkpoints import Cards
from tests.swapping import WEIGHTS, classifier
from workers.registry.store import read_state
from workers.stack.connection import SETTINGS_FILE

SLOT = "text.risk"
LABELS: dict[str, object] = {"benign": {}, "risky": {"policies": list(POLICY_IDS)}}
LIMIT_MB = 4096
"""What the engine may take in this proof."""
UNEVALUATED = "unevaluated"
"""Nothing is wrong with it but that nobody held it against the one that serves."""
GIANT_BYTES = LIMIT_MB * 2**20 // 2


def prove_refusals(bench: Bench) -> Iterator[str]:
    """Prints each refusal and yields what was let in, or told otherwise than in one line."""
    cards, models = Cards(bench.config.cards_directory), bench.config.models
    before = bench.engine().slots[SLOT].checkpoint
    for name, spoil in SPOILT.items():
        checkpoint = f"refused-{name}"
        spoil(checkpoint, cards, models)
        force = () if name == UNEVALUATED else ("--force", "prove-swap")
        done = liverisk(bench, "models", "promote", SLOT, checkpoint, *force)
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        say(f"{name}: exit {done.returncode}: {lines[-1] if lines else '(nothing)'}")
        if done.returncode == 0 or len(lines) != 1 or "Traceback" in done.stderr:
            yield f"{name}: exit {done.returncode}, {len(lines)} lines"
        if bench.engine().slots[SLOT].checkpoint != before:
            yield f"{name}: the engine serves {bench.engine().slots[SLOT].checkpoint.id}"
        filling = read_state(bench.storage).filling(SLOT)
        if filling is not None and filling.active.id == checkpoint:
            yield f"{name}: the registry was left with it"
        shutil.rmtree(cards.directory / checkpoint)


def liverisk(bench: Bench, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in this deployment, as somebody would give it."""
    settings = bench.config.state_directory / SETTINGS_FILE
    return subprocess.run(
        [sys.executable, "-m", "workers", *arguments],
        env={**os.environ, "LIVERISK_CONFIG": str(settings)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _whole(name: str, cards: Cards, models: Path, *, ruined: bool = False, words: int | None = None) -> Path:
    """A tiny checkpoint that is pulled; the folder that engines load."""
    card = cards.card(name, slots=[SLOT], kind="text-classification", labels=LABELS)
    classifier(cards.finished({}, name), ruined=ruined, words=words)
    return ensure(card, models).folder


def _corrupted(name: str, cards: Cards, models: Path) -> None:
    weights = _whole(name, cards, models) / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")


def _pickle(name: str, cards: Cards, models: Path) -> None:
    (_whole(name, cards, models) / "pytorch_model.bin").write_bytes(b"PK\x03\x04")


def _wrong_digest(name: str, cards: Cards, models: Path) -> None:
    _whole(name, cards, models)
    files = dict.fromkeys(("config.json", "tokenizer.json", "tokenizer_config.json", WEIGHTS), "0" * 64)
    cards.card(name, slots=[SLOT], kind="text-classification", labels=LABELS, files=files)


def _no_label_map(name: str, cards: Cards, models: Path) -> None:
    _whole(name, cards, models)
    path = cards.directory / name / "README.md"
    text = path.read_text(encoding="utf-8")
    start = text.index("  labels:")
    end = text.index("  sessions:", start)
    path.write_text(text[:start] + text[end:], encoding="utf-8")


def _raises(name: str, cards: Cards, models: Path) -> None:
    _whole(name, cards, models, words=4)


def _nan(name: str, cards: Cards, models: Path) -> None:
    _whole(name, cards, models, ruined=True)


def _too_large(name: str, cards: Cards, models: Path) -> None:
    """Beside its weights lie zeros that take no room on disk, and more memory than the engine may have."""
    folder = _whole(name, cards, models)
    header = json.dumps({"zeros": {"dtype": "U8", "shape": [GIANT_BYTES], "data_offsets": [0, GIANT_BYTES]}}).encode()
    with (folder / "zeros.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + GIANT_BYTES)
    files = {one: sha256_of(path) for one, path in entries(folder).items()}
    cards.card(name, slots=[SLOT], kind="text-classification", labels=LABELS, files=files)


def _as_it_is(name: str, cards: Cards, models: Path) -> None:
    _whole(name, cards, models)


SPOILT: dict[str, Callable[[str, Cards, Path], None]] = {
    UNEVALUATED: _as_it_is,
    "corrupted": _corrupted,
    "pickle": _pickle,
    "wrong-digest": _wrong_digest,
    "no-label-map": _no_label_map,
    "raises": _raises,
    "nan": _nan,
    "too-large": _too_large,
}
