"""Lexicons that change while a process runs: read anew, and the last good ones kept."""

from __future__ import annotations

import logging
import os
from datetime import date
from pathlib import Path

import pytest

from pipelines.text.lexicon import Lexicon, LexiconError
from pipelines.text.lexicon_file import Entries
from workers.lexicons import LOOK_S, Lexicons

FILE = """\
policy: scam
language: zh
owner: trust-and-safety
terms:
  - { term: 加微信, strength: 0.6 }
"""
MORE = FILE + "  - { term: 刷单返利, strength: 0.9, expires: 2026-03-10 }\n"


class Watched:
    """A folder of one file, the lexicons of it, and a clock and a calendar to turn."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "scam.zh.yaml"
        self.path.write_text(FILE, encoding="utf-8")
        self.now, self.today, self._writes = 0.0, date(2026, 3, 10), 0
        self.lexicons = Lexicons(folder, today=lambda: self.today, clock=lambda: self.now)
        self.lexicons.current()

    def write(self, text: str) -> None:
        """As an editor saves: at another time than before, whatever the file system's clock does."""
        self._writes += 1
        self.path.write_text(text, encoding="utf-8")
        os.utime(self.path, (self._writes, self._writes))

    def terms(self, *, after_s: float = LOOK_S) -> list[str]:
        self.now += after_s
        return sorted(entry.term for entry in self.lexicons.current().content.entries)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_a_change_is_seen_at_the_next_look_and_not_before(watched: Watched) -> None:
    watched.write(MORE)
    assert watched.terms(after_s=LOOK_S / 2) == ["加微信"]
    assert watched.terms(after_s=LOOK_S / 2) == ["刷单返利", "加微信"]


def test_a_new_file_and_one_that_is_gone_are_changes(watched: Watched) -> None:
    other = watched.path.with_name("drugs.zh.yaml")
    other.write_text(FILE.replace("scam", "drugs").replace("加微信", "冰毒"), encoding="utf-8")
    assert watched.terms() == ["冰毒", "加微信"]
    other.unlink()
    assert watched.terms() == ["加微信"]


def test_what_did_not_change_is_not_read_again(watched: Watched) -> None:
    before = watched.lexicons.current()
    watched.now += 10 * LOOK_S
    assert watched.lexicons.current() is before
    watched.write(FILE + "# a remark\n")
    watched.now += LOOK_S
    assert watched.lexicons.current() is before


def test_a_broken_file_keeps_the_last_good_lexicons_and_says_so(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.write(MORE)
    watched.terms()
    watched.write("half a li")
    with caplog.at_level(logging.INFO):
        assert watched.terms() == watched.terms() == ["刷单返利", "加微信"]
    assert caplog.text.count("lexicons broken") == 1
    problem = watched.lexicons.standing("host:1").problem or ""
    assert problem.startswith("scam.zh.yaml: must be a mapping with ")
    watched.write(FILE)
    assert watched.terms() == ["加微信"]
    assert watched.lexicons.problem is None


def test_a_folder_that_is_gone_is_broken_too(watched: Watched) -> None:
    watched.path.unlink()
    watched.path.parent.rmdir()
    assert watched.terms() == ["加微信"]
    assert "no folder of lexicons" in (watched.lexicons.problem or "")


def test_terms_expire_when_a_day_begins(watched: Watched) -> None:
    watched.write(MORE)
    assert watched.terms() == ["刷单返利", "加微信"]
    watched.today = date(2026, 3, 11)
    assert watched.terms() == ["加微信"]
    assert watched.lexicons.standing("host:1").expired == 1


def test_without_ever_having_been_good_there_is_no_lexicon(tmp_path: Path) -> None:
    (tmp_path / "scam.zh.yaml").write_text("half a li")
    with pytest.raises(LexiconError):
        Lexicons(tmp_path).current()


def test_a_run_reads_with_the_lexicon_it_was_planned_with(watched: Watched) -> None:
    planned = watched.lexicons.current().content
    assert watched.lexicons.of_run(planned.digest, lambda: pytest.fail("it is today's")) is watched.lexicons.current()
    watched.write(MORE)
    watched.now += LOOK_S
    loads: list[Entries] = []

    def load() -> Entries:
        loads.append(planned)
        return planned

    found: list[Lexicon] = [watched.lexicons.of_run(planned.digest, load) for _ in range(3)]
    assert {one.digest for one in found} == {planned.digest}
    assert len(loads) == 1
