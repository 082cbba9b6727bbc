"""Two text checkpoints that really differ, held against each other on chat lines that somebody judged.

    python -m tests.benchmarks.compare_page [--out FOLDER]

The old one is what fills `text.risk`. The new one is made here: the same encoder, and a head that knows no more than
where the hand-written lines about each policy lie on average. It must be found to disagree, and be refused.
`compare.html` and, where there is a chromium, `compare.png` are left in the folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml

from pipelines.cards import CARDS_DIRECTORY, Card, read_card
from pipelines.checkpoints import ensure
from pipelines.policies import POLICY_IDS
from pipelines.text.embedding_head import HEAD_FILE, Head, write_head
from pipelines.text.encoder import Embedder
from tests.benchmarks.bench import say
from workers.comparison.asked import of_lines
from workers.comparison.comparing import evaluate
from workers.comparison.page import evaluation_page
from workers.comparison.words import evaluation_lines
from workers.config import Config, load_config
from workers.registry.store import State

SLOT = "text.risk"
OLD, NEW = "e5-small-risk", "e5-small-middles"
LINES = CARDS_DIRECTORY / OLD / "evaluation" / "chat.jsonl"
KNOWN = CARDS_DIRECTORY / OLD / "phrases" / "heldout.jsonl"
STEEPNESS = 40.0
"""Of the new head: cosines of this encoder lie close together."""
DISAGREEING = 3
"""Policies about which both must disagree, of twelve."""


def make_checkpoint(config: Config, cards: Path) -> Card:
    """A card beside a copy of the old one: of each policy the middle of its lines, against the middle of all."""
    shutil.copytree(CARDS_DIRECTORY / OLD, cards / OLD)
    old = read_card(cards / OLD)
    rows = [json.loads(line) for line in KNOWN.read_text(encoding="utf-8").splitlines()]
    embedder = Embedder(ensure(old, config.models).folder, device="cpu", threads=1)
    vectors = embedder.embed([row["text"] for row in rows])
    about = [np.array([policy in row["policies"] for row in rows]) for policy in POLICY_IDS]
    weight = np.stack([vectors[one].mean(axis=0) - vectors[~one].mean(axis=0) for one in about])
    weight *= STEEPNESS / np.linalg.norm(weight, axis=1, keepdims=True)
    sides = [(vectors[one] @ row, vectors[~one] @ row) for one, row in zip(about, weight, strict=True)]
    bias = np.array([-(inside.mean() + outside.mean()) / 2 for inside, outside in sides])
    (cards / NEW).mkdir()
    write_head(Head(POLICY_IDS, weight.astype(np.float32), bias.astype(np.float32)), cards / NEW / HEAD_FILE)
    front = {**old.metadata, "liverisk": {**old.metadata["liverisk"], "artefacts": [HEAD_FILE]}}
    front["liverisk"]["labels"] = {policy: {"policies": [policy]} for policy in POLICY_IDS}
    text = yaml.safe_dump(front, allow_unicode=True)
    (cards / NEW / "README.md").write_text(f"---\n{text}---\n{old.body}", encoding="utf-8")
    return read_card(cards / NEW)


def screenshot(page: Path, picture: Path) -> bool:
    """Whether there is a chromium, and it could draw the page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        return False
    options = ("--headless", "--no-sandbox", f"--screenshot={picture}", "--window-size=1100,7000")
    subprocess.run([browser, *options, page.as_uri()], check=True, capture_output=True, timeout=120)
    return picture.exists()


def run(config: Config, out: Path) -> Iterator[str]:
    """Prints both checkpoints' figures, leaves the page in `out`, and yields what is not as it must be."""
    with tempfile.TemporaryDirectory() as folder:
        cards = Path(folder) / "cards"
        make_checkpoint(config, cards)
        slots = {SLOT: config.slots[SLOT].model_copy(update={"checkpoint": OLD})}
        aside = config.model_copy(update={"cards_directory": cards, "slots": slots})
        found = evaluate(aside, State(), SLOT, NEW, of_lines(LINES, SLOT), say)
    for line in evaluation_lines(found):
        say(line)
    out.mkdir(parents=True, exist_ok=True)
    page = out / "compare.html"
    page.write_text(evaluation_page(found), encoding="utf-8")
    drawn = screenshot(page, out / "compare.png")
    say(f"wrote {page}" + (" and compare.png" if drawn else "; no chromium here to draw it"))
    apart = [one.policy for one in found.comparison.policies if one.flags.differ]
    if len(apart) < DISAGREEING:
        yield f"compare: two different checkpoints disagree about {len(apart)} policies only"
    if found.comparison.compared != found.comparison.items:
        yield f"compare: {found.comparison.items - found.comparison.compared} items were not compared"
    if not [line for line in found.regressions if "average precision" in line]:
        yield "compare: a head that knows hardly anything is not refused for its quality"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "liverisk-compare")
    options = parser.parse_args()
    wrong = list(run(load_config(), options.out))
    for line in wrong:
        say(f"NOT AS IT MUST BE: {line}")
    sys.exit(3 if wrong else 0)


if __name__ == "__main__":
    main()
