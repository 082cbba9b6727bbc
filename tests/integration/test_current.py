"""What is current: applying runs and undoing them, in SQL and in what the terminal shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from pipelines.policies import POLICIES_FILE, read_policies
from pipelines.record import Record
from tests.records import START, chat_evidence, record, unexamined, verdict
from workers.cli.main import cli
from workers.config import Config
from workers.records import key_of, record_keys, write_record
from workers.runs.applied import APPLIED_PREFIX, applied, apply_once, apply_run, history, undo_run
from workers.runs.run import Plan, Receipt
from workers.runs.store import RunError, Runs
from workers.storage import Storage
from workers.verdicts.current import current_keys
from workers.verdicts.query import answer
from workers.verdicts.rows import TABLES
from workers.verdicts.tables import compact

FIRST, SECOND = "rescan-1", "rescan-2"
WHOSE = "SELECT stream_id, run FROM current_segments ORDER BY captured_at, stream_id"
SCAM = verdict("scam", "high", evidence=[chat_evidence("send a deposit first")])


def finished(storage: Storage, run: str, *records: Record, concluded: int = 1) -> None:
    """A run of one batch with its records in the store."""
    runs = Runs(storage)
    plan = Plan(
        schema="liverisk.plan",
        run=run,
        kind="rescan",
        lane="rescan",
        profile="live",
        created_at=START,
        by="analyst@host",
        policies=read_policies(POLICIES_FILE),
        batches=(len(records),),
    )
    runs.put_plan(plan)
    for number in range(1, concluded + 1):
        runs.put_receipt(run, Receipt(batch=number, at=datetime.now(UTC), recorded=len(records)))
    for one in records:
        assert write_record(storage, one)


@pytest.fixture
def two_runs(storage: Storage) -> Storage:
    """Four live segments; the first rescan has two of them and one live never had, the second one."""
    for index in range(4):
        assert write_record(storage, record(index, verdict("scam", "low")))
    finished(storage, FIRST, *(record(index, SCAM, run=FIRST) for index in (0, 1)), record(9, run=FIRST))
    finished(storage, SECOND, record(1, run=SECOND))
    return storage


@pytest.fixture
def bare_runs(storage: Storage) -> Storage:
    """Two finished runs without a record, for what only moves them."""
    finished(storage, FIRST)
    finished(storage, SECOND)
    return storage


def whose(storage: Storage) -> list[object]:
    return [run for _, run in answer(storage, WHOSE).rows]


def test_live_is_current_where_nothing_was_ever_applied(two_runs: Storage) -> None:
    assert applied(two_runs) == ()
    assert whose(two_runs) == ["live"] * 4


def test_of_two_applied_runs_the_later_one_stands_first_and_live_fills_the_rest(two_runs: Storage) -> None:
    apply_run(two_runs, FIRST, "analyst@host")
    first = whose(two_runs)
    apply_run(two_runs, SECOND, "analyst@host")

    assert first == [FIRST, FIRST, "live", "live", FIRST]
    assert applied(two_runs) == (SECOND, FIRST)
    assert whose(two_runs) == [FIRST, SECOND, "live", "live", FIRST]


def test_undoing_a_run_brings_back_what_was_current_before(two_runs: Storage) -> None:
    apply_run(two_runs, FIRST, "analyst@host")
    apply_run(two_runs, SECOND, "analyst@host")

    undo_run(two_runs, FIRST, "operator@host")

    assert whose(two_runs) == ["live", SECOND, "live", "live"]
    undo_run(two_runs, SECOND, "operator@host")
    assert whose(two_runs) == ["live"] * 4
    assert [(step.run, step.action) for step in history(two_runs)] == [
        *((FIRST, "apply"), (SECOND, "apply")),
        *((FIRST, "undo"), (SECOND, "undo")),
    ]


def test_a_run_applied_again_after_its_undoing_stands_first(bare_runs: Storage) -> None:
    apply_run(bare_runs, FIRST, "analyst@host")
    apply_run(bare_runs, SECOND, "analyst@host")
    undo_run(bare_runs, FIRST, "analyst@host")
    apply_run(bare_runs, FIRST, "analyst@host")

    assert applied(bare_runs) == (FIRST, SECOND)


def test_applying_and_undoing_touch_no_object_but_their_own(two_runs: Storage) -> None:
    before = {key: two_runs.get(key) for key in two_runs.keys("")}

    apply_run(two_runs, FIRST, "analyst@host")
    undo_run(two_runs, FIRST, "analyst@host")

    after = {key: two_runs.get(key) for key in two_runs.keys("")}
    assert {key: body for key, body in after.items() if not key.startswith(APPLIED_PREFIX)} == before
    assert len(after) == len(before) + 2


def test_current_tables_have_the_columns_of_their_tables_before_and_after_compacting(two_runs: Storage) -> None:
    apply_run(two_runs, FIRST, "analyst@host")
    queries = [f"SELECT * FROM current_{shape.name} ORDER BY ALL" for shape in TABLES]

    before = [answer(two_runs, sql) for sql in queries]
    compact(two_runs)
    after = [answer(two_runs, sql) for sql in queries]

    assert [one.columns for one in before] == [tuple(shape.schema.names) for shape in TABLES]
    assert [(one.columns, one.rows) for one in before] == [(one.columns, one.rows) for one in after]
    assert ({one.tail for one in before}, {one.tail for one in after}) == ({8}, {0})


def test_the_verdicts_of_a_superseded_record_are_not_current(two_runs: Storage) -> None:
    sql = "SELECT severity FROM current_verdicts WHERE policy = 'scam' ORDER BY captured_at"

    apply_run(two_runs, FIRST, "analyst@host")
    apply_run(two_runs, SECOND, "analyst@host")

    assert [row[0] for row in answer(two_runs, sql).rows] == ["high", "none", "low", "low", "none"]


def test_current_keys_are_those_that_sql_calls_current(two_runs: Storage) -> None:
    apply_run(two_runs, FIRST, "analyst@host")
    apply_run(two_runs, SECOND, "analyst@host")

    keys = list(current_keys(two_runs, stream_id="room-1"))

    assert [key.rpartition("/")[2].removesuffix(".json") for key in keys] == whose(two_runs)
    assert keys == sorted(keys)
    assert len(list(record_keys(two_runs, stream_id="room-1"))) == 8


@pytest.mark.parametrize("move", [apply_run, undo_run, apply_once])
def test_an_unknown_run_is_neither_applied_nor_undone(storage: Storage, move: Callable[..., None]) -> None:
    with pytest.raises(RunError, match="rescan-9"):
        move(storage, "rescan-9", "analyst@host")

    assert history(storage) == ()


def test_a_run_that_is_not_finished_cannot_be_applied(storage: Storage) -> None:
    finished(storage, FIRST, record(0, run=FIRST), concluded=0)

    with pytest.raises(RunError, match="not finished: 0 of 1"):
        apply_run(storage, FIRST, "analyst@host")


def test_a_cancelled_run_cannot_be_applied(bare_runs: Storage) -> None:
    Runs(bare_runs).mark(FIRST, "cancelled", "operator@host")

    with pytest.raises(RunError, match="cancelled"):
        apply_run(bare_runs, FIRST, "analyst@host")


def test_applying_twice_and_undoing_what_is_not_applied_are_refused(bare_runs: Storage) -> None:
    apply_run(bare_runs, FIRST, "analyst@host")

    with pytest.raises(RunError, match="applied already"):
        apply_run(bare_runs, FIRST, "analyst@host")
    with pytest.raises(RunError, match="nothing to undo"):
        undo_run(bare_runs, SECOND, "analyst@host")
    assert len(history(bare_runs)) == 1


def test_a_run_that_applies_itself_does_so_once_and_stays_undone(bare_runs: Storage) -> None:
    apply_once(bare_runs, FIRST, "feeder")
    apply_once(bare_runs, FIRST, "feeder")
    undo_run(bare_runs, FIRST, "analyst@host")
    apply_once(bare_runs, FIRST, "feeder")

    assert [step.action for step in history(bare_runs)] == ["apply", "undo"]


class Overtaken(Storage):
    """A store in which somebody else applies the second run between this one's look and its step."""

    hurried = False

    def put_once(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> bool:
        if key.startswith(APPLIED_PREFIX) and not self.hurried:
            self.hurried = True
            apply_run(Storage(self.settings), SECOND, "other@host")
        return super().put_once(key, body, content_type=content_type)


def test_of_two_steps_at_once_both_are_taken_one_after_the_other(bare_runs: Storage) -> None:
    apply_run(Overtaken(bare_runs.settings), FIRST, "analyst@host")

    assert applied(bare_runs) == (FIRST, SECOND)


@pytest.fixture
def liverisk(config: Config, tmp_path: Path) -> Callable[..., Result]:
    """The command line on the test's own store."""
    assert config.store.access_key is not None
    assert config.store.secret_key is not None
    keys = {name: getattr(config.store, name).get_secret_value() for name in ("access_key", "secret_key")}
    store = {**config.store.model_dump(mode="json"), **keys}
    settings = tmp_path / "liverisk.yaml"
    settings.write_text(yaml.safe_dump({"store": store, "state_directory": str(tmp_path)}))
    return lambda *arguments: CliRunner().invoke(cli, ["--config", str(settings), "verdicts", *arguments])


def test_show_names_the_run_of_every_line_that_is_not_live(two_runs: Storage, liverisk: Callable[..., Result]) -> None:
    before = liverisk("show", "room-1").stdout
    apply_run(two_runs, FIRST, "analyst@host")

    after = liverisk("show", "room-1").stdout
    live = liverisk("show", "room-1", "--run", "live").stdout
    lines = json.loads(liverisk("show", "room-1", "--json").stdout)["lines"]

    assert FIRST not in before
    assert "run current" in after
    assert after.count(FIRST) == 3
    assert before.replace("run current", "run live") == live
    assert [line["run"] for line in lines] == [FIRST, FIRST, "live", "live", None, FIRST]


def test_show_says_how_much_was_shed(storage: Storage, liverisk: Callable[..., Result]) -> None:
    write_record(storage, record(0, coverage={"speech": unexamined("shed", 10)}))

    shown = liverisk("show", "room-1").stdout

    assert "overload: 1 segments examined in less depth, or not at all" in shown
    assert "F5/5 S!shed O2 C12" in shown
    assert "speech shed" in shown


def test_a_current_record_that_cannot_be_read_is_named_and_not_replaced_by_the_live_one(
    two_runs: Storage, liverisk: Callable[..., Result]
) -> None:
    apply_run(two_runs, FIRST, "analyst@host")
    two_runs.put(key_of(record(0, run=FIRST)), b"{")

    result = liverisk("show", "room-1", "--json")

    assert result.exit_code == 3
    assert key_of(record(0, run=FIRST)) in result.stderr
    assert [line["run"] for line in json.loads(result.stdout.splitlines()[0])["lines"]][:2] == [FIRST, "live"]


def test_a_run_nobody_knows_shows_nothing(two_runs: Storage, liverisk: Callable[..., Result]) -> None:
    result = liverisk("show", "room-1", "--run", "rescan-9")

    assert (result.exit_code, result.stderr) == (1, "liverisk: no records of stream room-1 in run rescan-9\n")
