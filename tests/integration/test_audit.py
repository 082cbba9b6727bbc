"""The audit log in a real store: what is changed is noted before and after, and the notes stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result

from pipelines.policies import read_policies
from tests.records import record
from workers import quarantine
from workers.audit import PREFIX, AuditError, audited, entries, keep_policies
from workers.cli.main import cli
from workers.config import Config
from workers.records import write_record
from workers.runs.run import Receipt
from workers.runs.store import Runs
from workers.stack.connection import environment_of
from workers.storage import Storage

Liverisk = Callable[..., Result]


@pytest.fixture
def liverisk(config: Config, storage: Storage) -> Liverisk:
    return lambda *arguments: CliRunner(env=environment_of(config)).invoke(cli, arguments)


def test_a_change_is_noted_with_who_what_and_how_it_ended(storage: Storage) -> None:
    with audited(storage, "ada@host", "models promote", "text.risk", why="better", percent=None, drain=False) as result:
        result["version"] = 3

    (entry,) = entries(storage)
    assert (entry.began.who, entry.began.command, entry.began.target) == ("ada@host", "models promote", "text.risk")
    assert entry.began.details == {"why": "better"}
    assert entry.ended is not None
    assert (entry.ended.outcome, entry.ended.result) == ("done", {"version": 3})


def test_a_change_that_fails_is_noted_with_what_stopped_it(storage: Storage) -> None:
    with pytest.raises(KeyError), audited(storage, "ada", "rescan apply", "rescan-1"):
        raise KeyError("content that must not be logged")

    (entry,) = entries(storage)
    assert entry.ended is not None
    assert entry.ended.outcome == "KeyError"
    assert "content" not in entry.model_dump_json()


def test_a_change_whose_maker_dies_is_noted_without_an_end(storage: Storage) -> None:
    with audited(storage, "ada", "purge", "stream room"):
        (entry,) = entries(storage)  # as it stands while the body runs

    assert entry.ended is None


def test_entries_come_in_order_and_within_bounds(storage: Storage) -> None:
    for name in ("first", "second", "third"):
        with audited(storage, "ada", name):
            pass
    began = [entry.began for entry in entries(storage)]
    now = datetime.now(UTC)

    assert [one.command for one in began] == ["first", "second", "third"]
    assert [one.began.command for one in entries(storage, since=began[1].at)] == ["second", "third"]
    assert [one.began.command for one in entries(storage, until=began[1].at)] == ["first"]
    assert list(entries(storage, since=now + timedelta(days=1))) == []


def test_an_entry_that_was_tampered_with_is_named(storage: Storage) -> None:
    with audited(storage, "ada", "purge"):
        pass
    (key,) = (key for key in storage.keys(PREFIX) if key.endswith("began.json"))
    storage.put(key, b"{}")

    with pytest.raises(AuditError, match="not a readable entry"):
        list(entries(storage))


def test_policies_are_kept_under_the_digest_that_records_name(storage: Storage) -> None:
    policies = read_policies()

    assert keep_policies(storage, policies)
    assert not keep_policies(storage, policies)
    kept = json.loads(storage.get(f"{PREFIX}policies/{policies.digest}.json"))
    assert set(kept["policies"]) == set(policies.policies)


def test_commands_that_change_something_note_it(liverisk: Liverisk, config: Config, storage: Storage) -> None:
    write_record(storage, record(0))
    started = liverisk("rescan", "--stream", "room-1", "--reuse", "--detach", "--json", "--reason", "a test")
    run = json.loads(started.stdout)["run"]
    assert liverisk("rescan", "pause", run).exit_code == 0
    assert liverisk("rescan", "resume", run, "--detach").exit_code == 0
    runs = Runs(storage)
    runs.put_receipt(run, Receipt(batch=1, at=datetime.now(UTC), recorded=1))
    assert liverisk("rescan", "apply", run).exit_code == 0
    assert liverisk("rescan", "undo", run).exit_code == 0
    assert liverisk("rescan", "cancel", run).exit_code == 0
    assert liverisk("rescan", "cancel", run).exit_code == 2
    assert liverisk("review", "room-1", "--detach").exit_code == 0
    quarantine.put_aside(storage, {"no": "manifest"}, reason="manifest", detail="x", lane="live")
    (name,) = (name for name, _ in quarantine.entries(storage))
    assert liverisk("quarantine", "retry", name).exit_code == 2
    assert liverisk("models", "clear", "text.risk").exit_code == 3

    noted = [
        (one.began.command, one.began.target, one.ended.outcome if one.ended else None) for one in entries(storage)
    ]

    assert noted == [
        ("rescan", run, "done"),
        *((f"rescan {move}", run, "done") for move in ("pause", "resume", "apply", "undo", "cancel")),
        ("rescan cancel", run, "RunError"),
        ("review", "room-1", "done"),
        ("quarantine retry", name, "ManifestError"),
        ("models clear", "text.risk", "RegistryError"),
    ]


def test_what_is_only_looked_at_or_tried_is_not_noted(liverisk: Liverisk, storage: Storage) -> None:
    write_record(storage, record(0))
    for command in (["rescan", "--stream", "room-1", "--reuse", "--dry-run"], ["verdicts", "show", "room-1"]):
        assert liverisk(*command).exit_code == 0
    assert liverisk("purge", "--stream", "room-1", "--dry-run").exit_code == 0

    assert list(entries(storage)) == []
    assert liverisk("audit").exit_code == 1


def test_the_log_is_listed(liverisk: Liverisk, storage: Storage) -> None:
    with audited(storage, "ada@host", "models promote", "text.risk", why="better") as result:
        result["version"] = 3
    with audited(storage, "ada@host", "purge", "stream room"):
        pass

    shown, one = liverisk("audit"), liverisk("audit", "--command", "purge", "--json")

    assert "ada@host  models promote text.risk (why better): done\n  version 3" in shown.output
    assert [json.loads(line)["began"]["target"] for line in one.output.splitlines()] == ["stream room"]
