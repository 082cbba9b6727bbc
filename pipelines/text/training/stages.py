"""The two stages of the adapter, and what they start from.

`BROAD` learns from what there is much of. `NARROW` follows it and is short: it adds the small data sets, whose labels
are dear, and repeats some of the others so that they are not unlearned. Cross-validation of the small data sets
repeats `NARROW` alone, from an adapter that never saw them; so the broad stage must leave them out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pipelines.sessions.adapter import WEIGHTS_FILE
from pipelines.text.encoder import Embedder, Window
from pipelines.text.training.adapted import Adapted, Lora, load_adapter, save_adapter
from pipelines.text.training.corpus import Corpus
from pipelines.text.training.datasets import PHRASES
from pipelines.text.training.probe import begin
from pipelines.text.training.progress import Progress
from pipelines.text.training.states import StateStore
from pipelines.text.training.targets import LABELS
from pipelines.text.training.tuning import Stage, Tuning, fingerprint

MAX_TOKENS = 256
"""Of a longer text the beginning is learned; chat lines and comments are far shorter. The card's option is the same."""

SMALL = ("Moderation half", "Surge half")
LORA = Lora()
BROAD = Stage("broad stage", {"COLD train": 0.5, "Davidson": 0.5, PHRASES: 0.35}, epochs=5)
NARROW = Stage(
    "narrow stage",
    {**dict.fromkeys(SMALL, 1.0), "COLD train": 0.015, "Davidson": 0.04, PHRASES: 0.03},
    epochs=4,
    rate=3e-4,
    patience=0,
    tokens=1536,
)


@dataclass(frozen=True)
class Workshop:
    """What both stages work with. `folder` keeps states and snapshots for the next run.

    `base_model` is the encoder's public name, `encoder_sha256` the digest of its weights.
    """

    embedder: Embedder
    corpus: Corpus
    folder: Path
    base_model: str
    encoder_sha256: str
    progress: Progress
    lora: Lora = LORA

    def store(self) -> StateStore:
        frozen = len(self.embedder.module.encoder.layer) - self.lora.layers
        name = f"text-risk-states-{self.encoder_sha256[:12]}-{frozen}"
        return StateStore(self.folder / name, self.embedder, frozen)


class Bench:
    """A workshop in use: the one model in memory, its cached states, and the folders of its stages."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self.store = shop.store()
        self.adapted = Adapted(shop.embedder.module, shop.lora, len(LABELS))
        self._nothing = {name: tensor.detach().clone() for name, tensor in self.adapted.kept().items()}

    def prepare(self, windows: list[Window]) -> None:
        self.store.prepare(windows, self.shop.progress)

    def broad(self, stage: Stage = BROAD) -> Path:
        """Trains the broad stage from nothing, or goes on with it; the folder of its adapter."""
        folder = self._tuned(stage, self.shop.corpus, None)
        save_adapter(self.adapted, folder, self.shop.base_model)
        return folder

    def narrow(self, broad: Path, corpus: Corpus, stage: Stage = NARROW) -> Path:
        """Goes on from the adapter in `broad` with the small data sets of this corpus; the folder of its adapter."""
        folder = self._tuned(stage, corpus, broad)
        save_adapter(self.adapted, folder, self.shop.base_model)
        return folder

    def reset(self, adapter: Path | None) -> None:
        """The model as it came, or with this adapter; heads that say nothing."""
        self.adapted.restore(self._nothing)
        if adapter is not None:
            load_adapter(self.adapted, adapter)

    def _tuned(self, stage: Stage, corpus: Corpus, beginning: Path | None) -> Path:
        shop = self.shop
        before = _digest(beginning / WEIGHTS_FILE) if beginning else shop.encoder_sha256
        name = fingerprint(stage, corpus, f"{before} {shop.lora}")
        folder = shop.folder / f"text-risk-{stage.name.partition(' ')[0]}-{name}"
        rows = corpus.rows("train", stage.sources)
        self.prepare([corpus.windows[row] for row in (*rows, *corpus.rows("tune", stage.sources))])
        self.reset(beginning)
        begin(self.adapted, corpus, self.store, rows)
        Tuning(self.adapted, corpus, self.store, stage, folder, shop.progress).run()
        return folder


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
