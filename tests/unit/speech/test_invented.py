"""Hand-made transcripts: what nobody said is told from what somebody did."""

from __future__ import annotations

import pytest

from pipelines.items import Span
from pipelines.speech.invented import invented, is_doubtful
from pipelines.speech.stock_lines import COURTESIES, CREDITS, SOUNDS
from pipelines.text.normalise import normalise

SURE = 0.9
VAGUE = 0.5
NONE = 0.2
"""Confidences: clearly heard, doubtful, guessed."""


def spans(*texts: str, sure: float = SURE, no_speech: float = 0.05, compression: float = 1.1) -> list[Span]:
    """One after the other, two seconds each."""
    return [
        Span(
            start_s=2.0 * index,
            end_s=2.0 * index + 2,
            text=text,
            confidence=sure,
            no_speech=no_speech,
            compression=compression,
        )
        for index, text in enumerate(texts)
    ]


def left(heard: list[Span], *, voiced_s: float = 8.0) -> list[str]:
    """The texts that somebody said."""
    dropped = invented(heard, [normalise(span.text).text for span in heard], voiced_s)
    return [span.text for span, gone in zip(heard, dropped, strict=True) if not gone]


def test_what_is_clearly_heard_stays() -> None:
    said = ["Ask not what your country can do for you.", "加我微信，带你赚钱。", "Hola a todos."]
    assert left(spans(*said)) == said


def test_a_guess_is_left_out() -> None:
    assert left(spans("the shadow of the lamp is at the door", sure=NONE)) == []


def test_vague_words_in_what_is_no_speech_are_left_out() -> None:
    """Section 4.5 of the Whisper paper."""
    assert left(spans("the shadow of the lamp is at the door", sure=VAGUE, no_speech=0.7)) == []
    assert left(spans("the lamp is at the door", no_speech=0.7)) == ["the lamp is at the door"]


def test_vague_words_that_are_no_stock_line_stay() -> None:
    assert left(spans("add me on the other app", sure=VAGUE, no_speech=0.35)) == ["add me on the other app"]


@pytest.mark.parametrize(
    "line",
    [
        "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
        "請不吝點贊 訂閱 轉發 打賞支持明鏡與點點欄目",
        "字幕由 Amara.org 社區提供",
        "中文字幕志愿者 李宗盛",
        "Subtitles by the Amara.org community",
        "Sous-titres réalisés par la communauté d'Amara.org",
        "Untertitel im Auftrag des ZDF, 2020",
        "Subtítulos realizados por la comunidad de Amara.org",
        "Редактор субтитров А.Семкин Корректор А.Егорова",
        "ご視聴ありがとうございました",
        "시청해주셔서 감사합니다.",
        "Thanks for watching!",
        "Thank you. Bye-bye.",
        "Thank you for watching, see you next time!",
        "you",
        "謝謝大家",
        "Спасибо за просмотр!",
    ],
)
def test_a_stock_line_counts_as_invented_where_something_else_is_doubtful(line: str) -> None:
    for doubtful in (spans(line, sure=VAGUE), spans(line, no_speech=0.5), spans(line, compression=2.6)):
        assert left(doubtful) == []
    assert left(spans(line), voiced_s=0.9) == []


@pytest.mark.parametrize("line", ["Thanks for watching!", "谢谢大家", "OK, bye-bye.", "Oh, la la."])
def test_a_host_who_says_thank_you_clearly_is_heard(line: str) -> None:
    assert left(spans(line)) == [line]


def test_a_courtesy_within_a_sentence_is_no_stock_line() -> None:
    said = "Thank you, and send me the money first."
    assert left(spans(said, sure=VAGUE)) == [said]


@pytest.mark.parametrize("line", ["Oh, oh.", "La la la", "啊，哦", "Mm-hmm.", "ah", "i-e-e-r-n-a-n", "B, O, B"])
def test_sounds_without_a_meaning_are_left_out_when_doubtful(line: str) -> None:
    assert left(spans(line, sure=VAGUE)) == []
    assert left(spans(line))


@pytest.mark.parametrize("line", ["[Music]", "(upbeat music)", "*applause*", "♪♪♪", "...", "（音乐）", "【掌声】"])
def test_sounds_described_are_not_words(line: str) -> None:
    assert left(spans(line)) == []


@pytest.mark.parametrize("line", ["the ball, the ball, the ball", "买它买它买它", "I know. I know. I know. I know."])
def test_a_phrase_three_times_in_a_row_is_a_loop_when_doubtful_and_a_chant_when_not(line: str) -> None:
    assert left(spans(line, sure=VAGUE)) == []
    assert left(spans(line)) == [line]


def test_twice_is_no_loop() -> None:
    assert left(spans("no no, wait wait", sure=VAGUE)) == ["no no, wait wait"]


def test_a_stutter_in_a_longer_sentence_is_no_loop() -> None:
    said = "it is very very very good for your skin"
    assert left(spans(said, sure=VAGUE)) == [said]


def test_the_same_phrase_in_three_spans_is_heard_once() -> None:
    said = spans("Listen.", "Buy it now.", "Buy it now.", "Buy it now!", "Thirty left.")
    assert left(said) == ["Listen.", "Buy it now.", "Thirty left."]
    assert left(spans("Buy it now.", "Buy it now.", "Buy it now.", sure=VAGUE)) == []


def test_phrases_that_take_turns_are_a_loop_too() -> None:
    assert left(spans("I'm fine.", "How are you?", "I'm fine.", "How are you?", "I'm fine.", "How are you?")) == [
        "I'm fine.",
        "How are you?",
    ]


def test_a_text_that_compresses_too_well_is_left_out_however_sure_it_is() -> None:
    assert left(spans("and the sun and the moon " * 8)) == []


def test_runs_that_matching_shortens_are_compressed_as_they_were_written() -> None:
    assert left(spans("あんまあ" + "ん" * 60)) == []


def test_what_was_said_before_a_loop_in_the_same_window_stays() -> None:
    heard = spans("Welcome to the show, everyone.", *["Thank you."] * 12, compression=3.1)
    assert left(heard) == ["Welcome to the show, everyone."]


def test_no_spans_are_none() -> None:
    assert invented([], [], 0.0) == ()


def test_any_of_its_numbers_makes_a_span_doubtful() -> None:
    (clear,) = spans("hello")
    assert not is_doubtful(clear, 8.0)
    assert is_doubtful(clear, 0.9)
    for numbers in ({"sure": VAGUE}, {"no_speech": 0.5}, {"compression": 2.6}):
        (span,) = spans("hello", **numbers)
        assert is_doubtful(span, 8.0)


def test_stock_lines_are_written_as_text_is_matched() -> None:
    lines = [*CREDITS, *COURTESIES, *SOUNDS]
    assert [normalise(line).text for line in lines] == lines
