"""What is made of a transcript: what is left out, what counts less, what readers get."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipelines import coverage as why
from pipelines.cards import Label
from pipelines.examine import examine
from pipelines.fusion import evidence_of
from pipelines.items import Line, Result, Scores, Span, Transcript
from pipelines.policies import POLICIES_FILE, read_policies
from pipelines.record import Observations
from pipelines.segment import ExaminationSettings
from tests.evidence import verdict
from tests.functions import Answer, models, segment

SCAM = {"function": {"scam": Label(policies=("scam",))}}


def says(
    *texts: str,
    language: str = "en",
    sure: float = 0.9,
    no_speech: float = 0.05,
    at_s: Sequence[tuple[float, float]] = ((1, 5),),
) -> Answer:
    """The voice gate heard half a second more than what is written."""
    spans = tuple(
        Span(start_s=start_s, end_s=end_s, text=text, confidence=sure, no_speech=no_speech, compression=1.1)
        for text, (start_s, end_s) in zip(texts, at_s, strict=True)
    )
    speech_s = sum(end_s - start_s for start_s, end_s in at_s) + 0.5
    heard = Transcript(language=language, language_probability=0.95, spans=spans, speech_s=speech_s)
    return lambda item: heard


def observed(speech: Answer, *, declared: str | None = None, known: str | None = None) -> Observations:
    what = segment(audio_s=10, language=declared)
    return examine(what, models(speech=speech), ExaminationSettings(), language=known).observations


def test_what_nobody_said_never_reaches_a_text_model_and_is_counted() -> None:
    asked = models(speech=says("Thanks for watching!", "send me money", no_speech=0.5, at_s=[(0.5, 3), (4, 6)]))
    seen = examine(segment(audio_s=10), asked, ExaminationSettings()).observations
    assert asked.asked["text.risk"] == [Line("send me money")]
    assert [text.text for text in seen.texts] == ["send me money"]
    coverage = seen.coverage["speech"]
    assert (coverage.status, coverage.reason) == ("examined", None)
    assert coverage.skipped == {"silence": 5.0, "invented": 2.5}


def test_music_whose_words_were_all_made_up_is_neither_silence_nor_speech_in_a_language() -> None:
    seen = observed(says("字幕由Amara.org社区提供", language="zh", sure=0.3))
    assert seen.texts == ()
    assert seen.coverage["speech"].reason != why.SILENCE
    assert seen.coverage["speech"].skipped["invented"] == 4.0
    assert seen.speech is not None
    assert (seen.speech.language, seen.speech.language_probability) == (None, 0.0)


def test_where_nothing_is_left_out_nothing_is_counted() -> None:
    assert observed(says("hello everyone")).coverage["speech"].skipped == {"silence": 5.5}


def test_mandarin_is_given_to_readers_in_simplified_characters_and_the_chain_says_so() -> None:
    seen = observed(says("加我微信，領紅包", language="zh"))
    assert (seen.texts[0].text, seen.texts[0].normalised) == ("加我微信，领红包", "加我微信,领红包")
    assert seen.speech is not None
    assert seen.speech.chain == ("simplified",)


def test_what_needs_no_folding_has_no_chain() -> None:
    for plain in (says("加我微信", language="zh"), says("hello")):
        speech = observed(plain).speech
        assert speech is not None
        assert speech.chain == ()


@pytest.mark.parametrize("declared", ["zh-TW", "zh-Hant-HK", "zh_hk"])
def test_readers_of_traditional_characters_get_what_was_heard(declared: str) -> None:
    seen = observed(says("領紅包", language="zh"), declared=declared)
    assert (seen.texts[0].text, seen.texts[0].normalised) == ("領紅包", "领红包")


@pytest.mark.parametrize(
    ("asked", "text", "language"),
    [("zh", "and meet the money first", "en"), ("en", "带你一起赚钱", "zh"), ("zh", "666", "zh"), ("ja", "東京", "ja")],
)
def test_a_span_is_in_the_language_that_it_is_written_in(asked: str, text: str, language: str) -> None:
    assert observed(says(text, language=asked)).texts[0].language == language


def test_japanese_is_not_simplified() -> None:
    assert observed(says("東京の図書館", language="ja")).texts[0].text == "東京の図書館"


@pytest.mark.parametrize(
    ("start_s", "end_s", "weight"),
    [(1, 5, 1.0), (0, 4, 0.9), (6, 10, 0.9), (0.1, 9.9, 0.9184), (9.4, 10, 0.5), (0, 0.3, 0.5)],
)
def test_a_span_that_a_border_may_have_cut_counts_less_by_a_word(start_s: float, end_s: float, weight: float) -> None:
    (text,) = observed(says("send me the money", sure=1.0, at_s=[(start_s, end_s)])).texts
    assert text.confidence == pytest.approx(weight, abs=1e-4)


def test_the_language_that_a_second_hearing_found_is_a_detected_one() -> None:
    def answer(item: object) -> Result:
        known = getattr(item, "language", None)
        return says("我不知道", language="zh", sure=0.4)(Line("")) if known else says("I do not know")(Line(""))

    seen = observed(answer, known="zh")
    assert seen.speech is not None
    assert (seen.speech.language, seen.speech.language_from) == ("en", "detected")
    assert [(text.text, text.language) for text in seen.texts] == [("I do not know", "en")]


def fused(sure: float, score: float = 0.9) -> float:
    """The probability of scam when that is all that is said."""
    asked = models(speech=says("send me money", sure=sure), text__risk=lambda item: Scores(labels={"scam": score}))
    seen = examine(segment(audio_s=10), asked, ExaminationSettings()).observations
    return verdict(*evidence_of(seen, SCAM, read_policies(POLICIES_FILE))["scam"]).instant


def test_the_less_sure_a_span_is_the_less_it_moves_the_verdict() -> None:
    assert fused(0.95) == fused(0.6) > fused(0.5) > fused(0.45) > 0.02
