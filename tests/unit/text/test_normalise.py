from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.text.normalise import normalise


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
