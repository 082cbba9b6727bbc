from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.text.aligned import Aligned, aligned
from pipelines.text.normalise import normalise
from pipelines.text.unmask import unmask

MIXED = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "加微信赚錢髮發乾隆木仓弓虽讠仑ABcｖＸ０１①㎏ﬁßİ \t\n\u200b\u202e\ufe0f\u0301\u3164*.-_·❤➕+🅥1️⃣ｶﾞ각ᄀ"
        ),
    ),
    max_size=40,
)


def surface_of(view: Aligned, written: str, part: str) -> str:
    start = view.text.index(part)
    first, last = view.surface(start, start + len(part))
    return written[first:last]


@settings(deadline=None)
@example("ÅÅ\u0327\u0301ﷺ①㎏ ｶﾞ 각 ﬁ ß İ")
@given(MIXED)
def test_the_aligned_text_is_the_normalised_one(text: str) -> None:
    assert aligned(text).text == normalise(text).text


@settings(deadline=None)
@given(MIXED)
def test_places_lie_inside_the_original_and_never_go_back(text: str) -> None:
    for view in (aligned(text), unmask(text)):
        assert len(view.text) == len(view.starts) == len(view.ends) == len(view.marks) == len(view.seams)
        assert all(0 <= start < end <= len(text) for start, end in zip(view.starts, view.ends, strict=True))
        assert list(view.starts) == sorted(view.starts)
        assert list(view.ends) == sorted(view.ends)


@settings(deadline=None)
@given(MIXED)
def test_whatever_lies_between_two_characters_of_the_view_was_taken_out_there(text: str) -> None:
    for view in (aligned(text), unmask(text)):
        for place in range(1, len(view.text)):
            skipped = view.starts[place] > view.ends[place - 1]
            assert not skipped or view.seams[place] or view.marks[place] or view.marks[place - 1]


@settings(deadline=None)
@given(MIXED)
def test_a_chain_names_no_step_that_changed_nothing(text: str) -> None:
    view = aligned(text)
    assert set(view.chain(0, len(view.text))) <= set(normalise(text).chain)


@settings(deadline=None)
@given(st.text(st.characters(categories=("L", "N"), max_codepoint=0x024F), max_size=30))
def test_untouched_characters_stand_where_they_stood(text: str) -> None:
    view = aligned(text)
    for letter, bits, start, end in zip(view.text, view.marks, view.starts, view.ends, strict=True):
        assert bits or text[start:end] == letter


@pytest.mark.parametrize(
    ("written", "part", "surface", "chain"),
    [
        ("快来加微信", "加微信", "加微信", ()),
        ("快来加\u200b微\u200b信\u200b吧", "加微信", "加\u200b微\u200b信", ("invisible",)),
        ("加\u200b微信", "微信", "微信", ()),
        ("全場 ＶＸ８８", "vx88", "ＶＸ８８", ("compatibility", "case")),
        ("全場 ＶＸ８８", "全", "全", ()),
        ("保證賺錢吧", "赚钱", "賺錢", ("simplified",)),
        ("goooooal!!", "goooal", "goooooal", ("runs",)),
        ("goooooal!!", "goo", "goo", ()),
        ("noooooo way", "nooo", "noooooo", ("runs",)),
        ("one \t two", "e t", "e \t t", ("space",)),
        ("5㎏米", "kg", "㎏", ("compatibility",)),
        ("Straße", "strasse", "Straße", ("case",)),
        ("e\u0301te\u0301", "été", "e\u0301te\u0301", ("compatibility",)),
        ("ｶﾞﾝ", "ガン", "ｶﾞﾝ", ("compatibility",)),
        ("买❄️吗", "❄", "❄️", ()),
        ("赚\ufe0f钱", "赚钱", "赚\ufe0f钱", ("invisible",)),
        ("  hi  ", "hi", "hi", ()),
    ],
)
def test_a_stretch_knows_what_was_typed_and_what_was_done_to_it(
    written: str, part: str, surface: str, chain: tuple[str, ...]
) -> None:
    view = aligned(written)
    start = view.text.index(part)
    assert surface_of(view, written, part) == surface
    assert view.chain(start, start + len(part)) == chain


def test_steps_are_named_in_the_order_they_ran() -> None:
    view = unmask("ＫＩＬＬ\u200b  ＹＯ\u200bＵ  ｎ０００００ｗ")
    assert view.chain(0, len(view.text)) == ("invisible", "compatibility", "case", "space")


@pytest.mark.parametrize(("start", "end"), [(0, 0), (2, 1), (0, 4), (-1, 2)])
def test_nothing_and_what_lies_outside_has_no_surface(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="is no stretch of 3 characters"):
        aligned("abc").surface(start, end)


def test_an_empty_text_has_an_empty_view() -> None:
    view = unmask("")
    assert (view.text, view.starts, view.chain(0, 0)) == ("", (), ())
