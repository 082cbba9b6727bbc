"""Checkpoints swapped from the command line under a pool of real processes that is at work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from pipelines.manifest import SegmentManifest
from pipelines.record import Record
from pipelines.text.embedding_head import HEAD_FILE, Head, write_head
from tests import tiny_checkpoints as tiny
from tests import tiny_speech
from tests.conftest import own_database, wait_for
from tests.engines import calling
from tests.segments import store_segment
from tests.swapping import FORCED, SLOT, Workshop
from workers.cli.rescan_words import forecast_lines
from workers.config import Config, Slot, load_config
from workers.engine.errors import EngineUnavailable
from workers.publish import Publisher
from workers.records import read_record, record_key_of, record_keys
from workers.registry import moves
from workers.runs.dry_run import forecast
from workers.runs.hold import tell
from workers.runs.planning import RescanOrder, plan_rescan
from workers.runs.selection import Selection
from workers.runs.store import Runs
from workers.stack.connection import environment_of
from workers.stack.services import Services
from workers.state import connect
from workers.storage import Storage

SEGMENTS = 40
EYE = "vision.nudity"
HEADS = "heads"
"""The stream that is looked at again after a head changed."""


class TinyPool:
    """One worker of two children and its engine, whose slots are filled by tiny checkpoints."""

    def __init__(self, services: Services, directory: Path) -> None:
        # Another pool may be up: one that shares a broker's database would take the segments of this one.
        base = own_database(services.config(load_config(environment={}), bucket="pool-of-tiny-ones"), services)
        kept = base.examination.model_copy(update={"keep_embeddings": True})
        self.workshop = Workshop(base.model_copy(update={"state_directory": directory, "examination": kept}), directory)
        self.config: Config = self._furnished(self.workshop)
        told = {"slots", "cards_directory", "models_directory", "registry", "examination"}
        settings = self.config.model_dump(mode="json", include=told)
        (directory / "liverisk.yaml").write_text(yaml.safe_dump(settings))
        self.environment = {
            **os.environ,
            **environment_of(self.config),
            "LIVERISK_CONFIG": str(directory / "liverisk.yaml"),
        }
        self.log = directory / "worker.log"
        self.storage = Storage(self.config.store)

    def _furnished(self, workshop: Workshop) -> Config:
        """Every slot that the shipped settings have is filled by something tiny."""
        others: dict[str, tuple[str, str, str, Callable[[Path], None]]] = {
            EYE: ("eye", "image-classification", "torch", tiny.resnet),
            "speech": ("ear", "whisper", "torch", tiny_speech.whisper),
            "ocr": ("reader", "screen-text", "onnx", tiny.screen_reader),
        }
        slots = dict(workshop.config.slots)
        for slot, (name, kind, session, make) in others.items():
            labels: dict[str, object] = {"benign": {}, "risky": {"policies": ["sexual"]}} if name == "eye" else {}
            workshop.cards.card(name, slots=[slot], kind=kind, sessions=[session], labels=labels)
            folder = workshop.cards.directory / name / "finished"
            folder.mkdir()
            make(folder)
            workshop.pull(name)
            slots[slot] = Slot(checkpoint=name, threads=1)
        return workshop.config.model_copy(update={"slots": slots})

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "workers", "worker", "--concurrency=2"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def begin_again(self) -> None:
        """As before the first move: no registry, no history, the configured checkpoint in the slot."""
        for key in list(self.storage.keys("registry/")):
            self.storage.delete(key)
        wait_for(self._is_as_configured, f"the pool is as configured (log: {self.log})", timeout_s=60)

    def _is_as_configured(self) -> bool:
        with calling(self.config) as client, suppress(EngineUnavailable):
            status = client.status()
            return status.ready and status.registry == 0 and status.slots[SLOT].checkpoint.id == "one"
        return False

    def liverisk(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "workers", "models", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def sent(self, stream: str, count: int) -> list[SegmentManifest]:
        """Segments of chat, stored and queued."""
        found = [store_segment(self.storage, stream, n, frames=[], chat=[f"hello {n}"]) for n in range(count)]
        with Publisher(self.config) as publisher:
            for manifest in found:
                publisher.send(manifest)
        return found

    def workshop_heads(self, number: int) -> None:
        """Checkpoints `head-N` and `phrases-N`, which differ from those of another number in what no encoder knows."""
        cards, name = self.workshop.cards, f"head-{number}"
        card = cards.card(
            name, slots=[SLOT], kind="embedding-head", labels={"risky": {"policies": ["scam"]}}, artefacts=[HEAD_FILE]
        )
        tiny.embedding_head(cards.finished({}, name))
        (card.folder / "finished" / HEAD_FILE).unlink()
        write_head(
            Head(("risky",), number * np.linspace(-1, 1, 16, dtype=np.float32)[None], np.zeros(1, np.float32)),
            card.folder / HEAD_FILE,
        )
        labels = {
            "dice": {"policies": ["gambling"], "prompts": [tiny.WORDS[number]]},
            "nothing": {"prompts": ["nothing"]},
        }
        cards.card(f"phrases-{number}", slots=[EYE], kind="zero-shot-image-classification", labels=labels)
        tiny.clip(cards.finished({}, f"phrases-{number}"))
        for made in (name, f"phrases-{number}"):
            self.workshop.pull(made)

    def promoted(self, slot: str, checkpoint: str) -> None:
        """Returns when the engine serves it."""
        (answer,) = moves.await_engines(self.config, moves.promote(self.config, slot, checkpoint, FORCED), 60)
        assert answer.problem is None

    def counts(self) -> dict[str, tuple[int, int]]:
        """Slot -> items that its checkpoint was asked about, and those of them for which no encoder ran."""
        with calling(self.config) as client:
            slots = client.status().slots
        return {slot: (slots[slot].items, slots[slot].rescored) for slot in (SLOT, EYE)}

    def examined(self, stream: str, count: int) -> list[Record]:
        """Segments of frames and chat, as the pool records them."""
        manifests = [store_segment(self.storage, stream, n, chat=[f"hello {n}", "p.a.y f1rst"]) for n in range(count)]
        with Publisher(self.config) as publisher:
            for manifest in manifests:
                publisher.send(manifest)
        keys = [record_key_of(manifest) for manifest in manifests]
        wait_for(lambda: all(map(self.storage.exists, keys)), "all have a record")
        return [read_record(self.storage, key) for key in keys]

    def rescanned(self, order: RescanOrder) -> list[Record]:
        """The records of the run, in the order of time."""
        plan = plan_rescan(self.config, self.storage, order)
        with connect(self.config) as client:
            tell(client)
        wait_for(lambda: Runs(self.storage).state(plan.run) == "finished", "the run is over", timeout_s=60)
        found = [read_record(self.storage, key) for key in record_keys(self.storage, stream_id=HEADS)]
        return sorted((one for one in found if one.run == plan.run), key=lambda one: one.captured_at)

    def checkpoints(self, manifests: list[SegmentManifest]) -> list[str]:
        """Which one each segment was given, once all have their record."""
        stream = manifests[0].stream_id
        wait_for(
            lambda: sum(1 for _ in record_keys(self.storage, stream_id=stream)) == len(manifests), "all have a record"
        )
        records = [read_record(self.storage, record_key_of(one)) for one in manifests]
        assert all(record.observations.coverage["chat"].status == "examined" for record in records)
        return [record.observations.checkpoints[SLOT].id for record in records]


def ready(config: Config) -> bool:
    with calling(config) as client, suppress(EngineUnavailable):
        return client.status().ready
    return False


def engine_pid(config: Config) -> int:
    with calling(config) as client:
        return client.status().pid


@pytest.fixture(scope="module")
def started(services: Services) -> Iterator[TinyPool]:
    directory = Path(tempfile.mkdtemp(prefix="liverisk-swap-"))
    running = TinyPool(services, directory)
    running.storage.make_bucket()
    worker = running.start()
    try:
        wait_for(lambda: ready(running.config), f"the pool is ready (log: {running.log})", timeout_s=280)
        yield running
    finally:
        with suppress(EngineUnavailable, psutil.Error):
            psutil.Process(engine_pid(running.config)).terminate()
        worker.terminate()
        worker.wait(30)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def pool(started: TinyPool) -> TinyPool:
    started.begin_again()
    return started


def test_segments_under_way_while_a_checkpoint_is_promoted_are_all_recorded_by_one_of_the_two(pool: TinyPool) -> None:
    manifests = pool.sent("swapped", SEGMENTS)
    done = pool.liverisk("promote", SLOT, "two", "--why", "a test", "--force", "tiny", "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["refused"], [one["problem"] for one in said["engines"]]) == (0, False, [None])
    assert set(pool.checkpoints(manifests)) <= {"one", "two"}
    assert set(pool.checkpoints(pool.sent("after", 2))) == {"two"}
    assert pool.liverisk("rollback", SLOT).returncode == 0
    assert set(pool.checkpoints(pool.sent("rolled-back", 2))) == {"one"}
    shown = [json.loads(line) for line in pool.liverisk("history", SLOT, "--json").stdout.splitlines()]
    assert [move["step"] for move in shown] == ["promote", "rollback"]


def test_a_checkpoint_that_cannot_answer_is_refused_in_one_line_and_withdrawn(pool: TinyPool) -> None:
    pool.workshop.add("bad", 1, ruined=True)
    done = pool.liverisk("promote", SLOT, "bad", "--force", "tiny")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("liverisk: refused: bad: ")
    assert "withdrawn" in line
    assert set(pool.checkpoints(pool.sent("still", 2))) == {"one"}


def test_an_engine_that_is_killed_as_it_takes_a_checkpoint_in_comes_up_with_it(pool: TinyPool) -> None:
    before = engine_pid(pool.config)
    assert pool.liverisk("promote", SLOT, "three", "--no-wait", "--force", "tiny").returncode == 0
    psutil.Process(before).kill()
    assert set(pool.checkpoints(pool.sent("killed", 4))) == {"three"}
    assert engine_pid(pool.config) != before


def test_a_rescan_after_heads_changed_scores_what_is_stored_and_runs_no_encoder(pool: TinyPool) -> None:
    """Of texts another linear layer, of frames other phrases; their pixels are not even there any more."""
    for number in (1, 2):
        pool.workshop_heads(number)
    pool.promoted(SLOT, "head-1")
    pool.promoted(EYE, "phrases-1")
    first = pool.examined(HEADS, 2)
    pool.promoted(SLOT, "head-2")
    pool.promoted(EYE, "phrases-2")
    anew = pool.examined("anew", 2)
    for media in (one for record in first for one in record.media):
        pool.storage.delete(media.key)

    order = RescanOrder(Selection(streams=(HEADS,)))
    told = list(forecast_lines(forecast(pool.config, pool.storage, order)))
    assert "  re-scored from stored embeddings: frames 2, text 2 of 2 sampled" in told
    before = pool.counts()
    again = pool.rescanned(order)

    asked = {slot: after[0] - before[slot][0] for slot, after in pool.counts().items()}
    assert all(asked.values())
    assert {slot: after[1] - before[slot][1] for slot, after in pool.counts().items()} == asked
    for old, new, wanted in zip(first, again, anew, strict=True):
        assert new.observations.checkpoints == wanted.observations.checkpoints
        assert set(new.reran) == {"frames", "text"}
        assert scores_of(new) == scores_of(wanted) != scores_of(old)


def scores_of(record: Record) -> list[dict[str, dict[str, float]]]:
    seen = record.observations
    return [*(frame.scores for frame in seen.frames), *(text.scores for text in seen.texts)]
