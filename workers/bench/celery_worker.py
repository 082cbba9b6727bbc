"""Plain Celery as a contender: a broker, a store and one worker with so many children."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipelines.cards import read_card
from pipelines.checkpoints import ensure
from pipelines.manifest import SegmentManifest
from pipelines.text.embedding_head import HEAD_FILE
from workers.bench import plain_celery
from workers.bench.contender import Pace
from workers.bench.corpus import Corpus
from workers.bench.costs import Roots
from workers.bench.pool import roots_of, serving
from workers.checkpoints import s3_fetcher
from workers.config import Config
from workers.stack.processes import Child
from workers.stack.services import Services
from workers.storage import Storage

ASK_EVERY_S = 0.25
"""Each result is asked for by itself, so that asking often would take the cores that are measured."""


def folders_of(config: Config) -> Mapping[str, str]:
    """Where the weights of the configured slots lie, by modality, and the text model's head."""
    found: dict[str, str] = {}
    for name, slot in config.slots.items():
        card = read_card(config.cards_directory / slot.checkpoint)
        kind = name.partition(".")[0]
        found[kind] = str(ensure(card, config.models, fetch_s3=s3_fetcher(config.store)).folder)
        if kind == "text":
            found["head"] = str(card.folder / HEAD_FILE)
    return found


@dataclass(frozen=True)
class PlainCelery:
    """The contender. `config` names a state directory of its own."""

    config: Config
    corpus: Corpus
    children: int
    ahead: int
    name: str = "celery"

    @contextmanager
    def start(self) -> Iterator[RunningCelery]:
        with Services(self.config.state_directory) as services:
            config = services.config(self.config)
            storage = Storage(config.store)
            storage.make_bucket()
            worker = self._worker(config)
            worker.start()
            app = _client(config)
            try:
                worker.wait_until(lambda: bool(app.control.ping(timeout=0.5)), timeout_s=120)
                yield RunningCelery(services, worker, storage, app, self.corpus, self.ahead)
            finally:
                app.close()
                worker.stop()

    def _worker(self, config: Config) -> Child:
        celery = [sys.executable, "-m", "celery", "-A", plain_celery.__name__, "worker"]
        return Child(
            "plain Celery",
            [*celery, f"--concurrency={self.children}", "--loglevel=WARNING"],
            log=config.state_directory / "celery.log",
            environment={**os.environ, **_places(config), plain_celery.FOLDERS: json.dumps(folders_of(config))},
        )


def _places(config: Config) -> Mapping[str, str]:
    store = config.store
    assert config.broker.url is not None
    assert store.endpoint_url is not None
    assert store.access_key is not None
    assert store.secret_key is not None
    return {
        plain_celery.BROKER: config.broker.url.get_secret_value(),
        plain_celery.BUCKET: store.bucket,
        plain_celery.ENDPOINT: store.endpoint_url,
        plain_celery.ACCESS_KEY: store.access_key.get_secret_value(),
        plain_celery.SECRET_KEY: store.secret_key.get_secret_value(),
    }


def _client(config: Config) -> Any:
    from celery import Celery

    assert config.broker.url is not None
    url = config.broker.url.get_secret_value()
    return Celery("bench-client", broker=url, backend=url, set_as_current=False)


@dataclass
class RunningCelery:
    services: Services
    worker: Child
    storage: Storage
    app: Any
    corpus: Corpus
    ahead: int
    _there: bool = field(default=False, init=False)

    def roots(self) -> Roots:
        return roots_of((*serving(self.services), self.worker))

    def play(self, segments: Sequence[SegmentManifest], at_s: Sequence[float]) -> list[float]:
        """A task says itself when it was finished; its result is asked for through the result backend."""
        self._upload()
        began = asked = time.time()
        under_way: dict[int, Any] = {}
        moments: dict[int, float] = {}

        def send(index: int) -> None:
            under_way[index] = self.app.send_task(plain_celery.TASK, [segments[index].as_message()])

        def finished() -> Sequence[int]:
            nonlocal asked
            if time.time() - asked < ASK_EVERY_S:
                return ()
            asked = time.time()
            ended = [index for index, result in under_way.items() if result.ready()]
            moments.update({index: under_way.pop(index).get() - began for index in ended})
            return ended

        Pace(at_s, ahead=self.ahead).run(send, finished, self.worker.name)
        return [moments[index] for index in range(len(segments))]

    def _upload(self) -> None:
        if not self._there:
            for key, body in self.corpus.objects.items():
                self.storage.put(key, body)
        self._there = True
