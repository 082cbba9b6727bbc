"""`liverisk rescan`: what it prints, and one clear line for everything that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from pipelines.policies import POLICIES_FILE
from tests.records import record, verdict
from workers.cli.main import cli
from workers.config import Config
from workers.records import write_record
from workers.runs.applied import applied
from workers.runs.run import Receipt
from workers.runs.store import Runs
from workers.storage import Storage

Rescan = Callable[..., Result]


@pytest.fixture
def rescan(config: Config, storage: Storage, tmp_path: Path) -> Rescan:
    """Runs `liverisk rescan …` on three segments, the second of which has a scam."""
    for index, one in enumerate((verdict("scam"), verdict("scam", "medium"), verdict("scam"))):
        write_record(storage, record(index, one))
    settings = config.model_dump(mode="json", exclude_none=True)
    settings["broker"]["url"] = config.broker.url.get_secret_value() if config.broker.url else None
    for name in ("access_key", "secret_key"):
        secret = getattr(config.store, name)
        settings["store"][name] = secret.get_secret_value() if secret else None
    chosen = tmp_path / "liverisk.yaml"
    chosen.write_text(yaml.safe_dump(settings))

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli, ["--config", str(chosen), "rescan", *arguments], input=stdin)

    return run


@pytest.fixture
def started(rescan: Rescan) -> str:
    """A run that nobody feeds."""
    outcome = rescan("--stream", "room-1", "--reuse", "--detach", "--json", "--reason", "a test")
    assert outcome.exit_code == 0, outcome.output
    return str(json.loads(outcome.stdout)["run"])


REFUSED: tuple[tuple[tuple[str, ...], int, str], ...] = (
    ((), 2, "say which segments"),
    (("--where", "probabilty > 0.3"), 2, '--where: Binder Error: Referenced column "probabilty" not found'),
    (("--where", "probability > 2"), 1, "no segments match: where probability > 2"),
    (("--stream", "room-9"), 1, "no records of stream room-9"),
    (("--checkpoint", "0123abcd"), 1, "no record was made with the checkpoint 0123abcd"),
    (("--checkpoint", "what?"), 2, "'what?' is neither a digest nor id@digest"),
    (("--run", "rescan-1"), 1, "no records of run rescan-1"),
    (("--policy", "scams", "--policy", "scam"), 2, "no policy scams; there are sexual, "),
    (("--stream", "room-1", "--full", "--reuse"), 2, "give --full or --reuse, not both"),
    (("--stream", "room-1", "--policies", "/nowhere.yaml"), 2, "/nowhere.yaml: unreadable"),
    (("--segments", "-"), 2, "<stdin>:2: is no stream and segment id"),
    (("--stream", "room-1", "status"), 2, "options of a new rescan do not go with `status`"),
    (("status",), 1, "no run was ever planned"),
    (("status", "rescan-1"), 1, "no run rescan-1"),
    (("pause", "rescan-1"), 1, "no run rescan-1"),
    (("resume", "rescan-1"), 1, "no run rescan-1"),
    (("cancel", "rescan-1"), 1, "no run rescan-1"),
    (("diff", "rescan-1"), 1, "no run rescan-1"),
    (("apply", "rescan-1"), 1, "no run rescan-1"),
    (("undo", "rescan-1"), 2, "rescan-1 is not applied"),
)
"""Arguments, exit code, and part of what is said."""


def test_what_cannot_be_is_one_clear_line(rescan: Rescan) -> None:
    for arguments, code, says in REFUSED:
        outcome = rescan(*arguments, stdin="room-1/seg-1\nroom-1\n")
        assert outcome.exit_code == code, (arguments, outcome.output)
        assert outcome.stdout == ""
        assert outcome.stderr.startswith("liverisk: ")
        assert says in outcome.stderr
        assert outcome.stderr.count("\n") == 1, arguments


def test_a_run_can_be_paused_resumed_and_cancelled_but_not_against_its_state(rescan: Rescan, started: str) -> None:
    assert rescan("pause", started).exit_code == 0
    assert json.loads(rescan("status", started, "--json").stdout)["state"] == "paused"
    refused = rescan("pause", started)
    assert (refused.exit_code, refused.stderr) == (2, f"liverisk: {started} is paused already\n")
    assert rescan("resume", started, "--detach").exit_code == 0
    assert json.loads(rescan("status", "--json").stdout)[0]["state"] == "running"
    assert rescan("cancel", started).exit_code == 0
    refused = rescan("resume", started)
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "is cancelled and cannot be resumed" in refused.stderr


def test_status_adds_up(rescan: Rescan, started: str) -> None:
    told = rescan("status", started).stdout
    assert f"{started}: running, 0 of 3 segments" in told
    assert "selected 3 = recorded 0 + not examinable 0 + examined 0 + waiting 3" in told
    assert ": a test\n" in told
    assert started in rescan("status").stdout


def test_a_damaged_run_is_named_and_hides_no_other(rescan: Rescan, started: str, storage: Storage) -> None:
    storage.put("runs/rescan-0/plan.json", b"{}")
    told = rescan("status")
    assert (told.exit_code, told.stdout.split()[0]) == (0, started)
    assert told.stderr.startswith("liverisk: runs/rescan-0/plan.json: unreadable (")


def test_a_finished_run_is_applied_and_taken_back(rescan: Rescan, started: str, storage: Storage) -> None:
    refused = rescan("apply", started)
    assert (refused.exit_code, "is not finished" in refused.stderr) == (2, True)
    runs = Runs(storage)
    runs.put_receipt(started, Receipt(batch=1, at=datetime.now(UTC), recorded=3))
    runs.mark(started, "finished", "test")
    assert rescan("pause", started).exit_code == 2
    assert rescan("apply", started).exit_code == 0
    assert applied(storage) == (started,)
    assert rescan("undo", started).exit_code == 0
    assert applied(storage) == ()


def test_a_diff_is_printed_for_people_programs_and_browsers(rescan: Rescan, started: str, tmp_path: Path) -> None:
    page = tmp_path / "diff.html"
    assert "running: so far: 0 of 3 segments recorded" in rescan("diff", started, "--html", str(page)).stdout
    assert started in page.read_text()
    assert json.loads(rescan("diff", started, "--json").stdout)["selected"] == 3
    assert rescan("diff", started, "--csv").stdout.startswith("kind,policy,stream_id,")


def test_a_dry_run_says_what_would_change_and_starts_nothing(rescan: Rescan, storage: Storage) -> None:
    outcome = rescan("--stream", "room-1", "--reuse", "--dry-run", "--policies", str(POLICIES_FILE))
    assert outcome.exit_code == 0, outcome.output
    assert "dry run: 3 segments of 1 stream; nothing is written" in outcome.stdout
    assert "no model runs again" in outcome.stdout
    assert "of 3 sampled, 1 would change: 1 no longer flagged\n    scam: 1 no longer flagged" in outcome.stdout
    assert not list(storage.keys("runs/"))


def test_a_plan_is_told_before_it_starts(rescan: Rescan, storage: Storage) -> None:
    outcome = rescan("--where", "policy = 'scam' AND flagged", "--reuse", "--detach", "--urgent", "--apply")
    run = next(Runs(storage).open())
    assert f"{run}: 1 segment in 1 batch, lane review, policies " in outcome.stdout
    assert "its verdicts become the current ones" in outcome.stdout
    assert outcome.stdout.endswith(f"see it: liverisk rescan status {run}\n")


def test_whoever_does_not_agree_leaves_nothing_behind(
    rescan: Rescan, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    for answer in ("n\n", ""):  # no, and an end of input, which is what Ctrl-C is to it
        outcome = rescan("--stream", "room-1", "--reuse", stdin=answer)
        assert outcome.exit_code == 1
        assert outcome.stderr.endswith("liverisk: not started\n")
        assert not list(storage.keys("runs/"))


def test_listed_segments_without_a_record_are_named(rescan: Rescan) -> None:
    known = record(1).segment_id
    listing = f"room-1/{known}\nroom-1/never\n"
    outcome = rescan("--segments", "-", "--reuse", "--detach", stdin=listing)
    assert outcome.exit_code == 0, outcome.output
    assert "1 segment in 1 batch" in outcome.stdout
    assert outcome.stderr == ("liverisk: not in the selection: 1 of the listed segments have no record: room-1/never\n")
