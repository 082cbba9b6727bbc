"""What a segment's examination says, with models that are plain functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pytest

from pipelines import coverage as why
from pipelines.examine import examine
from pipelines.items import (
    CheckpointRef,
    Clip,
    Failure,
    Item,
    Line,
    Picture,
    Result,
    Scores,
    ScreenLine,
    ScreenText,
    Span,
    Transcript,
)
from pipelines.manifest import ChatLine, Context, Gap, SegmentManifest
from pipelines.models import DeadlinePassed
from pipelines.record import Coverage, Modality, Observations
from pipelines.segment import ExaminationSettings, Frame, Segment
from pipelines.vision.duplicates import Thumbnail, thumbnail

Answer = Callable[[Item], Result]


class Functions:
    """`Models` out of one function a slot; keeps what each slot was asked."""

    def __init__(self, **answers: Answer) -> None:
        self._answers = {name.replace("__", "."): answer for name, answer in answers.items()}
        self.asked: dict[str, list[Item]] = {name: [] for name in self._answers}

    @property
    def checkpoints(self) -> Mapping[str, CheckpointRef]:
        return {name: CheckpointRef(id="function", digest="0" * 64, session="none") for name in self._answers}

    def ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        self.asked[slot].extend(items)
        return [self._answers[slot](item) for item in items]


def scores(item: Item) -> Result:
    return Scores(labels={"nsfw": 0.1}) if isinstance(item, Picture) else Scores(labels={"scam": 0.2})


def says(text: str, *, language: str = "en", probability: float = 0.9) -> Answer:
    span = Span(start_s=1, end_s=2, text=text, confidence=0.8, no_speech=0.1, compression=1.1)
    heard = Transcript(language=language, language_probability=probability, spans=(span,), speech_s=1.0)
    return lambda item: heard


def reads(*texts: str, confidence: float = 0.95) -> Answer:
    lines = tuple(ScreenLine(text=text, confidence=confidence, box=(0, 0, 1, 0.1)) for text in texts)
    return lambda item: ScreenText(lines=lines)


def models(**answers: Answer) -> Functions:
    silence = Transcript(language=None, language_probability=0, spans=(), speech_s=0)
    shipped: dict[str, Answer] = {
        "vision__nudity": scores,
        "speech": lambda item: silence,
        "ocr": reads(),
        "text__risk": scores,
    }
    return Functions(**{**shipped, **answers})


SHOWN = [("Big SALE", 0.9), ("12:03", 0.9), ("---", 0.9), ("blurred", 0.3), ("", 0.9)]


def frame(at_s: float, grey: int) -> Frame:
    return Frame(at_s, Picture(np.full((40, 60, 3), grey, dtype=np.uint8)))


def segment(
    *,
    frames: Sequence[Frame] = (),
    audio_s: float | None = None,
    chat: Sequence[tuple[str, str]] | None = None,
    gaps: tuple[Gap, ...] = (),
    language: str | None = None,
    problems: Mapping[Literal["speech", "chat"], Coverage] | None = None,
) -> Segment:
    manifest = SegmentManifest(
        schema="liverisk.segment",
        version=1,
        stream_id="room",
        segment_id="one",
        captured_at=datetime(2026, 1, 1, tzinfo=UTC),
        duration_s=10,
        gaps=gaps,
        context=Context(language=language),
    )
    audio = None if audio_s is None else np.zeros(round(audio_s * 16_000), dtype=np.float32)
    lines = (
        None if chat is None else tuple(ChatLine(at_s=i, user=user, text=text) for i, (user, text) in enumerate(chat))
    )
    return Segment(manifest, tuple(frames), audio, lines, problems or {})


def observed(
    what: Segment, asked: Functions | None = None, *, language: str | None = None, **settings: float
) -> Observations:
    chosen = ExaminationSettings.model_validate(settings)
    return examine(what, asked or models(), chosen, language=language).observations


def test_frames_that_repeat_the_last_examined_one_reuse_its_scores_and_name_it() -> None:
    asked = models()
    seen = observed(segment(frames=[frame(0, 10), frame(2, 11), frame(4, 200)]), asked)
    assert [f.reused_from_s for f in seen.frames] == [None, 0, None]
    assert seen.frames[1].scores == seen.frames[0].scores
    assert len(asked.asked["vision.nudity"]) == 2
    coverage = seen.coverage["frames"]
    assert (coverage.status, coverage.examined, coverage.skipped) == ("examined", 3, {"near_duplicate": 1})


def test_without_the_saving_every_frame_is_asked_about() -> None:
    asked = models()
    observed(segment(frames=[frame(0, 10), frame(2, 10)]), asked, near_duplicates=False)
    assert len(asked.asked["vision.nudity"]) == 2


def test_a_deep_look_spares_no_frame_and_no_line_and_hears_what_borders_cut() -> None:
    settings = ExaminationSettings()
    assert settings.for_profile("live") == settings
    assert settings.for_profile("deep") == ExaminationSettings(
        near_duplicates=False, all_screen_text=True, beam_size=5, border_context_s=8
    )


def test_frames_are_compared_once_for_all_that_look_at_them(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Picture] = []

    def counted(picture: Picture) -> Thumbnail:
        compared.append(picture)
        return thumbnail(picture)

    monkeypatch.setattr("pipelines.frames.thumbnail", counted)
    observed(segment(frames=[frame(0, 10), frame(2, 200)]), models(ocr=reads("Big SALE")))
    assert len(compared) == 2


def test_a_frame_that_could_not_be_decoded_leaves_the_frames_partly_examined() -> None:
    broken = Frame(2, None, Coverage(status="not", reason=why.UNDECODABLE, detail="image of 3 bytes"))
    seen = observed(segment(frames=[frame(0, 10), broken]))
    coverage = seen.coverage["frames"]
    assert (coverage.status, coverage.reason, coverage.examined, coverage.total) == ("partly", why.UNDECODABLE, 1, 2)
    assert seen.frames[1].error == why.UNDECODABLE


def test_a_frame_that_its_model_fails_on_is_not_called_examined() -> None:
    seen = observed(segment(frames=[frame(0, 10)]), models(vision__nudity=lambda item: Failure(error="MemoryError")))
    coverage = seen.coverage["frames"]
    assert (coverage.status, coverage.reason, coverage.detail) == ("not", why.MODEL_FAILED, "MemoryError")


def test_models_that_are_out_of_time_are_named_by_modality() -> None:
    def late(item: Item) -> Result:
        raise DeadlinePassed

    seen = observed(segment(frames=[frame(0, 10)], audio_s=10, chat=[("a", "hello")]), models(speech=late))
    assert (seen.coverage["speech"].status, seen.coverage["speech"].reason) == ("not", why.DEADLINE)
    assert seen.coverage["chat"].status == "examined"
    assert seen.coverage["frames"].status == "examined"


def test_a_chat_line_that_several_write_is_scored_once_and_counts_its_users() -> None:
    asked = models()
    seen = observed(segment(chat=[("a", "Buy now"), ("b", "BUY  now"), ("a", "buy now"), ("c", "hello")]), asked)
    assert [(t.text, t.users, t.repeats) for t in seen.texts] == [("Buy now", ("a", "b"), 3), ("hello", ("c",), 1)]
    assert len(asked.asked["text.risk"]) == 2
    coverage = seen.coverage["chat"]
    assert (coverage.examined, coverage.total, coverage.skipped) == (4, 4, {"repeated": 2})


def test_chat_without_a_letter_or_digit_is_spared_visibly() -> None:
    seen = observed(segment(chat=[("a", "🎉🎉"), ("b", "好")]))
    assert [t.text for t in seen.texts] == ["好"]
    assert seen.coverage["chat"].skipped == {"no_letters": 1}


def test_silence_is_examined_and_says_so() -> None:
    coverage = observed(segment(audio_s=10)).coverage["speech"]
    assert (coverage.status, coverage.reason, coverage.skipped) == ("examined", why.SILENCE, {"silence": 10})


def test_audio_that_ends_early_is_partly_examined_though_nobody_spoke() -> None:
    coverage = observed(segment(audio_s=0.5)).coverage["speech"]
    assert (coverage.status, coverage.reason, coverage.detail) == ("partly", why.UNDECODABLE, "0.5 of 10 s")
    assert (coverage.examined, coverage.total) == (0.5, 10)


def test_audio_may_be_a_second_short_of_its_segment() -> None:
    assert observed(segment(audio_s=9.1)).coverage["speech"].status == "examined"


def test_audio_need_not_fill_the_gaps_of_its_segment() -> None:
    gaps = (Gap(from_s=2, to_s=6, reason="no audio received"), Gap(from_s=4, to_s=7, reason="no video received"))
    coverage = observed(segment(audio_s=5, gaps=gaps)).coverage["speech"]
    assert (coverage.reason, coverage.detail, coverage.examined, coverage.total) == (why.GAP, "5.0 s", 5, 5)
    short = observed(segment(audio_s=2, gaps=gaps)).coverage["speech"]
    assert (short.reason, short.examined, short.total) == (why.UNDECODABLE, 2, 5)


def test_what_was_not_there_is_no_input_and_no_failure() -> None:
    assert {c.reason for c in observed(segment()).coverage.values()} == {why.NO_INPUT}


def test_traditional_speech_is_kept_and_folded_for_matching() -> None:
    seen = observed(segment(audio_s=10), models(speech=says("廣州市房地產", language="zh")))
    assert (seen.texts[0].text, seen.texts[0].normalised) == ("廣州市房地產", "广州市房地产")
    assert seen.texts[0].confidence == 0.8


def test_a_known_language_is_passed_on_and_named_as_the_streams() -> None:
    asked = models(speech=says("hi"))
    seen = observed(segment(audio_s=10), asked, language="en")
    (clip,) = asked.asked["speech"]
    assert isinstance(clip, Clip)
    assert clip.language == "en"
    assert seen.speech is not None
    assert seen.speech.language_from == "stream"


def test_an_unsure_guess_gives_way_to_the_language_that_the_platform_declares() -> None:
    asked = models(speech=says("hm", language="nn", probability=0.3))
    seen = observed(segment(audio_s=10, language="zh-CN"), asked)
    assert [clip.language for clip in asked.asked["speech"] if isinstance(clip, Clip)] == [None, "zh"]
    assert seen.speech is not None
    assert seen.speech.language_from == "manifest"


def test_a_banner_on_several_frames_is_one_text_with_the_time_it_was_seen() -> None:
    seen = observed(segment(frames=[frame(0, 10), frame(4, 200)]), models(ocr=reads("Big SALE", "12:03")))
    (banner,) = seen.texts
    assert (banner.text, banner.repeats, banner.at_s, banner.end_s) == ("Big SALE", 2, 0, 4)
    assert seen.coverage["screen"].skipped == {"no_letters": 1}


def test_lines_that_were_found_but_not_read_leave_the_screen_partly_examined() -> None:
    full = ScreenText(lines=(ScreenLine(text="one of many", confidence=0.9, box=(0, 0, 1, 0.1)),), unread=7)
    coverage = observed(segment(frames=[frame(0, 10)]), models(ocr=lambda item: full)).coverage["screen"]
    assert (coverage.status, coverage.reason, coverage.detail) == ("partly", why.SHED, "7 lines")


def test_text_that_the_recogniser_is_unsure_of_is_left_out() -> None:
    seen = observed(segment(frames=[frame(0, 10)]), models(ocr=reads("Big SALE", confidence=0.3)))
    assert seen.texts == ()


def test_lines_that_were_not_read_with_enough_confidence_are_counted() -> None:
    lines = [ScreenLine(text=text, confidence=sure, box=(0, 0, 1, 0.1)) for text, sure in SHOWN]
    seen = observed(segment(frames=[frame(0, 10), frame(2, 10)]), models(ocr=lambda item: ScreenText(lines=lines)))
    assert [text.text for text in seen.texts] == ["Big SALE"]
    assert seen.coverage["screen"].skipped == {"near_duplicate": 1, "no_letters": 2, "unsure": 2}


def test_a_text_model_that_fails_on_a_line_leaves_the_chat_partly_examined() -> None:
    def picky(item: Item) -> Result:
        return Failure(error="ValueError") if item == Line("bad") else scores(item)

    seen = observed(segment(chat=[("a", "good"), ("b", "bad")]), models(text__risk=picky))
    coverage = seen.coverage["chat"]
    assert (coverage.status, coverage.reason, coverage.detail) == ("partly", why.MODEL_FAILED, "text.risk")
    assert (coverage.examined, coverage.total) == (1, 2)
    assert [t.error for t in seen.texts] == [None, "ValueError"]


@pytest.mark.parametrize("slots", [("text__first", "text__second"), ("text__second", "text__first")])
def test_a_second_text_model_that_fails_less_does_not_hide_the_first(slots: tuple[str, str]) -> None:
    whole, picky = slots
    answers: dict[str, Answer] = {whole: lambda item: Failure(error="ValueError"), picky: scores}
    coverage = observed(segment(chat=[("a", "good"), ("b", "bad"), ("a", "bad")]), models(**answers)).coverage["chat"]
    assert (coverage.status, coverage.examined, coverage.total) == ("not", 0, 3)
    assert coverage.detail == whole.replace("__", ".")


def test_only_lines_with_the_scores_of_every_text_model_count_as_examined() -> None:
    def fails_on(text: str) -> Answer:
        return lambda item: Failure(error="ValueError") if item == Line(text) else scores(item)

    chat = [("a", "one"), ("a", "two"), ("b", "two"), ("a", "three"), ("a", "four"), ("a", "!")]
    asked = models(text__first=fails_on("two"), text__second=fails_on("three"))
    coverage = observed(segment(chat=chat), asked).coverage["chat"]
    assert (coverage.status, coverage.detail) == ("partly", "text.first")
    assert coverage.share == pytest.approx(2 / 5, abs=0.01)


def test_a_text_model_out_of_time_leaves_no_line_examined() -> None:
    def late(item: Item) -> Result:
        raise DeadlinePassed

    coverage = observed(segment(chat=[("a", "good")]), models(text__late=late)).coverage["chat"]
    assert (coverage.status, coverage.reason, coverage.examined) == ("not", why.DEADLINE, 0)


def test_a_gap_leaves_frames_and_speech_partly_examined() -> None:
    gap = Gap(from_s=2, to_s=6, reason="source dropped")
    seen = observed(segment(frames=[frame(0, 10)], audio_s=6, gaps=(gap,)))
    assert {seen.coverage[m].reason for m in ("frames", "speech", "screen")} == {why.GAP}
    assert {seen.coverage[m].status for m in ("frames", "speech", "screen")} == {"partly"}
    assert {seen.coverage[m].share for m in ("frames", "speech", "screen")} == {0.6}


def test_frames_beside_a_gap_count_by_the_time_that_was_received() -> None:
    gap = Gap(from_s=2, to_s=6, reason="source dropped")
    broken = Frame(7, None, Coverage(status="not", reason=why.UNDECODABLE, detail="image of 3 bytes"))
    coverage = observed(segment(frames=[frame(0, 10), broken], gaps=(gap,))).coverage["frames"]
    assert (coverage.reason, coverage.share) == (why.UNDECODABLE, 0.3)


def test_a_segment_that_is_all_gap_was_not_examined() -> None:
    seen = observed(segment(gaps=(Gap(from_s=0, to_s=10, reason="source dropped"),)))
    assert {seen.coverage[m].status for m in ("frames", "speech", "screen")} == {"not"}


def test_audio_that_could_not_be_had_keeps_its_reason() -> None:
    problem = Coverage(status="not", reason=why.MISSING_OBJECT, detail="media/a", total=10)
    assert observed(segment(problems={"speech": problem})).coverage["speech"] == problem


@pytest.mark.parametrize("missing", ["vision__nudity", "speech", "ocr", "text__risk"])
def test_a_slot_that_nothing_fills_is_named_no_model(missing: str) -> None:
    whole = models()
    partial = Functions(
        **{k.replace(".", "__"): a for k, a in whole._answers.items() if k != missing.replace("__", ".")}
    )
    seen = observed(segment(frames=[frame(0, 10)], audio_s=10, chat=[("a", "hello")]), partial)
    modality: Modality = {"vision__nudity": "frames", "speech": "speech", "ocr": "screen", "text__risk": "chat"}[
        missing
    ]  # type: ignore[assignment]
    assert (seen.coverage[modality].status, seen.coverage[modality].reason) == ("not", why.NO_MODEL)
