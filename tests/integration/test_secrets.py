"""Secrets go where they are used and nowhere else: not into what commands print, say of failures, log or record."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from tests.records import record
from workers.cli.main import cli
from workers.config import Config
from workers.records import write_record
from workers.stack.connection import environment_of
from workers.stack.services import Services
from workers.storage import Storage
from workers.verdicts.tables import compact

CANARIES = {
    "LIVERISK__ENGINE__KEY": "canary-engine-key-1d0",
    "LIVERISK__PRIVACY__USER_KEY": "canary-user-key-77f",
}
WRONG = {"LIVERISK__STORE__ACCESS_KEY": "canary-access-5a1", "LIVERISK__STORE__SECRET_KEY": "canary-secret-c0f"}
COMMANDS = (
    *(("config", "check"), ("status", "--json"), ("verdicts", "show", "room"), ("audit",), ("quarantine", "list")),
    *(("verdicts", "query", "FROM duckdb_secrets()"), ("verdicts", "query", "FROM duckdb_secrets(redact=false)")),
    *(("verdicts", "query", "FROM duckdb_settings()"), ("verdicts", "query", "SELECT getenv('HOME')")),
    *(("rescan", "status"), ("review", "nobody"), ("evidence", "list")),
    *(("retention", "show"), ("models", "slots"), ("models", "history"), ("enqueue", os.devnull)),
)


def secrets_of(variables: Mapping[str, str]) -> set[str]:
    """Every secret among the settings of an environment; of addresses the password."""
    found = {value for name, value in variables.items() if name.endswith(("KEY", "TOKEN")) and value}
    addresses = {value for name, value in variables.items() if name.endswith("__URL") and "@" in value}
    return found | {url.partition("@")[0].rpartition(":")[2] for url in addresses}


def said(*arguments: str, environment: Mapping[str, str]) -> str:
    """Everything that a command gives away: both outputs, and the traceback of what it did not expect."""
    result = CliRunner(env=dict(environment)).invoke(cli, arguments)
    trace = "".join(traceback.format_exception(result.exception)) if result.exception else ""
    assert result.exception is None or isinstance(result.exception, SystemExit), trace
    return result.output + result.stderr + trace


@pytest.fixture
def environment(config: Config, storage: Storage) -> dict[str, str]:
    """The test's real servers and their passwords, a compacted record, and canaries for every other secret."""
    write_record(storage, record(stream_id="room"))
    compact(storage)
    return {**environment_of(config), **CANARIES}


def test_no_command_prints_a_secret(environment: dict[str, str]) -> None:
    secrets = secrets_of(environment)
    assert len(secrets) == 5  # of the broker, the store's two, the engine, the names of users
    shown = {" ".join(command): said(*command, environment=environment) for command in COMMANDS}
    assert all(shown.values())
    assert [name for name, text in shown.items() if any(secret in text for secret in secrets)] == []


def test_no_command_that_is_refused_says_with_what_it_asked(config: Config, storage: Storage) -> None:
    environment = {**environment_of(config), **CANARIES, **WRONG}
    url = environment["LIVERISK__BROKER__URL"]
    password = url.partition("@")[0].rpartition(":")[2]
    environment["LIVERISK__BROKER__URL"] = url.replace(password, "canary-broker-9e2")
    shown = {" ".join(command): said(*command, environment=environment) for command in COMMANDS}
    assert [name for name, text in shown.items() if "canary" in text or password in text] == []


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (WRONG, "liverisk: bucket {}: 403\n"),
        ({"LIVERISK__BROKER__URL": "redis://:canary-broker-9e2@127.0.0.1:{port}/0"}, "is the password right?\n"),
    ],
    ids=["store", "broker"],
)
def test_a_worker_that_is_refused_ends_in_one_line_without_its_secrets(
    wrong: dict[str, str], line: str, config: Config, storage: Storage, services: Services
) -> None:
    given = {name: value.format(port=services.valkey.port) for name, value in wrong.items()}
    done = subprocess.run(
        [sys.executable, "-m", "workers", "worker", "--log-level", "DEBUG"],
        env={**os.environ, **environment_of(config), **CANARIES, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.endswith(line.format(storage.bucket))
    assert "canary" not in done.stdout + done.stderr


def test_an_address_with_keys_in_it_is_refused_and_not_repeated(tmp_path: Path) -> None:
    given = {"LIVERISK__STORE__ENDPOINT_URL": "http://me:canary@store:8333", "LIVERISK__STATE_DIRECTORY": str(tmp_path)}
    result = CliRunner(env=given).invoke(cli, ["config", "check"])
    assert result.exit_code == 2
    assert "store.endpoint_url" in result.stderr
    assert "canary" not in result.output + result.stderr


def test_no_process_of_the_embedded_servers_has_a_secret_on_its_command_line(
    services: Services, config: Config
) -> None:
    secrets = secrets_of(environment_of(config))
    children = [child.cmdline() for child in psutil.Process().children(recursive=True)]
    assert any("weed" in argument for command in children for argument in command)
    assert [command for command in children if any(secret in " ".join(command) for secret in secrets)] == []
