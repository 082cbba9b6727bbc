from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.speech.sentences import Word, sentences


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
