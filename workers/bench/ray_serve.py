"""The same models and sessions as Ray Serve deployments that batch, composed per segment.

    python -m workers.bench.ray_serve FOLDER

One replica a model, `@serve.batch` before each, and an ingress that fetches, decodes, asks and stores. Ray is in the
optional extra `bench`; its interpreter may be another one, as long as it finds this project's packages, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.bench.player import Player, own_replies, playing, serve
from workers.bench.pool import roots_of, serving
from workers.config import Config, load_config
from workers.stack.connection import environment_of, write_settings
from workers.stack.services import Services
from workers.storage import Storage

if TYPE_CHECKING:
    from pipelines.items import Item, Result
    from pipelines.manifest import SegmentManifest
    from workers.bench.corpus import Corpus

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 0.01
"""`batch_wait_timeout_s`, its default: how long a batch that is not full waits for more."""
SEGMENTS_A_BATCH = 8
AT_A_TIME = 8
"""Segments under way, as many as may make a batch."""


def has_ray(python: str) -> bool:
    """Whether this interpreter finds Ray."""
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('ray') is None)"
    try:
        return subprocess.run([python, "-c", look], check=False).returncode == 0
    except OSError:
        return False


@dataclass(frozen=True)
class RayServe:
    """The contender. `config` names a state directory of its own, `python` the interpreter that has Ray."""

    config: Config
    corpus: Corpus
    python: str
    name: str = "ray"

    @contextmanager
    def start(self) -> Iterator[Player]:
        with Services(self.config.state_directory) as services:
            config = services.config(self.config)
            storage = Storage(config.store)
            storage.make_bucket()
            for key, body in self.corpus.objects.items():
                storage.put(key, body)
            environment = {
                **environment_of(config),
                "LIVERISK_CONFIG": str(write_settings(config)),
                "PYTHONPATH": str(ROOT),  # replicas import this very code, wherever their interpreter lives
                "RAY_USAGE_STATS_ENABLED": "0",
            }
            beside = roots_of(serving(services))
            log = config.state_directory / "ray.log"
            command = [self.python, "-m", __name__]
            with playing(command, log=log, environment=environment, beside=beside) as player:
                yield player


class Slot:
    """One model in a replica. Its batches are of several segments' questions, flattened and given back apart."""

    def __init__(self, name: str) -> None:
        from pipelines import kinds
        from pipelines.cards import read_card
        from pipelines.checkpoints import ensure
        from pipelines.models import at_a_time
        from workers.checkpoints import s3_fetcher

        config = load_config()
        card = read_card(config.cards_directory / config.slots[name].checkpoint)
        folder = ensure(card, config.models, fetch_s3=s3_fetcher(config.store)).folder
        session = kinds.session_for(card, config.slots[name].session, "cpu")
        threads = max(1, (os.cpu_count() or 1) // 2)
        self._model = kinds.load(card, folder, session=session, device="cpu", threads=threads)
        self._model.warm_up()
        self._at_a_time = at_a_time(self._model)

    def answers(self, questions: Sequence[Sequence[Item]]) -> list[Sequence[Result]]:
        flat = [item for items in questions for item in items]
        results = self._predicted(flat)
        ends = [sum(map(len, questions[: index + 1])) for index in range(len(questions))]
        return [results[end - len(items) : end] for items, end in zip(questions, ends, strict=True)]

    def _predicted(self, items: Sequence[Item]) -> Sequence[Result]:
        """One batch, or side by side what the model takes side by side in the pool."""
        if self._at_a_time == 1:
            return self._model.predict(items)
        with ThreadPoolExecutor(self._at_a_time) as lanes:
            return list(lanes.map(lambda item: self._model.predict([item])[0], items))


class Segments:
    """The ingress: one segment from its media to its stored result."""

    def __init__(self, vision: Any, speech: Any, ocr: Any, text: Any) -> None:
        self._slots = {"vision": vision, "speech": speech, "ocr": ocr, "text": text}
        config = load_config()
        self._side_px = config.examination.frame_side_px
        self._storage = Storage(config.store)

    async def __call__(self, message: dict[str, Any]) -> None:
        from pipelines.decode import InProcess
        from pipelines.items import Clip, Line
        from pipelines.manifest import parse_manifest
        from workers.fetch import fetch_segment

        manifest = parse_manifest(message)
        decoder = InProcess()
        segment = await asyncio.to_thread(
            fetch_segment, manifest, self._storage, decoder=decoder, max_side_px=self._side_px
        )
        pictures = [frame.picture for frame in segment.frames if frame.picture is not None]
        clips = [Clip(segment.audio)] if segment.audio is not None else []
        chat = [Line(line.text) for line in segment.chat or ()]
        seen, read, heard, talked = await asyncio.gather(
            self._ask("vision", pictures),
            self._ask("ocr", pictures),
            self._ask("speech", clips),
            self._ask("text", chat),
        )
        written = [line.text for result in read for line in getattr(result, "lines", ())]
        said = [span.text for result in heard for span in getattr(result, "spans", ())]
        more = await self._ask("text", [Line(text) for text in (*written, *said)])
        results = {"vision": seen, "ocr": read, "speech": heard, "text": [*talked, *more]}
        body = {name: [result.model_dump() for result in of] for name, of in results.items()}
        key = f"results/{manifest.stream_id}/{manifest.segment_id}.json"
        await asyncio.to_thread(self._storage.put, key, json.dumps(body, ensure_ascii=False).encode())

    async def _ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        return await self._slots[slot].remote(list(items)) if items else ()


def application(config: Config) -> Any:
    """The deployments, bound to one another."""
    from ray import serve as ray_serve

    options = {"max_ongoing_requests": 4 * AT_A_TIME, "ray_actor_options": {"num_cpus": 0.1}}

    class BatchedSlot(Slot):
        @ray_serve.batch(max_batch_size=SEGMENTS_A_BATCH, batch_wait_timeout_s=WAIT_S)  # type: ignore[untyped-decorator]
        async def __call__(self, questions: list[Sequence[Item]]) -> list[Sequence[Result]]:
            return self.answers(questions)

    slots: Mapping[str, str] = {name.partition(".")[0]: name for name in config.slots}
    deployed: Any = ray_serve.deployment(**options)(BatchedSlot)
    bound = {kind: deployed.options(name=kind).bind(name) for kind, name in slots.items()}
    return ray_serve.deployment(**options)(Segments).bind(
        *(bound[kind] for kind in ("vision", "speech", "ocr", "text"))
    )


def main() -> None:
    replies = own_replies()
    argparse.ArgumentParser(description=__doc__).parse_args()
    import ray
    from ray import serve as ray_serve

    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
    ray_serve.start(proxy_location="Disabled")
    handle = ray_serve.run(application(load_config()), name="bench", route_prefix=None)

    def examine(manifest: SegmentManifest) -> None:
        handle.remote(manifest.as_message()).result()

    serve(examine, lanes=AT_A_TIME, replies=replies)
    ray_serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
