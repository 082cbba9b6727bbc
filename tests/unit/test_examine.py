"""What a segment's examination says, with models that are plain functions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines import coverage as why
from pipelines.examine import examine, shed
from pipelines.items import Clip, Failure, Item, Line, Picture, Result, ScreenLine, ScreenText
from pipelines.manifest import Gap
from pipelines.record import Coverage, Modality, Observations
from pipelines.segment import ExaminationSettings, Frame, Segment
from pipelines.vision.duplicates import Thumbnail, thumbnail
from tests.functions import Answer, Functions, frame, late, models, reads, says, scores, segment, silence

SHOWN = [("Big SALE", 0.9), ("12:03", 0.9), ("---", 0.9), ("blurred", 0.3), ("", 0.9)]


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


def test_an_audit_spares_no_frame_no_line_and_no_language() -> None:
    asked = models(speech=says("hello there"))
    whole = segment(frames=[frame(0, 10), frame(2, 10)], audio_s=10, chat=[("a", "hello"), ("b", "hello")])
    examine(whole, asked, ExaminationSettings().without_savings(), language="zh")
    assert len(asked.asked["vision.nudity"]) == 2
    assert [clip.language for clip in asked.asked["speech"] if isinstance(clip, Clip)] == [None]
    assert asked.asked["text.risk"].count(Line("hello")) == 2


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
        (), **{k.replace(".", "__"): a for k, a in whole._answers.items() if k != missing.replace("__", ".")}
    )
    seen = observed(segment(frames=[frame(0, 10)], audio_s=10, chat=[("a", "hello")]), partial)
    modality: Modality = {"vision__nudity": "frames", "speech": "speech", "ocr": "screen", "text__risk": "chat"}[
        missing
    ]  # type: ignore[assignment]
    assert (seen.coverage[modality].status, seen.coverage[modality].reason) == ("not", why.NO_MODEL)


def test_only_the_modalities_that_are_asked_for_are_examined() -> None:
    asked = models(speech=says("hello"))
    what = segment(frames=[frame(0, 10)], audio_s=10, chat=[("a", "hello")])
    seen = examine(what, asked, ExaminationSettings(), modalities=["speech"])
    assert set(seen.observations.coverage) == set(seen.stage_ms) == {"speech"}
    assert [text.source for text in seen.observations.texts] == ["speech"]
    assert asked.asked["vision.nudity"] == asked.asked["ocr"] == []


def test_a_thinned_look_sees_some_frames_spread_evenly_and_hears_nothing() -> None:
    asked = models(ocr=reads("Big SALE"))
    what = segment(frames=[frame(2.0 * i, 50 * i) for i in range(5)], audio_s=10, chat=[("a", "hello")])
    seen = examine(what, asked, ExaminationSettings().thinned(2)).observations
    assert [one.error for one in seen.frames] == [why.SHED, None, why.SHED, None, why.SHED]
    for modality in ("frames", "screen"):
        coverage = seen.coverage[modality]
        assert (coverage.status, coverage.reason, coverage.examined, coverage.total) == ("partly", why.SHED, 2, 5)
    assert (seen.coverage["speech"].status, seen.coverage["speech"].reason) == ("not", why.SHED)
    assert seen.coverage["speech"].total == 10
    assert seen.coverage["chat"].status == "examined"
    assert (len(asked.asked["vision.nudity"]), len(asked.asked["ocr"]), asked.asked["speech"]) == (2, 2, [])


def test_thinning_sheds_nothing_where_there_was_little() -> None:
    seen = examine(segment(frames=[frame(0, 10)]), models(), ExaminationSettings().thinned(2)).observations
    assert seen.coverage["frames"].status == "examined"
    assert seen.coverage["speech"].reason == why.NO_INPUT


def test_a_shed_segment_is_not_examined_and_keeps_its_chat() -> None:
    seen = shed(segment(frames=[frame(0, 10)], audio_s=10, chat=[("a", "hello"), ("b", "Hello")]))
    assert {(one.status, one.reason) for one in seen.coverage.values()} == {("not", why.SHED)}
    assert {modality: one.total for modality, one in seen.coverage.items()} == {
        "frames": 1,
        "speech": 10,
        "screen": 1,
        "chat": 2,
    }
    assert [(text.text, text.repeats, text.scores) for text in seen.texts] == [("hello", 2, {})]
    assert seen.checkpoints == {}


def test_a_shed_segment_says_what_it_never_had() -> None:
    assert {(one.status, one.reason) for one in shed(segment()).coverage.values()} == {("examined", why.NO_INPUT)}


def bordered(before_s: float | None, own_s: float, after_s: float | None) -> Segment:
    """Audio of these lengths, before and after the segment's own where there is any."""
    before, after = (None if seconds is None else silence(seconds) for seconds in (before_s, after_s))
    return replace(segment(audio_s=own_s), audio_before=before, audio_after=after)


