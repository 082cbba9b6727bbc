"""`liverisk config check` reads the lexicons, says what they hold, and what no vision model looks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from workers.cli.main import cli

TODAY = datetime.now(UTC).date()
FILE = f"""\
policy: scam
language: zh
owner: trust-and-safety
terms:
  - {{ term: 加微信, strength: 0.6, expires: {TODAY + timedelta(days=9)} }}
  - {{ term: 私聊转账, strength: 0.8 }}
  - {{ term: 刷单返利, strength: 0.9, expires: {TODAY - timedelta(days=9)} }}
"""


@pytest.fixture
def lexicon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIVERISK__LEXICONS_DIRECTORY", str(tmp_path))
    return tmp_path / "scam.zh.yaml"


def check() -> Result:
    return CliRunner().invoke(cli, ["config", "check"])


def test_terms_are_counted_by_policy_and_language_with_those_that_expire(lexicon: Path) -> None:
    lexicon.write_text(FILE, encoding="utf-8")
    done = check()
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert "# lexicon scam zh: 2 terms, 1 expired" in lines
    assert f"#   expires on {TODAY + timedelta(days=9)}: 加微信" in lines
    assert any(line.startswith("# lexicons: 2 terms in force (") for line in lines)


def test_a_broken_lexicon_is_told_in_one_line_with_its_file_and_term(lexicon: Path) -> None:
    lexicon.write_text(FILE.replace("0.8", "8"), encoding="utf-8")
    done = check()
    assert done.exit_code == 2
    assert done.output.startswith("liverisk: lexicons: scam.zh.yaml: term 私聊转账: strength: ")
    assert done.output.count("\n") == 1


def test_policies_that_no_vision_label_speaks_for_are_named(lexicon: Path) -> None:
    (line,) = (line for line in check().output.splitlines() if line.startswith("# no vision label speaks for: "))
    assert "weapons" in line
    assert "sexual" not in line
