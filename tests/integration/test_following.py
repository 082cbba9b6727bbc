"""How a run is shown to whoever started it, until it is over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest

from tests.conftest import WaitUntil
from tests.records import record
from tests.runs import planned
from workers.cli import following
from workers.cli.following import follow, in_words
from workers.config import Config
from workers.records import write_record
from workers.runs.progress import progress
from workers.runs.store import NoSuchRun, Runs
from workers.storage import Storage

RUN = "rescan-a"


@pytest.fixture
def runs(storage: Storage) -> Runs:
    """One run of a segment that nobody works on."""
    made = record(0)
    write_record(storage, made)
    planned(Runs(storage), [made], run=RUN)
    return Runs(storage)


@pytest.mark.parametrize("end", ["finished", "cancelled"])
def test_a_run_is_followed_to_its_end(config: Config, runs: Runs, end: Literal["finished", "cancelled"]) -> None:
    runs.mark(RUN, end, "test")

    assert follow(config, runs, RUN).state == end


def test_an_unknown_run_is_refused(config: Config, storage: Storage) -> None:
    with pytest.raises(NoSuchRun):
        follow(config, Runs(storage), "rescan-none")


def test_it_is_said_once_that_nobody_feeds(
    config: Config,
    runs: Runs,
    wait_until: WaitUntil,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(following, "UNFED_S", 0.0)
    said: list[str] = []

    def heard() -> bool:
        said.append(capfd.readouterr().err)
        return "no feeder" in "".join(said)

    with ThreadPoolExecutor(1) as pool:
        followed = pool.submit(follow, config, runs, RUN, every_s=0.01)
        wait_until(heard, "it is said")
        runs.mark(RUN, "cancelled", "test")
        followed.result(timeout=30)
    said.append(capfd.readouterr().err)

    assert "".join(said).count("no feeder is running") == 1


def test_a_run_in_words(runs: Runs) -> None:
    seen = progress(runs, RUN, None).model_copy(update={"rate_per_s": 4.08, "eta_s": 70.2, "changes": 3, "recorded": 1})

    assert in_words(seen) == "running, 1 of 1 segments, 4.1/s, 70 s left, 3 changes"
