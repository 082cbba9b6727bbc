"""`liverisk quarantine` on a store in which somebody's entry is damaged."""

from __future__ import annotations

from click.testing import CliRunner

from workers import quarantine
from workers.cli.main import cli
from workers.config import Config
from workers.stack.connection import environment_of
from workers.storage import Storage


def test_a_damaged_entry_hides_no_other_and_is_told_in_one_line(config: Config, storage: Storage) -> None:
    storage.put("quarantine/a-damaged.json", b'{"reason": "' + b"\\n" * 2000)
    quarantine.put_aside(storage, {}, reason="manifest", detail="stream_id: Field required", lane="live")

    told = CliRunner(env=environment_of(config)).invoke(cli, ["quarantine", "list"])

    assert told.exit_code == 3
    assert "manifest: stream_id: Field required  (1 starts," in told.stdout
    assert told.stderr.startswith("liverisk: a-damaged: not a readable entry (manifest: Invalid JSON")
    assert told.stderr.count("\n") == 1
