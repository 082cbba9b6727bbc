"""What may be meant just as it is written."""

from __future__ import annotations

import pytest

from pipelines.text.doubtful import LATIN_WORDS, holds_a_word, is_latin_word, may_be_meant, words_around
from pipelines.text.pinyin import cut


def test_every_listed_word_can_be_cut_into_pinyin() -> None:
    assert [word for word in sorted(LATIN_WORDS) if not cut(word)] == []


def test_what_is_pinyin_and_nothing_else_is_not_listed() -> None:
    assert not any(map(is_latin_word, ("jia", "wei", "xin", "bo", "cai", "ma", "du", "qing", "shang")))


def test_words_are_taken_whole_however_little_of_them_matched() -> None:
    assert words_around("a panda bear", 4, 7) == ["panda"]
    assert words_around("加xin了", 1, 4) == ["xin"]


def test_a_chinese_word_that_the_term_does_not_have_speaks_for_itself() -> None:
    assert holds_a_word("家威信", "加微信")
    assert not holds_a_word("加薇信", "加微信")
    assert not holds_a_word("溜冰", "溜冰")


@pytest.mark.parametrize(
    ("surface", "language", "meant"),
    [
        ("溜冰", "zh", True),
        ("加薇", "zh", False),
        ("❄", "zh", True),
        ("vx", "zh", False),
        ("snow", "en", True),
        ("加vx", "zh", False),
    ],
)
def test_a_second_spelling_may_have_a_meaning_of_its_own(surface: str, language: str, meant: bool) -> None:
    assert may_be_meant(surface, language) == meant
