"""The ceiling: one process around the same models, the encoded media in memory; no broker, no store, no fusion.

It asks the models exactly what the pool asks them, with the same savings, and holds a set of single-threaded models for
each core: small batches leave a second thread of one model half idle, while two segments side by side fill both cores.

    python -m workers.bench.bare FOLDER --lanes 2
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from workers.bench.player import Player, own_replies, playing, serve

if TYPE_CHECKING:
    from pipelines.items import CheckpointRef, Item, Result
    from pipelines.manifest import SegmentManifest
    from pipelines.models import Model
    from workers.config import Config


@dataclass(frozen=True)
class Bare:
    """The contender. `savings` False: no frame is spared, no line, and no language remembered."""

    folder: Path
    log: Path
    lanes: int
    savings: bool = True
    name: str = "bare"

    @contextmanager
    def start(self) -> Iterator[Player]:
        command = [sys.executable, "-m", __name__, str(self.folder), "--lanes", str(self.lanes)]
        with playing([*command, *([] if self.savings else ["--no-savings"])], log=self.log) as player:
            yield player


class Lane:
    """One set of models, as `Models`. A segment's stages ask side by side, each model is asked once at a time."""

    def __init__(
        self, models: Mapping[str, Model], checkpoints: Mapping[str, CheckpointRef], cores: threading.Semaphore
    ) -> None:
        """`cores`: so many models work at a time, of all lanes together."""
        self._models = models
        self._locks = {slot: threading.Lock() for slot in models}
        self._cores = cores
        self.checkpoints = checkpoints

    def ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        with self._locks[slot], self._cores:
            return self._models[slot].predict(items)


def load_lanes(config: Config, lanes: int) -> list[Lane]:
    """So many sets of the configured models, one thread each."""
    from pipelines import kinds
    from pipelines.cards import read_card
    from pipelines.checkpoints import ensure
    from workers.checkpoints import s3_fetcher

    cores = threading.Semaphore(lanes)
    models: list[dict[str, Model]] = [{} for _ in range(lanes)]
    checkpoints: dict[str, CheckpointRef] = {}
    for name, slot in config.slots.items():
        card = read_card(config.cards_directory / slot.checkpoint)
        checkpoint = ensure(card, config.models, fetch_s3=s3_fetcher(config.store))
        session = kinds.session_for(card, slot.session, "cpu")
        checkpoints[name] = checkpoint.ref(session)
        for lane in models:
            lane[name] = kinds.load(card, checkpoint.folder, session=session, device="cpu", threads=1)
            lane[name].warm_up()
    return [Lane(lane, checkpoints, cores) for lane in models]


class Desk:
    """Examines segments, as many at a time as there are lanes."""

    def __init__(self, config: Config, folder: Path, lanes: int) -> None:
        from datetime import UTC, datetime

        from pipelines.decode import InProcess
        from pipelines.text.lexicon import read_lexicons
        from workers.bench.corpus import read_corpus

        self._settings = config.examination
        self._corpus = read_corpus(folder)
        self._lexicon = read_lexicons(config.lexicons_directory, today=datetime.now(UTC).date())
        self._decoder = InProcess()
        self._languages: dict[str, str] = {}
        self._free: SimpleQueue[Lane] = SimpleQueue()
        for lane in load_lanes(config, lanes):
            self._free.put(lane)

    def examine(self, manifest: SegmentManifest) -> None:
        from pipelines.examine import examine
        from workers.classify import certain_language
        from workers.fetch import fetch_segment

        lane = self._free.get()
        try:
            side_px = self._settings.frame_side_px
            segment = fetch_segment(manifest, self._corpus, decoder=self._decoder, max_side_px=side_px)
            known = self._languages.get(manifest.stream_id)
            seen = examine(segment, lane, self._settings, language=known, lexicon=self._lexicon)
        finally:
            self._free.put(lane)
        if (spoken := certain_language(seen.observations)) is not None:
            self._languages.setdefault(manifest.stream_id, spoken)


def main() -> None:
    replies = own_replies()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lanes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-savings", action="store_true")
    options = parser.parse_args()
    from workers.config import load_config

    config = load_config()
    if options.no_savings:
        config = config.model_copy(update={"examination": config.examination.without_savings()})
    desk = Desk(config, options.folder, options.lanes)
    serve(desk.examine, lanes=options.lanes, replies=replies)


if __name__ == "__main__":
    main()
