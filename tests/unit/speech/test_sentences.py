from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.speech.sentences import Word, confidence, sentences


def split(*words: tuple[float, float, str]) -> list[str]:
    return ["".join(word.text for word in group) for group in sentences(Word(*word) for word in words)]


def test_a_sentence_ends_at_its_mark_and_at_a_pause() -> None:
    assert split((0, 1, " Pay"), (1, 2, " first."), (2, 3, " Then"), (3.6, 4, " wait")) == [
        " Pay first.",
        " Then",
        " wait",
    ]


def test_chinese_marks_end_a_sentence() -> None:
    assert split((0, 1, "加"), (1, 2, "微信。"), (2, 3, "快")) == ["加微信。", "快"]


@given(st.lists(st.tuples(st.floats(0, 30), st.text(max_size=5))))
def test_no_word_is_left_out(words: list[tuple[float, str]]) -> None:
    timed = [Word(at_s, at_s + 0.2, text) for at_s, text in words]
    assert [word for group in sentences(timed) for word in group] == timed


def test_a_sentence_is_as_sure_as_its_words_are_together() -> None:
    assert confidence([Word(0, 1, "send", 0.9), Word(1, 2, "money", 0.4)]) == pytest.approx(0.6)
    assert confidence([]) == 0
    assert confidence([Word(0, 1, "send", 0.0)]) < 1e-6
