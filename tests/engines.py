"""Engines whose models are functions, served over a real socket from a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from pipelines.items import CheckpointRef, Item, Line, Result, Scores, ScreenText, Transcript
from workers.config import Config
from workers.engine.batching import Batcher
from workers.engine.client import EngineClient
from workers.engine.engine import Engine
from workers.engine.handles import Handle
from workers.engine.server import EngineServer

Predict = Callable[[Sequence[Item]], Sequence[Result]]


def line_lengths(items: Sequence[Item]) -> Sequence[Result]:
    """Scores each line by its length."""
    return [Scores(labels={"length": len(item.text)}) for item in items if isinstance(item, Line)]


def calm(labels: Mapping[str, float]) -> Predict:
    """Gives every item these scores."""
    return lambda items: [Scores(labels=dict(labels)) for _ in items]


def silent(items: Sequence[Item]) -> Sequence[Result]:
    return [Transcript(language=None, language_probability=0, spans=(), speech_s=0) for _ in items]


def textless(items: Sequence[Item]) -> Sequence[Result]:
    return [ScreenText(lines=()) for _ in items]


def engine(slots: Mapping[str, tuple[str, Predict]], digest: str = "a" * 64) -> Engine:
    """Slot -> (checkpoint id, function); all with the same digest."""
    handles = {
        slot: Handle(
            CheckpointRef(id=name, digest=digest, session="function"), Batcher(predict, name=slot, max_batch=4), 0, 0
        )
        for slot, (name, predict) in slots.items()
    }
    return Engine(handles)


def tiny(predict: Predict = line_lengths, digest: str = "a" * 64) -> Engine:
    """An engine of one text slot."""
    return engine({"text.risk": ("tiny", predict)}, digest)


@contextmanager
def serving(config: Config, load: Callable[[], Engine], linger_s: float | None = None) -> Iterator[EngineServer]:
    """Serves the engine at the configured address until the block ends."""
    server = EngineServer(lambda report: load(), config, linger_s=linger_s)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


@contextmanager
def calling(config: Config) -> Iterator[EngineClient]:
    """A client of the engine at the configured address."""
    client = EngineClient(config)
    try:
        yield client
    finally:
        client.close()
