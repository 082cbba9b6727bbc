"""The command line's own promises: instant help, one-line errors, nothing left behind in the caller."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from workers.cli.main import COMMANDS, cli


def test_a_chosen_settings_file_is_for_this_command_and_its_children_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIVERISK_CONFIG", raising=False)
    (tmp_path / "mine.yaml").write_text("worker: {concurrency: 7}")
    result = CliRunner().invoke(cli, ["--config", str(tmp_path / "mine.yaml"), "config", "check", "--json"])
    assert result.exit_code == 0
    assert '"concurrency":7' in result.output
    assert "LIVERISK_CONFIG" not in os.environ


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_is_listed_has_help(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")


def test_help_imports_no_command() -> None:
    program = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from workers.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('pydantic', 'celery', 'numpy')))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_an_unknown_command_is_wrong_usage() -> None:
    assert CliRunner().invoke(cli, ["watch"]).exit_code == 2