def heard_s(what: Segment) -> float:
    """The length of the clip that the speech model gets in a deep look."""
    asked = models()
    examine(what, asked, ExaminationSettings().for_profile("deep"))
    (clip,) = asked.asked["speech"]
    assert isinstance(clip, Clip)
    assert clip.by_sentence
    return clip.samples.size / 16_000


@pytest.mark.parametrize(
    ("before_s", "own_s", "after_s", "clip_s"),
    [
        (10, 10, 10, 26),
        (None, 10, None, 10),
        (3, 10, None, 13),
        (10, 20, 10, 30),
        (None, 25, 10, 30),
        (10, 40, 10, 40),
    ],
)
def test_a_deep_look_hears_the_neighbours_as_far_as_the_model_hears_at_once(
    before_s: float | None, own_s: float, after_s: float | None, clip_s: float
) -> None:
    assert heard_s(bordered(before_s, own_s, after_s)) == clip_s


def test_a_live_look_hears_no_neighbour() -> None:
    asked = models()
    observed(bordered(10, 10, 10), asked)
    assert [clip.samples.size for clip in asked.asked["speech"] if isinstance(clip, Clip)] == [160_000]


def test_a_sentence_belongs_to_the_segment_that_has_its_middle() -> None:
    at_s = [(1, 5), (6, 9.5), (7, 11), (12, 13), (17, 19.5), (17.5, 19)]
    asked = models(speech=says("early", "its own", "more its own", "within", "late", "later", at_s=at_s))
    deep = ExaminationSettings().for_profile("deep")
    seen = examine(bordered(8, 10, 8), asked, deep).observations
    placed = [(text.text, text.at_s, text.end_s) for text in seen.texts]
    assert placed == [("more its own", 0, 3), ("within", 4, 5)]
    assert seen.speech is not None


def test_what_lies_long_in_a_segment_is_not_left_to_its_neighbour_alone() -> None:
    deep = ExaminationSettings().for_profile("deep")
    asked = models(speech=says("on and on", "and on", at_s=[(0, 12), (14, 26)]))
    seen = examine(bordered(8, 10, 8), asked, deep).observations
    assert [(text.at_s, text.end_s) for text in seen.texts] == [(0, 4), (6, 10)]


def test_what_neighbours_say_counts_for_no_coverage() -> None:
    deep = ExaminationSettings().for_profile("deep")
    asked = models(speech=says("theirs", "ours", at_s=[(0, 7), (9, 12)]))
    seen = examine(bordered(8, 10, 8), asked, deep).observations
    coverage = seen.coverage["speech"]
    assert (coverage.examined, coverage.total, coverage.skipped) == (10, 10, {"silence": 7})
    assert seen.speech is not None
    assert seen.speech.speech_s == 3


def test_a_segment_between_talking_neighbours_is_silent_only_if_nobody_is_heard_in_it() -> None:
    deep = ExaminationSettings().for_profile("deep")
    quiet = examine(bordered(8, 10, 8), models(speech=says("theirs", at_s=[(0, 7)])), deep).observations
    assert quiet.coverage["speech"].reason == why.SILENCE
    reaching = examine(bordered(8, 10, 8), models(speech=says("theirs", at_s=[(0, 9)])), deep).observations
    assert (reaching.texts, reaching.coverage["speech"].reason) == ((), None)


def test_a_deep_look_asks_for_its_beam_and_for_all_that_is_written() -> None:
    asked = models()
    examine(segment(frames=[frame(0, 10)], audio_s=10), asked, ExaminationSettings().for_profile("deep"))
    assert [(clip.beam_size, clip.by_sentence) for clip in asked.asked["speech"] if isinstance(clip, Clip)] == [
        (5, True)
    ]
    assert [picture.all_text for picture in asked.asked["ocr"] if isinstance(picture, Picture)] == [True]
