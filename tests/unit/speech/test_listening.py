"""When a speech model is asked again, with models that are plain functions of the clip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipelines.items import SAMPLE_RATE_HZ, Clip, Failure, Result, Span, Transcript
from pipelines.speech.listening import AGAIN_AT_MOST, Hearing, confidence, listen


def clip(language: str | None = None, *, seconds: float = 10, by_sentence: bool = False) -> Clip:
    return Clip(np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32), language, by_sentence=by_sentence)


def span(text: str, sure: float, start_s: float = 1.0, end_s: float = 4.0) -> Span:
    return Span(start_s=start_s, end_s=end_s, text=text, confidence=sure, no_speech=0.1, compression=1.1)


def heard(language: str, *spans: Span, probability: float = 0.95, speech_s: float | None = None) -> Transcript:
    """All of the voice was written down, unless `speech_s` says that there was more."""
    speech_s = sum(span.end_s - span.start_s for span in spans) if speech_s is None else speech_s
    return Transcript(language=language, language_probability=probability, spans=spans, speech_s=speech_s)


class Model:
    """Answers with a function of the clip, and keeps what it was asked."""

    def __init__(self, answer: Callable[[Clip], Result]) -> None:
        self._answer = answer
        self.asked: list[Clip] = []

    def __call__(self, asked: Clip) -> Result:
        self.asked.append(asked)
        return self._answer(asked)

    @property
    def languages(self) -> list[str | None]:
        return [one.language for one in self.asked]


def by_language(**answers: Result) -> Model:
    """`detect` is for a clip without a language."""
    return Model(lambda asked: answers[asked.language or "detect"])


def listened(model: Model, what: Clip, declared: str | None = None) -> Hearing:
    result = listen(what, declared, model)
    assert isinstance(result, Hearing)
    return result


def texts(hearing: Hearing) -> list[tuple[str, str | None]]:
    return [(one.span.text, one.language) for one in hearing.utterances]


def test_a_known_language_that_fits_is_not_doubted() -> None:
    model = by_language(zh=heard("zh", span("大家好", 0.8)))
    result = listened(model, clip("zh"))
    assert (model.languages, result.language_from) == (["zh"], "stream")


def test_low_confidence_makes_the_model_hear_the_language_anew_and_the_better_stands() -> None:
    model = by_language(zh=heard("zh", span("我们不知道", 0.4)), detect=heard("en", span("we will not know", 0.8)))
    result = listened(model, clip("zh"))
    assert model.languages == ["zh", None]
    assert (texts(result), result.language, result.language_from) == ([("we will not know", "en")], "en", "detected")


def test_a_voice_without_a_word_is_heard_anew_too() -> None:
    model = by_language(zh=heard("zh", speech_s=3.0), detect=heard("en", span("hello there", 0.8)))
    assert texts(listened(model, clip("zh"))) == [("hello there", "en")]


def test_silence_is_not_asked_about_again() -> None:
    model = by_language(zh=heard("zh"))
    assert listened(model, clip("zh")).utterances == ()
    assert model.languages == ["zh"]


@pytest.mark.parametrize(
    "other",
    [
        heard("en", span("worse", 0.3)),
        heard("nn", span("surer, in a language that is a guess", 0.9), probability=0.3),
        heard("zh", span("the same language", 0.9)),
        heard("en"),
        Failure(error="MemoryError"),
    ],
)
def test_what_the_second_hearing_does_not_better_stands(other: Result) -> None:
    result = listened(by_language(zh=heard("zh", span("不清楚", 0.4)), detect=other), clip("zh"))
    assert (texts(result), result.language_from) == ([("不清楚", "zh")], "stream")


def test_an_unsure_guess_gives_way_to_the_declared_language() -> None:
    model = by_language(detect=heard("nn", span("hm", 0.7), probability=0.3), zh=heard("zh", span("嗯", 0.7)))
    assert listened(model, clip(), "zh").language_from == "manifest"
    assert model.languages == [None, "zh"]


def test_a_failure_is_handed_on() -> None:
    failure = Failure(error="EmptyClip")
    assert listen(clip(), None, lambda asked: failure) == failure


def test_a_loop_counts_for_nothing_however_sure_it_is() -> None:
    loop = span("de la fin de la fin de la fin", 0.9).model_copy(update={"compression": 9.0})
    model = by_language(fr=heard("fr", loop), detect=heard("en", span("we are going to cook", 0.8)))
    assert texts(listened(model, clip("fr"))) == [("we are going to cook", "en")]


def test_confidence_is_the_mean_over_what_is_written() -> None:
    assert confidence([]) == 0
    assert confidence([span("aaaaaa", 0.9), span("bb", 0.5)]) == pytest.approx(0.8)


def switching(alone: Result) -> Model:
    """Ten seconds of English with a doubtful stretch from 4 to 7 s, which `alone` is about."""
    whole = heard("en", span("welcome back", 0.9, 0, 3), span("show ya why sin", 0.3, 4, 7), span("so yes", 0.9, 8, 10))
    return Model(lambda asked: whole if asked.samples.size == 10 * SAMPLE_RATE_HZ else alone)


def test_a_stretch_in_another_language_is_heard_by_itself() -> None:
    model = switching(heard("zh", span("加我微信", 0.8, 0.2, 3.2)))
    result = listened(model, clip(by_sentence=True))
    assert texts(result) == [("welcome back", "en"), ("加我微信", "zh"), ("so yes", "en")]
    assert (result.utterances[1].span.start_s, result.utterances[1].span.end_s) == (4.0, 7.0)
    assert result.language == "en"
    assert [asked.language for asked in model.asked] == [None, None]
    assert model.asked[1].samples.size / SAMPLE_RATE_HZ == pytest.approx(3.4)


@pytest.mark.parametrize(
    "alone",
    [
        heard("zh", span("不清楚", 0.3, 0, 3)),
        heard("cy", span("clear and a guess", 0.9, 0, 3), probability=0.3),
        heard("zh"),
        Failure(error="MemoryError"),
    ],
)
def test_a_stretch_that_is_no_clearer_alone_stays_as_it_was(alone: Result) -> None:
    result = listened(switching(alone), clip(by_sentence=True))
    assert [text for text, _ in texts(result)] == ["welcome back", "show ya why sin", "so yes"]


def test_live_hears_no_doubtful_stretch_by_itself() -> None:
    model = switching(heard("zh", span("加我微信", 0.8, 0, 3)))
    listened(model, clip())
    assert len(model.asked) == 1


@pytest.mark.parametrize("deep", [True, False])
def test_a_voice_that_nothing_was_written_for_is_heard_by_itself(deep: bool) -> None:
    whole = heard("en", span("welcome back", 0.9, 0, 3), speech_s=8.0)
    alone = heard("zh", span("加我微信", 0.8, 0.5, 3.5))
    model = Model(lambda asked: whole if asked.samples.size == 10 * SAMPLE_RATE_HZ else alone)
    result = listened(model, clip(by_sentence=deep))
    assert texts(result) == [("welcome back", "en"), ("加我微信", "zh")]
    assert result.utterances[1].span.start_s == pytest.approx(3.3)


def test_only_the_longest_stretches_are_heard_again() -> None:
    """Five doubtful sentences; three and more seconds between them and at the end."""
    doubtful = [span(f"number {index}", 0.3, 5.0 * index, 5.0 * index + 2 + 0.1 * index) for index in range(5)]
    whole = heard("en", *doubtful, speech_s=10.0)
    model = Model(lambda asked: whole if asked.samples.size == 26 * SAMPLE_RATE_HZ else heard("en"))
    listened(model, clip(seconds=26, by_sentence=True))
    assert len(model.asked) == 1 + AGAIN_AT_MOST


def test_live_hears_the_longest_silent_stretch_alone() -> None:
    whole = heard("en", span("welcome", 0.9, 2, 4), span("back", 0.9, 8, 9), speech_s=9.0)
    model = Model(lambda asked: whole if asked.samples.size == 10 * SAMPLE_RATE_HZ else heard("en"))
    listened(model, clip())
    assert [one.samples.size / SAMPLE_RATE_HZ for one in model.asked] == [10, pytest.approx(4.4)]
