"""Engine and client over a real socket. The models are functions; the process is this one."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Client
from pathlib import Path

import pytest

from pipelines.items import CheckpointRef, Failure, Item, Line, Result, Scores
from pipelines.models import DeadlinePassed
from tests.conftest import WaitUntil
from tests.engines import Predict, calling, calm, line_lengths, serving, tiny
from workers.config import Config
from workers.engine.address import engine_address
from workers.engine.batching import Batcher
from workers.engine.client import EngineClient
from workers.engine.engine import Engine
from workers.engine.errors import AlreadyRunning, CheckpointGone, EngineUnavailable
from workers.engine.handles import Handle
from workers.engine.server import EngineServer
from workers.engine.wire import unpack_reply


@pytest.fixture
def config(state_directory: Path) -> Config:
    return Config(state_directory=state_directory)


def answers(client: EngineClient) -> bool:
    with suppress(EngineUnavailable):
        return not client.status().ready
    return False


def test_an_answer_comes_back_over_the_socket(config: Config) -> None:
    with serving(config, tiny), calling(config) as client:
        models = client.models("room", lane="live", deadline=time.monotonic() + 20)
        assert models.checkpoints["text.risk"].id == "tiny"
        assert models.ask("text.risk", [Line("你好"), Line("hello")]) == [
            Scores(labels={"length": 2}),
            Scores(labels={"length": 5}),
        ]


def test_an_engine_listens_while_its_models_load_and_says_that_it_is_not_ready(config: Config) -> None:
    loaded = threading.Event()

    def load() -> Engine:
        assert loaded.wait(10)
        return tiny()

    with serving(config, load), calling(config) as client:
        with suppress(EngineUnavailable):
            assert not client.wait_until_ready(0).ready
        loaded.set()
        assert client.wait_until_ready(10).ready


def test_an_ask_outlives_the_engine_it_was_sent_to(config: Config, wait_until: WaitUntil) -> None:
    hanging, release = threading.Event(), threading.Event()

    def hang(items: Sequence[Item]) -> Sequence[Result]:
        hanging.set()
        assert release.wait(10)
        return [Failure(error="the first engine must not answer")] * len(items)

    answers: list[Sequence[Result]] = []

    def ask() -> None:
        with calling(config) as client:
            answers.append(
                client.models("room", lane="live", deadline=time.monotonic() + 30).ask("text.risk", [Line("abc")])
            )

    caller = threading.Thread(target=ask)
    with serving(config, lambda: tiny(hang)) as first:
        caller.start()
        assert hanging.wait(10)
        first.drop_callers()
        release.set()
    with serving(config, tiny):
        caller.join(20)
    assert answers == [[Scores(labels={"length": 3})]]


def test_a_deadline_passes_at_the_caller_even_when_the_model_hangs(config: Config) -> None:
    release = threading.Event()

    def hang(items: Sequence[Item]) -> Sequence[Result]:
        assert release.wait(10)
        return line_lengths(items)

    with serving(config, lambda: tiny(hang)), calling(config) as client:
        client.wait_until_ready(10)
        models = client.models("room", lane="live", deadline=time.monotonic() + 1)
        with pytest.raises(DeadlinePassed):
            models.ask("text.risk", [Line("abc")])
        release.set()


def test_a_segment_that_started_with_another_checkpoint_is_told_to_start_again(config: Config) -> None:
    with calling(config) as client:
        with serving(config, lambda: tiny(digest="a" * 64)):
            models = client.models("room", lane="live", deadline=time.monotonic() + 20)
        with serving(config, lambda: tiny(digest="b" * 64)), pytest.raises(CheckpointGone):
            models.ask("text.risk", [Line("abc")])


def test_a_deep_review_asks_the_heavier_checkpoint_of_a_slot(config: Config) -> None:
    def handle(name: str, digest: str, predict: Predict) -> Handle:
        ref = CheckpointRef(id=name, digest=digest * 64, session="function")
        return Handle(ref, Batcher(predict, name=name, max_batch=4), load_s=0, warm_up_s=0)

    def load() -> Engine:
        handles = {name: handle(name, "a", line_lengths) for name in ("text.risk", "speech")}
        return Engine(handles, {"text.risk": handle("heavy", "b", calm({"heavy": 1}))})

    with serving(config, load), calling(config) as client:
        deadline = time.monotonic() + 20
        live = client.models("room", lane="live", deadline=deadline)
        deep = client.models("room", lane="review", deadline=deadline, profile="deep")
        assert {slot: ref.id for slot, ref in live.checkpoints.items()} == {
            "text.risk": "text.risk",
            "speech": "speech",
        }
        assert {slot: ref.id for slot, ref in deep.checkpoints.items()} == {"text.risk": "heavy", "speech": "speech"}
        assert deep.ask("text.risk", [Line("abc")]) == [Scores(labels={"heavy": 1})]
        assert live.ask("text.risk", [Line("abc")]) == [Scores(labels={"length": 3})]
        status = client.status()
        assert (status.slots["text.risk"].bulk_items, status.deep["text.risk"].bulk_items) == (0, 1)
        assert set(status.deep) == {"text.risk"}


def test_there_is_one_engine_per_address(config: Config) -> None:
    with serving(config, tiny), calling(config) as client:
        client.wait_until_ready(10)
        with pytest.raises(AlreadyRunning):
            EngineServer(lambda report: tiny(), config).run()
        assert client.status().ready


def test_nobody_but_the_owner_may_open_the_socket(config: Config) -> None:
    with serving(config, tiny), calling(config) as client:
        client.wait_until_ready(10)
        assert Path(str(engine_address(config))).stat().st_mode & 0o077 == 0


def test_an_engine_for_workers_ends_when_the_last_of_them_is_gone(config: Config, wait_until: WaitUntil) -> None:
    attached = threading.Event()

    def load(report: object) -> Engine:
        assert attached.wait(10)
        return tiny()

    server = EngineServer(load, config, linger_s=0.1)
    thread = threading.Thread(target=server.run)
    thread.start()
    with calling(config) as client:
        wait_until(lambda: answers(client), "the engine listens")
        assert client.status(attach=True).attached == 1
        attached.set()
        assert client.wait_until_ready(10).attached == 1
    thread.join(10)
    assert not thread.is_alive()


def test_rubbish_from_one_caller_is_refused_and_the_others_are_served(config: Config) -> None:
    with serving(config, tiny), calling(config) as client:
        client.wait_until_ready(10)
        with Client(str(engine_address(config))) as rude:
            rude.send_bytes(b"\x00rubbish")
            refusal = unpack_reply(rude.recv_bytes())
        assert getattr(refusal, "reason", None) == "bad_request"
        assert client.status().ready


def test_a_load_that_fails_ends_the_engine_with_the_reason(config: Config) -> None:
    def load(report: object) -> Engine:
        raise ValueError("a card is wrong")

    with pytest.raises(ValueError, match="a card is wrong"):
        EngineServer(load, config).run()


def test_waiting_for_an_engine_that_never_comes_says_so(config: Config) -> None:
    started = time.monotonic()
    with calling(config) as client, pytest.raises(EngineUnavailable, match="not answering"):
        client.wait_until_ready(0.1)
    assert time.monotonic() >= started
