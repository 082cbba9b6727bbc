"""`liverisk up` for real: it says what it does, keeps its parts alive, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.conftest import wait_for
from tests.recordings import recording
from tests.tiny_stock import Stock

READY_S = 120

STOP_S = 60
"""Its parts may take 42 s one after the other when each has to be killed."""

pytestmark = pytest.mark.timeout(READY_S + 200)


class Up:
    """One place where `liverisk up` runs as often as asked; its state directory is the default, `./.liverisk`.

    Its models are tiny: the real ones are those of `liverisk demo`.
    """

    def __init__(self, place: Path, stock: Stock) -> None:
        self.place = place
        self._settings = place / "liverisk.yaml"
        self._settings.write_text(yaml.safe_dump(stock.settings))
        self._output = place / "output.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("LIVERISK")}
        self._environment["LIVERISK_CONFIG"] = str(self._settings)

    @property
    def connection(self) -> Path:
        return self.place / ".liverisk" / "connection.yaml"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def start(self) -> None:
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workers", "up", "--concurrency=2"],
                cwd=self.place,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def ensure_ready(self) -> None:
        """Starts it unless it runs."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        self.wait_for_line("ready in ")

    def printed(self) -> list[str]:
        return self._output.read_text(encoding="utf-8").splitlines()

    def wait_for_line(self, beginning: str) -> None:
        def told() -> bool:
            assert self.process.poll() is None, self.printed()
            return any(line.startswith(beginning) for line in self.printed())

        wait_for(told, f"it prints {beginning!r}", timeout_s=READY_S)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another `liverisk` command in the same place."""
        return subprocess.run(
            [sys.executable, "-m", "workers", *arguments],
            cwd=self.place,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return shown

    def processes(self) -> Sequence[psutil.Process]:
        """All that work in this place: `up`, its children and theirs inherit the working directory."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if Path(process.cwd()).is_relative_to(self.place) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def children(self) -> dict[str, list[psutil.Process]]:
        """The prefork children of each worker, by its lanes."""
        found = {}
        for process in self.processes():
            with suppress(psutil.Error):
                lanes = [word.removeprefix("--lanes=") for word in process.cmdline() if word.startswith("--lanes=")]
                parent = process.parent()
                if lanes and (parent is None or parent.cmdline() != process.cmdline()):
                    forks = [child for child in process.children() if child.cmdline() == process.cmdline()]
                    found[lanes[0]] = forks
        return found

    def close(self) -> None:
        """Ends what a failed test left."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process is not None:
            self._process.wait()
        shutil.rmtree(self.place, ignore_errors=True)


@contextmanager
def somewhere(stock: Stock) -> Iterator[Up]:
    # Not pytest's own directory: socket paths must stay short.
    opened = Up(Path(tempfile.mkdtemp(prefix="liverisk-up-")).resolve(), stock)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(scope="module")
def place(stock: Stock) -> Iterator[Up]:
    with somewhere(stock) as opened:
        yield opened


@pytest.fixture
def up(place: Up) -> Up:
    """A running one: that of the test before, unless that test ended it."""
    place.ensure_ready()
    return place


def test_it_prints_its_parts_in_order_and_how_long_they_took(up: Up) -> None:
    said = up.printed()
    beginnings = (
        *("starting broker and store", "broker ready: ", "store ready: ", "engine ready: "),
        *("live worker ready", "bulk worker ready", "ready in "),
    )
    at = [next(row for row, line in enumerate(said) if line.startswith(start)) for start in beginnings]
    assert at == sorted(at)


def test_another_command_in_the_same_place_finds_it(up: Up) -> None:
    def seen() -> bool:
        shown = up.status()
        return len(shown["workers"] or ()) == 2 and bool(shown["engines"])

    wait_for(seen, "status shows both workers and the engine", timeout_s=60)


def test_live_segments_have_a_worker_of_their_own(up: Up) -> None:
    def lanes() -> list[list[str]] | None:
        workers = up.status()["workers"]
        return sorted(worker["lanes"] for worker in workers) if len(workers or ()) == 2 else None

    assert wait_for(lanes, "both workers answer", timeout_s=60) == [["live"], ["review", "rescan"]]


def test_the_worker_of_bulk_lanes_gives_way_to_the_one_of_live(up: Up) -> None:
    def niceness() -> dict[str, set[int]] | None:
        found = {lanes: {child.nice() for child in children} for lanes, children in up.children().items()}
        return found if len(found) == 2 and all(found.values()) else None

    ours = os.nice(0)
    assert wait_for(niceness, "both workers have children") == {"live": {ours}, "review,rescan": {ours + 10}}


def test_what_tells_other_commands_the_passwords_is_its_owners_alone(up: Up) -> None:
    assert stat.S_IMODE(up.connection.stat().st_mode) == 0o600
    assert stat.S_IMODE(up.connection.parent.stat().st_mode) == 0o700


def test_a_second_one_in_the_same_place_is_refused_in_one_line(up: Up) -> None:
    second = up.run("up")
    assert (second.returncode, second.stdout) == (3, "")
    assert second.stderr == f"liverisk: a stack is already running in {up.connection.parent}\n"
    assert up.connection.exists()


def test_a_killed_worker_is_started_again_and_named(up: Up) -> None:
    def working() -> int | None:
        serving = [worker for worker in up.status()["workers"] or () if worker["lanes"] == ["live"]]
        return int(serving[0]["pid"]) if serving else None

    before = wait_for(working, "a worker answers", timeout_s=60)
    assert isinstance(before, int)
    psutil.Process(before).kill()
    up.wait_for_line("live worker died and is started again; its log: ")
    wait_for(lambda: working() not in (before, None), "another worker answers", timeout_s=90)


def test_told_to_end_it_stops_everything_and_says_so(up: Up) -> None:
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(STOP_S) == 0
    assert up.printed()[-1] == "stopped"
    assert up.processes() == []
    assert not up.connection.exists()


@pytest.mark.parametrize("doing", ["starting broker and store", "starting the engine"])
def test_interrupted_while_it_starts_it_stops_without_an_error(doing: str, stock: Stock) -> None:
    with somewhere(stock) as starting:
        starting.start()
        starting.wait_for_line(doing)
        starting.process.send_signal(signal.SIGINT)
        assert starting.process.wait(STOP_S) == 0
        assert starting.printed()[-1] == "stopped"
        assert not [line for line in starting.printed() if line.startswith(("ready in ", "Traceback", "Exception"))]
        assert starting.processes() == []


def test_killed_while_it_has_segments_to_do_it_leaves_no_process_behind(up: Up) -> None:
    source = recording(up.place / "video.mp4", seconds=60)
    assert up.run("sample", str(source), "--stream", "room").returncode == 0
    assert len(up.processes()) >= 10  # itself, broker, store, engine, two workers with two children each
    up.process.kill()
    up.process.wait()
    wait_for(lambda: not up.processes(), "no process is left")
