"""What a client meets when the engine is slow, away, mute, broken or stuck; over real sockets."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.items import Failure, Item, Line, Result, Scores
from pipelines.models import DeadlinePassed
from tests.engines import calling, line_lengths, serving, tiny
from workers import watchdog
from workers.config import Config
from workers.config import Engine as EngineSettings
from workers.engine.address import engine_address
from workers.engine.client import EngineAway
from workers.engine.engine import BROKEN_BATCHES, Engine
from workers.engine.errors import EngineBroken, EngineUnavailable
from workers.engine.server import STUCK_EXIT_CODE, EngineServer
from workers.engine.wire import Ask
from workers.stack.processes import free_ports

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(state_directory: Path) -> Config:
    return Config(state_directory=state_directory)


def test_an_engine_that_takes_most_of_a_segments_time_to_become_ready_puts_the_segment_back(config: Config) -> None:
    loaded = threading.Event()

    def load() -> Engine:
        assert loaded.wait(10)
        return tiny()

    with serving(config, load), calling(config) as client:
        deadline = time.monotonic() + 3
        with pytest.raises(EngineUnavailable, match="not ready"):
            client.models("room", lane="live", deadline=deadline)
        assert time.monotonic() < deadline  # it does not wait for what would leave no time to ask
        loaded.set()


def test_a_deadline_after_the_engine_was_away_puts_the_segment_back(config: Config) -> None:
    hanging, asked_again, release = threading.Event(), threading.Event(), threading.Event()

    def hang(items: Sequence[Item]) -> Sequence[Result]:
        hanging.set()
        assert release.wait(30)
        return line_lengths(items)

    def slow_after_the_first(items: Sequence[Item]) -> Sequence[Result]:
        if asked_again.is_set():
            assert release.wait(30)
        asked_again.set()
        return line_lengths(items)

    outcomes: list[Sequence[Result] | str] = []

    def ask() -> None:
        with calling(config) as client:
            models = client.models("room", lane="live", deadline=time.monotonic() + 6)
            outcomes.append(models.ask("text.risk", [Line("abc")]))
            try:
                models.ask("text.risk", [Line("too late")])
            except (DeadlinePassed, EngineUnavailable) as error:
                outcomes.append(type(error).__name__)

    caller = threading.Thread(target=ask)
    with serving(config, lambda: tiny(hang)) as first:
        caller.start()
        assert hanging.wait(10)
        first.drop_callers()
        first.stop()
        release.set()
    release.clear()
    with serving(config, lambda: tiny(slow_after_the_first)):
        caller.join(20)
        release.set()
    assert outcomes == [[Scores(labels={"length": 3})], "EngineUnavailable"]


@pytest.fixture
def keyed() -> Config:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    return Config(engine=EngineSettings.model_validate({"address": address, "key": "right"}))


def test_an_engine_on_the_network_needs_the_shared_key(keyed: Config) -> None:
    wrong = Config(engine=EngineSettings.model_validate({"address": keyed.engine.address, "key": "wrong"}))
    with serving(keyed, tiny), calling(keyed) as client, calling(wrong) as stranger:
        client.wait_until_ready(10)
        with pytest.raises(EngineUnavailable):
            stranger.status()
        assert client.status().ready


def test_a_mute_connection_keeps_nobody_else_out_of_a_network_engine(keyed: Config) -> None:
    address = engine_address(keyed)
    assert isinstance(address, tuple)
    with serving(keyed, tiny), calling(keyed) as early:
        early.wait_until_ready(10)
        with socket.create_connection(address), calling(keyed) as late:
            assert late.status().ready


def test_a_mute_engine_keeps_nobody_beyond_the_deadline(keyed: Config) -> None:
    with socket.create_server(engine_address(keyed)), calling(keyed) as client:
        with pytest.raises(EngineUnavailable):
            client.status(timeout_s=0.2)
        with pytest.raises(EngineUnavailable):
            client.models("room", lane="live", deadline=time.monotonic() + 0.5)


def test_an_engine_whose_model_fails_every_batch_ends_and_the_next_one_answers(config: Config) -> None:
    def fail(items: Sequence[Item]) -> Sequence[Result]:
        raise MemoryError

    broken, ended = EngineServer(lambda report: tiny(fail), config), []

    def run() -> None:
        with pytest.raises(EngineBroken, match=r"text\.risk"):
            broken.run()
        ended.append("broken")

    thread = threading.Thread(target=run)
    thread.start()
    answers: list[Sequence[Result]] = []

    def ask() -> None:
        with calling(config) as client:
            models = client.models("room", lane="live", deadline=time.monotonic() + 30)
            answers.extend(models.ask("text.risk", [Line("abc")]) for _ in range(BROKEN_BATCHES))

    caller = threading.Thread(target=ask)
    caller.start()
    thread.join(20)
    assert ended == ["broken"]
    with serving(config, tiny):
        caller.join(20)
    assert answers[:-1] == [[Failure(error="MemoryError")]] * (BROKEN_BATCHES - 1)
    assert answers[-1] == [Scores(labels={"length": 3})]


def test_an_engine_with_a_hanging_batch_ends_its_process(config: Config) -> None:
    program = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from tests.engines import engine\n"
        "from workers.config import Config, Engine\n"
        "from workers.engine.server import EngineServer\n"
        "hang = lambda items: threading.Event().wait()\n"
        "config = Config(state_directory=Path(sys.argv[1]), engine=Engine(stuck_s=0.2))\n"
        "EngineServer(lambda report: engine({'text.risk': ('tiny', hang)}), config).run()\n"
    )
    command = [sys.executable, "-c", program, str(config.state_directory)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as hanging, calling(config) as client:
        models = client.models("room", lane="live", deadline=time.monotonic() + 60)
        head = Ask(slot="text.risk", digest=models.checkpoints["text.risk"].digest, lane="live", remaining_s=None)
        with pytest.raises(EngineAway):
            client.ask(head, [Line("abc")], time.monotonic() + 30)
        _, lines = hanging.communicate(timeout=10)
    assert hanging.returncode == STUCK_EXIT_CODE
    assert "a batch of text.risk has been running" in lines


def test_an_engine_that_a_library_holds_up_whole_ends_its_process(config: Config) -> None:
    """A call that keeps the interpreter to itself: no thread of Python gets to see that it hangs."""
    program = (
        "import ctypes, sys\n"
        "from pathlib import Path\n"
        "from tests.engines import engine\n"
        "from workers.config import Config\n"
        "from workers.engine.server import EngineServer\n"
        "from workers.watchdog import Watchdog\n"
        "hang = lambda items: ctypes.PyDLL(None).sleep(600)\n"
        "config = Config(state_directory=Path(sys.argv[1]))\n"
        "load = lambda report: engine({'text.risk': ('tiny', hang)})\n"
        "EngineServer(load, config, alive=Watchdog(2).alive).run()\n"
    )
    command = [sys.executable, "-c", program, str(config.state_directory)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as hanging, calling(config) as client:
        models = client.models("room", lane="live", deadline=time.monotonic() + 60)
        head = Ask(slot="text.risk", digest=models.checkpoints["text.risk"].digest, lane="live", remaining_s=None)
        with pytest.raises(EngineAway):
            client.ask(head, [Line("not to be read in a log")], time.monotonic() + 30)
        _, lines = hanging.communicate(timeout=10)
    assert hanging.returncode == watchdog.STUCK_EXIT_CODE
    assert lines.startswith("Timeout")
    assert "not to be read" not in lines
