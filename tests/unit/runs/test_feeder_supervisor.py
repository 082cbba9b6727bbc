"""The feeder as a worker's child: brought back when it dies, gone with its worker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import WaitUntil
from workers.config import Config, Runs
from workers.runs import bootstep
from workers.runs.bootstep import FeederSupervisor

AS_A_WORKER = """
import sys
from workers.config import Config
from workers.runs.bootstep import FeederSupervisor
sys.executable = sys.argv[1]
supervisor = FeederSupervisor(Config())
supervisor.start()
supervisor._thread.join()
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that stand for feeders, in the order of their start."""
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        processes.append(subprocess.Popen(["sleep", "60"]))
        return processes[-1]

    monkeypatch.setattr(bootstep, "_started", start)
    monkeypatch.setattr(bootstep, "WATCH_S", 0.02)
    return processes


def test_a_feeder_that_dies_is_started_again_and_ends_with_the_worker(
    started: list[subprocess.Popen[bytes]], wait_until: WaitUntil
) -> None:
    supervisor = FeederSupervisor(Config())
    supervisor.start()
    wait_until(lambda: started, "the first feeder runs")
    started[0].kill()
    wait_until(lambda: len(started) == 2, "the next one runs")
    supervisor.stop()
    assert started[1].poll() is not None


def test_a_worker_whose_feeder_is_external_starts_none(started: list[subprocess.Popen[bytes]]) -> None:
    supervisor = FeederSupervisor(Config(runs=Runs(start_feeder="external")))
    supervisor.start()
    supervisor.stop()
    assert started == []


def test_a_feeder_that_never_lasts_is_started_again_after_however_many_deaths(
    monkeypatch: pytest.MonkeyPatch, wait_until: WaitUntil
) -> None:
    starts: list[int] = []

    def start() -> subprocess.Popen[bytes]:
        starts.append(1)
        raise OSError

    monkeypatch.setattr(bootstep, "_started", start)
    monkeypatch.setattr(bootstep, "WATCH_S", 0.0001)
    monkeypatch.setattr(bootstep, "LONGEST_PAUSE_S", 0.0001)
    supervisor = FeederSupervisor(Config())
    supervisor.start()
    wait_until(lambda: len(starts) > 1100, "more deaths than a float has doublings")
    supervisor.stop()


def test_a_feeder_that_would_take_its_time_ends_with_a_worker_that_is_killed(
    tmp_path: Path, wait_until: WaitUntil
) -> None:
    feeder, pid = tmp_path / "feeder", tmp_path / "pid"
    feeder.write_text(f"#!/bin/sh\ntrap '' TERM\necho $$ > {pid}.new\nmv {pid}.new {pid}\nexec sleep 60\n")
    feeder.chmod(0o755)
    worker = subprocess.Popen([sys.executable, "-c", AS_A_WORKER, str(feeder)])
    wait_until(pid.exists, "the feeder runs")
    running = psutil.Process(int(pid.read_text()))
    worker.kill()
    worker.wait()
    wait_until(lambda: not running.is_running() or running.status() == "zombie", "the feeder is gone")
