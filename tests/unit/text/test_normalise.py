from __future__ import annotations

import unicodedata

import opencc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.text.normalise import is_invisible, normalise, simplify, strip_invisible


@pytest.mark.parametrize(
    ("written", "text", "chain"),
    [
        ("hello", "hello", ()),
        ("ＶＸ８８８８", "vx8888", ("compatibility", "case")),
        ("加\u200b微\u2060信", "加微信", ("invisible",)),
        ("a\u202egnp\u202c", "agnp", ("invisible",)),
        ("WhatsApp", "whatsapp", ("case",)),
        ("保證賺錢", "保证赚钱", ("simplified",)),
        ("goooooal！！！！！", "goooal!!!", ("compatibility", "runs")),
        ("  a \t\n b ", "a b", ("space",)),
        ("赚\ufe0f钱\u3164", "赚钱", ("invisible",)),
    ],
)
def test_each_step_does_its_part_and_is_named(written: str, text: str, chain: tuple[str, ...]) -> None:
    normalised = normalise(written)
    assert (normalised.text, normalised.chain) == (text, chain)


def test_a_line_break_separates_words() -> None:
    assert normalise("one\ntwo").text == "one two"


def test_amounts_keep_their_zeros() -> None:
    assert normalise("赚1000000").text == "赚1000000"


def test_what_can_be_composed_after_a_hidden_character_is_gone_is_composed() -> None:
    assert normalise("e\u200d\u0301").text == "é"


@settings(deadline=None)
@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text).text
    assert normalise(once).text == once


@settings(deadline=None)
@given(st.text(max_size=60))
def test_text_that_can_be_printed_is_searched_for_invisible_characters_all_the_same(text: str) -> None:
    assert strip_invisible(text) == "".join(c for c in text if c.isspace() or not is_invisible(c))


@pytest.mark.parametrize(
    "text", ["乾隆皇帝", "乾淨", "一目瞭然", "憑藉", "狼藉", "頭髮發財", "不瞭解", "龍鍾", "著名", "微信徵求"]
)
def test_simplifying_follows_the_phrases_of_opencc(text: str) -> None:
    assert simplify(text) == opencc.OpenCC("t2s").convert(text)


@settings(deadline=None, max_examples=30)
@given(st.text(st.sampled_from("乾坤隆清皇帝一目瞭然了解凌藉以免口傷亡枕狼髮發財著龍鍾後台臺a1 ，"), max_size=12))
def test_simplifying_is_that_of_opencc_character_for_character(text: str) -> None:
    simplified = simplify(text)
    assert (simplified, len(simplified)) == (opencc.OpenCC("t2s").convert(text), len(text))


def test_every_traditional_character_is_simplified_as_opencc_does() -> None:
    ideographs = "，".join(chr(code) for code in range(0x4E00, 0xA000, 7) if unicodedata.name(chr(code), ""))
    assert simplify(ideographs) == opencc.OpenCC("t2s").convert(ideographs)
