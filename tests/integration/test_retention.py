"""How long objects are kept, on a real S3 server: its rules, and the sweep that needs none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from tests.records import record
from tests.segments import store_segment
from workers.audit import audited, entries
from workers.cli.main import cli
from workers.config import Config
from workers.privacy.evidence import hold
from workers.privacy.lifecycle import Rule, put_rules, read_rules
from workers.privacy.retention import kept_rules, rules, set_rules, sweep
from workers.privacy.settings import Retention
from workers.records import write_record
from workers.stack.connection import environment_of
from workers.storage import Storage


@pytest.fixture
def short(config: Config) -> Config:
    """Media for a week, records for a month."""
    return config.model_copy(update={"retention": Retention(media_days=7, record_months=1, quarantine_days=None)})


def test_the_store_takes_the_rules_and_says_what_it_has(short: Config, storage: Storage) -> None:
    kept = set_rules(short, storage)

    assert set(kept) == set(rules(short))
    assert {(rule.prefix, rule.days) for rule in kept} == {
        ("media/", 7),
        ("records/", 30),
        ("tables/", 30),
        ("runs/", 30),
    }


def test_rules_of_others_stay_and_ours_follow_the_settings(short: Config, storage: Storage) -> None:
    theirs = Rule("uploads", "uploads/", 3)
    put_rules(storage, [theirs], owner="somebody")
    set_rules(short, storage)
    longer = short.model_copy(update={"retention": Retention(media_days=90, record_months=None, quarantine_days=None)})
    set_rules(longer, storage)

    assert set(read_rules(storage)) == {theirs, Rule("liverisk-media", "media/", 90)}
    put_rules(storage, [], owner="liverisk-")
    put_rules(storage, [], owner="uploads")
    assert read_rules(storage) == ()


def test_what_is_written_under_a_rule_can_be_read_and_written_once(short: Config, storage: Storage) -> None:
    set_rules(short, storage)

    assert write_record(storage, record(0))
    assert not storage.put_once("records/x.json", b"1") or not storage.put_once("records/x.json", b"2")
    storage.put("media/x", b"picture")
    assert storage.get("media/x") == b"picture"


def test_the_sweep_removes_what_is_too_old_and_nothing_else(short: Config, storage: Storage) -> None:
    write_record(storage, record(0))
    store_segment(storage, "room-1")
    storage.put("quarantine/room/s/live.json", b"{}")
    storage.put("registry/slots.json", b"{}")
    hold(storage, "case-1", "room-1", by="ada")
    with audited(storage, "ada", "purge"):
        pass
    others = [key for key in storage.keys("") if not key.startswith(("media/", "records/"))]
    now = datetime.now(UTC)

    assert sweep(short, storage).objects == {}
    assert sweep(short, storage, now=now + timedelta(days=8), dry_run=True).objects == {"media/": 2}
    assert sweep(short, storage, now=now + timedelta(days=8)).objects == {"media/": 2}
    assert sweep(short, storage, now=now + timedelta(days=31)).objects == {"records/": 1}
    assert sorted(storage.keys("")) == sorted(others)


def test_what_is_kept_for_ever_is_never_swept(config: Config, storage: Storage) -> None:
    for_ever = Retention(media_days=None, record_months=None, quarantine_days=None)
    store_segment(storage, "room-1")

    swept = sweep(
        config.model_copy(update={"retention": for_ever}), storage, now=datetime.now(UTC) + timedelta(days=40_000)
    )

    assert swept.objects == {}


def test_the_commands_show_set_and_sweep(config: Config, storage: Storage) -> None:
    runner = CliRunner(env={**environment_of(config), "LIVERISK__RETENTION__MEDIA_DAYS": "9"})
    before = runner.invoke(cli, ["retention", "show"])
    applied = runner.invoke(cli, ["retention", "apply"])
    after = runner.invoke(cli, ["retention", "show"])
    swept = runner.invoke(cli, ["retention", "sweep", "--json"])

    assert "no rule in the store  DIFFERS" in before.output
    assert applied.exit_code == 0, applied.output
    assert "media/       9 days; the store's rule: 9 days\n" in after.output
    assert "DIFFERS" not in after.output
    assert swept.output == '{"dry_run": false, "objects": {}, "bytes": 0}\n'
    assert [one.began.command for one in entries(storage)] == ["retention apply", "retention sweep"]
    assert len(kept_rules(storage)) == 5
