"""Lexicons as they are written: what is accepted, what is refused and how, and what is in force on a day."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from pipelines.text.lexicon import LexiconError, read_lexicons
from pipelines.text.lexicon_file import Survey, in_force, read_files, survey

TODAY = date(2026, 3, 10)
HEAD = "policy: scam\nlanguage: zh\nowner: trust-and-safety\n"
WHOLE = (
    HEAD
    + """\
terms:
  - term: 加微信
    note: luring off the platform
    variants: [加vx, "+v", "❄️"]
    strength: 0.6
    sounds: true
    alone: false
    allow: [加微信支付]
    expires: 2027-06-30
  - { term: 私聊转账, strength: 0.8 }
"""
)


def folder(path: Path, **files: str) -> Path:
    """Files by name, `scam_zh` for `scam.zh.yaml`."""
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / f"{name.replace('_', '.')}.yaml").write_text(text, encoding="utf-8")
    return path


def refused(path: Path, text: str, *, name: str = "scam_zh") -> str:
    with pytest.raises(LexiconError) as caught:
        read_files(folder(path, **{name: text}))
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_a_file_says_everything_that_matching_needs(tmp_path: Path) -> None:
    content = in_force(read_files(folder(tmp_path, scam_zh=WHOLE)), TODAY)
    first = next(one for one in content.entries if one.term == "加微信")
    assert (first.policy, first.language, first.strength, first.sounds, first.alone) == ("scam", "zh", 0.6, True, False)
    assert (set(first.variants), first.allow) == ({"加vx", "+v", "❄️"}, ("加微信支付",))


def test_an_empty_folder_is_an_empty_lexicon_and_a_missing_one_is_refused(tmp_path: Path) -> None:
    assert read_lexicons(tmp_path, today=TODAY).content.entries == ()
    with pytest.raises(LexiconError, match="no folder of lexicons"):
        read_lexicons(tmp_path / "elsewhere", today=TODAY)


def test_hidden_files_and_other_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / ".scam.zh.yaml").write_text("half a li")
    (tmp_path / "notes.txt").write_text("hm")
    assert read_files(tmp_path) == ()


def test_a_policy_and_language_may_have_several_files(tmp_path: Path) -> None:
    more = HEAD + "terms: [{ term: 刷单返利, strength: 0.9 }]\n"
    assert len(read_lexicons(folder(tmp_path, scam_zh=WHOLE, scam_zh_june=more), today=TODAY).content.entries) == 3


@pytest.mark.parametrize(
    ("term", "said"),
    [
        ("{ term: 加微信 }", "term 加微信: strength: Field required"),
        ("{ term: 加微信, strength: 1.5 }", "term 加微信: strength: "),
        ("{ term: 加微信, strength: 0.5, variant: [加v] }", "term 加微信: variant: "),
        ("{ term: 加微信, strength: 0.5, variants: [666] }", "put it in quotes"),
        ("{ term: 枪, strength: 0.5 }", "term 枪: "),
        ("{ term: 大麻, strength: 0.5, variants: [麻] }", "麻 is too short"),
        ('{ term: 大麻, strength: 0.5, variants: ["42"] }', "42 is too short"),
        ("{ term: a, strength: 0.5 }", "too short"),
        ("{ term: 加v信, strength: 0.5, sounds: true }", "term 加v信: "),
        ("{ strength: 0.5 }", "term 1: term: "),
    ],
)
def test_a_mistake_is_told_with_its_file_and_term(tmp_path: Path, term: str, said: str) -> None:
    line = refused(tmp_path, f"{HEAD}terms:\n  - {term}\n")
    assert line.startswith("scam.zh.yaml: ")
    assert said in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WHOLE.replace("scam", "fraud", 1), "fraud is no policy"),
        (WHOLE.replace("zh", "Chinese", 1), "language: "),
        (WHOLE.replace("owner: trust-and-safety\n", ""), "owner: "),
        (WHOLE + "terms: []\n", "line 1: not readable as YAML, terms is there twice"),
        (WHOLE + "  - [\n", "not readable as YAML"),
        ("just words", "must be a mapping"),
        (WHOLE + "  - { term: 加维, variants: [加VX], strength: 0.5 }\n", "加VX is a spelling of 加微信 and of 加维"),
        (WHOLE + "  - { term: 加维, phrases: [加VX], strength: 0.5 }\n", "加VX is a spelling of 加微信 and of 加维"),
        (WHOLE.replace("policy: scam", "policy: drugs"), "name it drugs.zh.yaml"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_whole(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


def test_one_broken_file_makes_the_whole_folder_unusable(tmp_path: Path) -> None:
    folder(tmp_path, drugs_zh=WHOLE.replace("scam", "drugs", 1))
    assert refused(tmp_path, "terms: 1").startswith("scam.zh.yaml: ")


def test_an_expired_term_is_left_out_from_the_day_after(tmp_path: Path) -> None:
    files = folder(tmp_path, scam_zh=WHOLE)
    last, after = (read_lexicons(files, today=day) for day in (date(2027, 6, 30), date(2027, 7, 1)))
    assert [one.term for one in after.content.entries] == ["私聊转账"]
    assert (last.expired, after.expired) == (0, 1)
    assert last.digest != after.digest


def test_the_digest_is_blind_to_order_notes_comments_and_names_of_files(tmp_path: Path) -> None:
    one = read_lexicons(folder(tmp_path / "one", scam_zh=WHOLE), today=TODAY).digest
    first, second = (
        HEAD + WHOLE.removeprefix(HEAD).partition("  - { term")[0],
        "terms: [{ term: 私聊转账, strength: 0.8 }]",
    )
    parts = {
        "scam_zh_b": first.replace("luring", "leading").replace("owner: trust-and-safety", "owner: somebody else"),
        "scam_zh_a": f"# a comment\n{HEAD}{second}\n",
    }
    assert read_lexicons(folder(tmp_path / "two", **parts), today=TODAY).digest == one


def test_a_survey_counts_terms_in_force_expired_and_soon_to_expire(tmp_path: Path) -> None:
    files = read_files(folder(tmp_path, scam_zh=WHOLE))
    assert survey(files, TODAY) == (Survey("scam", "zh", 2, 0, ()),)
    assert survey(files, date(2027, 6, 10)) == (Survey("scam", "zh", 2, 0, (("加微信", date(2027, 6, 30)),)),)
    assert survey(files, date(2027, 7, 1)) == (Survey("scam", "zh", 1, 1, ()),)
