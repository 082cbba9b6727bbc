"""The diff of a run in a real store: written once from its receipts, and told while they come."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipelines.policies import POLICIES_FILE, read_policies
from tests.records import START
from workers.runs.diff import COLUMNS, Diff, read_diff, save_changes, write_diff
from workers.runs.run import Change, Named, Plan, Receipt, Request, Standing
from workers.runs.store import NoSuchRun, RunError, Runs
from workers.storage import Storage, StorageError

RUN = "rescan-1"
PREFIX = f"runs/{RUN}/"
GONE = Named(stream_id="room-9", segment_id="segment-9", reason="the source record cannot be read")
EXPIRED = Named(stream_id="room-1", segment_id="segment-1", reason="speech media_expired")


def change(index: int, text: str | None = "加我微信") -> Change:
    """The `index`-th segment is newly flagged."""
    return Change(
        kind="flagged",
        policy="scam",
        stream_id="room-1",
        segment_id=f"segment-{index}",
        captured_at=START + timedelta(seconds=10 * index),
        language="zh",
        region="SG",
        viewers=1200,
        before=Standing(severity="none", action="allow", probability=0.02),
        after=Standing(severity="medium", action="review", probability=0.7 + index / 1000),
        modality="chat",
        label="text.risk/scam",
        text=text,
    )


@pytest.fixture
def runs(storage: Storage) -> Runs:
    """A run of three batches of two segments; the first two are concluded."""
    runs = Runs(storage)
    plan = Plan(
        schema="liverisk.plan",
        run=RUN,
        kind="rescan",
        lane="rescan",
        profile="live",
        created_at=START,
        by="analyst@host",
        reason="homophones",
        selection={"where": "policy = 'scam'"},
        policies=read_policies(POLICIES_FILE),
        batches=(2, 2, 2),
        stages={"speech": 6},
    )
    runs.put_plan(plan)
    runs.put_receipt(RUN, Receipt(batch=1, at=START, recorded=2, kept=(EXPIRED,), changes=(change(0), change(1))))
    runs.put_receipt(RUN, Receipt(batch=2, at=START, recorded=1, unexaminable=(GONE,), changes=(change(2, None),)))
    return runs


def conclude(runs: Runs) -> None:
    """Leaves the last receipt."""
    at = START + timedelta(hours=1)
    runs.put_receipt(RUN, Receipt(batch=3, at=at, recorded=2, changes=(change(3, "=cmd|' /C calc'!A0\n\u202e"),)))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def fetched(storage: Storage, name: str, folder: Path) -> list[dict[str, str]]:
    storage.download(f"{PREFIX}{name}", folder / name)
    return rows(folder / name)


def test_a_finished_run_has_its_diff_as_json_csv_and_page(runs: Runs, tmp_path: Path) -> None:
    conclude(runs)

    diff = write_diff(runs, runs.plan(RUN))

    assert (diff.selected, diff.recorded, diff.concluded, diff.total.flagged) == (6, 5, 6, 4)
    assert (diff.state, diff.finished_at) == ("finished", START + timedelta(hours=1))
    assert (diff.unexaminable.first, diff.kept.first) == ((GONE,), (EXPIRED,))
    assert Diff.model_validate_json(runs.storage.get(f"{PREFIX}diff.json")) == diff == read_diff(runs.storage, RUN)
    assert "加我微信" in runs.storage.get(f"{PREFIX}diff.html").decode()
    changes = fetched(runs.storage, "diff.csv", tmp_path)
    assert [row["segment_id"] for row in changes] == [f"segment-{index}" for index in range(4)]
    assert tuple(changes[0]) == COLUMNS
    assert (changes[0]["severity_before"], changes[0]["probability_after"], changes[0]["text"]) == (
        *("none", "0.7", "加我微信"),
    )
    assert [tuple(row.values()) for row in fetched(runs.storage, "not-examined.csv", tmp_path)] == [
        ("kept", "room-1", "segment-1", "speech media_expired"),
        ("not examinable", "room-9", "segment-9", "the source record cannot be read"),
    ]


def test_texts_in_the_csv_stay_on_one_line_and_are_no_formulas(runs: Runs, tmp_path: Path) -> None:
    conclude(runs)
    write_diff(runs, runs.plan(RUN))

    assert fetched(runs.storage, "diff.csv", tmp_path)[3]["text"].rstrip() == "'=cmd|' /C calc'!A0"


def test_a_diff_of_streams_whose_viewers_nobody_told_is_read_back(runs: Runs) -> None:
    untold = change(3).model_copy(update={"stream_id": "room-2", "viewers": None})
    runs.put_receipt(RUN, Receipt(batch=3, at=START, recorded=2, changes=(untold,)))

    written = write_diff(runs, runs.plan(RUN))

    assert read_diff(runs.storage, RUN) == written


def test_writing_a_diff_again_changes_nothing_and_a_half_written_one_is_finished(runs: Runs) -> None:
    conclude(runs)
    plan = runs.plan(RUN)
    first = write_diff(runs, plan)
    before = {key: runs.storage.get(key) for key in runs.storage.keys(f"{PREFIX}diff")}

    runs.storage.delete(f"{PREFIX}diff.json")
    runs.storage.put(f"{PREFIX}diff.csv", b"half")

    assert write_diff(runs, plan) == first == write_diff(runs, plan)
    assert {key: runs.storage.get(key) for key in runs.storage.keys(f"{PREFIX}diff")} == before


def test_a_run_that_is_not_concluded_writes_no_diff(runs: Runs) -> None:
    with pytest.raises(RunError, match="not finished: 2 of 3"):
        write_diff(runs, runs.plan(RUN))

    assert list(runs.storage.keys(f"{PREFIX}diff")) == []


def test_the_diff_of_an_unfinished_run_is_of_what_is_concluded_and_is_not_kept(runs: Runs, tmp_path: Path) -> None:
    running = read_diff(runs.storage, RUN)
    runs.mark(RUN, "paused", "operator@host")
    save_changes(runs.storage, RUN, tmp_path / "so-far.csv")
    paused = read_diff(runs.storage, RUN)

    assert (running.state, running.concluded, running.selected, running.total.flagged) == ("running", 4, 6, 3)
    assert running.finished_at is None
    assert paused.state == "paused"
    assert len(rows(tmp_path / "so-far.csv")) == 3
    assert list(runs.storage.keys(f"{PREFIX}diff")) == []


def test_the_changes_of_a_finished_run_can_be_saved(runs: Runs, tmp_path: Path) -> None:
    conclude(runs)
    write_diff(runs, runs.plan(RUN))

    save_changes(runs.storage, RUN, tmp_path / "changes.csv")

    assert len(rows(tmp_path / "changes.csv")) == 4


def test_a_run_nobody_planned_has_no_diff(storage: Storage) -> None:
    with pytest.raises(NoSuchRun):
        read_diff(storage, "rescan-9")


def test_a_review_that_waits_to_be_planned_has_no_diff_yet(storage: Storage) -> None:
    asked = Request(run="review-1", stream_id="room-1", requested_at=START, by="analyst@host")
    Runs(storage).put_request(asked)

    with pytest.raises(RunError, match="not planned yet"):
        read_diff(storage, "review-1")


def test_a_file_that_the_store_refuses_is_one_line(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "changes.csv").write_text("kind\n")
    stranger = Storage(storage.settings.model_copy(update={"secret_key": SecretStr("not the key")}))

    with pytest.raises(StorageError, match="put runs/") as caught:
        stranger.put_file(f"{PREFIX}diff.csv", tmp_path / "changes.csv")

    assert "\n" not in str(caught.value)
