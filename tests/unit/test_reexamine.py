"""What examining a segment again in part takes from its record, and what it makes anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from pipelines import coverage as why
from pipelines.examine import examine, shed
from pipelines.items import Failure, Line, Scores
from pipelines.manifest import Gap, parse_manifest
from pipelines.record import MODALITIES, STAGES, Coverage, Observations, Processing, Record, Stage
from pipelines.reexamine import MEDIA_EXPIRED, Reexamination, manifest_of, reexamine
from pipelines.segment import ExaminationSettings, Frame, Segment
from pipelines.text.lexicon import Lexicon
from pipelines.text.lexicon_file import Entries, Entry
from tests.functions import Answer, Functions, frame, late, models, reads, says, segment

LIVE = ExaminationSettings()
ALL_TEXTS = ("hello there", "Big SALE", "Pay FIRST")


def whole() -> Segment:
    """Two frames, ten seconds of audio and two lines of chat."""
    return segment(frames=[frame(0, 10), frame(4, 200)], audio_s=10, chat=[("a", "Pay FIRST"), ("b", "pay first")])


def talking(*changed: str, **answers: Answer) -> Functions:
    """Models that hear a sentence and read a banner."""
    return models(*changed, **{"speech": says("hello there"), "ocr": reads("Big SALE"), **answers})


def marked(label: str) -> Answer:
    """Scores that tell which model gave them."""
    return lambda item: Scores(labels={label: 0.5})


def failing(*texts: str) -> Answer:
    """A text model that fails on these."""
    return lambda item: Failure(error="ValueError") if item in [Line(text) for text in texts] else marked("ok")(item)


def record(what: Segment, observations: Observations | None = None) -> Record:
    """What the pool stored of a segment."""
    manifest = what.manifest
    ended = manifest.captured_at + timedelta(seconds=manifest.duration_s)
    return Record(
        schema="liverisk.record",
        stream_id=manifest.stream_id,
        segment_id=manifest.segment_id,
        run="live",
        profile="live",
        captured_at=manifest.captured_at,
        duration_s=manifest.duration_s,
        context=manifest.context,
        gaps=manifest.gaps,
        media=manifest.frames,
        audio_key=manifest.audio.key if manifest.audio else None,
        policy_digest="c" * 64,
        observations=observations or examine(what, talking(), LIVE).observations,
        verdicts=(),
        processing=Processing(worker="worker", started_at=ended, finished_at=ended, latency_s=0),
    )


def again(source: Record, what: Segment | None, asked: Functions, *stages: Stage) -> Reexamination:
    """The segment without its chat, as a record gives it back."""
    return reexamine(source, replace(what, chat=None) if what else None, stages, asked, LIVE)


def spoken(observations: Observations) -> Sequence[str]:
    return [text.text for text in observations.texts]


def labels(observations: Observations) -> set[str]:
    """Who scored the texts."""
    return {label for text in observations.texts for label in text.scores["text.risk"]}


def test_all_stages_give_what_examining_the_whole_segment_gives() -> None:
    source = record(whole())
    anew = again(source, whole(), talking(), *STAGES)
    assert anew.observations == source.observations
    assert anew.reused == {}
    assert set(anew.stage_ms) == set(STAGES)


@pytest.mark.parametrize(
    ("stage", "asked"),
    [
        ("frames", {"vision.nudity"}),
        ("speech", {"speech", "text.risk"}),
        ("screen", {"ocr", "text.risk"}),
        ("text", {"text.risk"}),
    ],
)
def test_a_stage_asks_no_more_than_its_own_models_and_those_that_read_its_texts(stage: Stage, asked: set[str]) -> None:
    today = talking()
    again(record(whole()), whole(), today, stage)
    assert {slot for slot, items in today.asked.items() if items} == asked


@pytest.mark.parametrize("stage", STAGES)
def test_observations_of_other_stages_and_their_checkpoints_are_the_records(stage: Stage) -> None:
    source = record(whole())
    today = talking("vision.nudity", "speech", "ocr", vision__nudity=marked("today"), speech=says("new words"))
    seen = again(source, whole(), today, stage).observations
    changed = {slot for slot, ref in seen.checkpoints.items() if ref != source.observations.checkpoints[slot]}
    assert changed == {"frames": {"vision.nudity"}, "speech": {"speech"}, "screen": {"ocr"}, "text": set()}[stage]
    assert (seen.frames == source.observations.frames) == (stage != "frames")
    assert spoken(seen) == (["new words", *ALL_TEXTS[1:]] if stage == "speech" else list(ALL_TEXTS))


def test_texts_are_scored_anew_from_what_was_written_without_any_media() -> None:
    source = record(whole())
    texts = tuple(text.model_copy(update={"normalised": "as it once was"}) for text in source.observations.texts)
    source = source.model_copy(update={"observations": source.observations.model_copy(update={"texts": texts})})
    seen = again(source, None, talking("text.risk", text__risk=marked("today")), "text").observations
    assert labels(seen) == {"today"}
    assert [text.normalised for text in seen.texts] == ["hello there", "big sale", "pay first"]
    assert [text.repeats for text in seen.texts] == [1, 2, 2]
    assert seen.checkpoints["text.risk"].digest == "1" * 64
    assert seen.coverage == source.observations.coverage


def test_new_words_scored_by_another_model_have_all_texts_scored_by_it() -> None:
    today = talking("text.risk", text__risk=marked("today"))
    seen = again(record(whole()), whole(), today, "speech").observations
    assert labels(seen) == {"today"}
    assert seen.checkpoints["text.risk"].digest == "1" * 64


def test_where_nothing_new_is_said_stored_texts_keep_their_scores_and_checkpoint() -> None:
    quiet = models("text.risk", text__risk=marked("today"))
    seen = again(record(whole()), whole(), quiet, "speech").observations
    assert spoken(seen) == list(ALL_TEXTS[1:])
    assert labels(seen) == {"scam"}
    assert seen.checkpoints["text.risk"].digest == "0" * 64


def test_scores_of_a_text_slot_that_is_no_more_are_gone() -> None:
    before = talking(text__old=marked("old"))
    source = record(whole(), examine(whole(), before, LIVE).observations)
    seen = again(source, None, talking(), "text").observations
    assert {slot for text in seen.texts for slot in text.scores} == {"text.risk"}
    assert "text.old" not in seen.checkpoints


def test_a_text_that_fails_now_lessens_the_coverage_of_its_modality_alone() -> None:
    source = record(whole())
    seen = again(source, None, talking(text__risk=failing("pay first")), "text").observations
    chat = seen.coverage["chat"]
    assert (chat.status, chat.reason, chat.detail, chat.examined) == ("not", why.MODEL_FAILED, "text.risk", 0)
    assert {m: seen.coverage[m] for m in MODALITIES if m != "chat"} == {
        m: source.observations.coverage[m] for m in MODALITIES if m != "chat"
    }


@pytest.mark.parametrize("lacking", [failing("hello there", "pay first"), late])
def test_texts_that_once_failed_count_again_where_the_record_proves_how_much_was_read(lacking: Answer) -> None:
    source = record(whole(), examine(whole(), talking(text__risk=lacking), LIVE).observations)
    assert source.observations.coverage["speech"].status == "not"
    seen = again(source, None, talking(), "text").observations
    best = examine(whole(), talking(), LIVE).observations
    assert {m: seen.coverage[m] for m in ("chat", "speech")} == {m: best.coverage[m] for m in ("chat", "speech")}
    assert seen.texts == best.texts


def test_words_that_nobody_said_stay_counted_when_texts_are_scored_anew() -> None:
    said = says("hello there", *["pay first"] * 3, at_s=[(at_s, at_s + 1) for at_s in range(4)])
    source = record(whole(), examine(whole(), talking(speech=said, text__risk=late), LIVE).observations)
    seen = again(source, None, talking(), "text").observations.coverage["speech"]
    assert (seen.status, seen.skipped) == ("examined", {"silence": 6.0, "invented": 2.0})


def test_audio_that_ended_early_or_has_a_gap_stays_partly_examined() -> None:
    for cut in (
        segment(audio_s=4),
        segment(audio_s=5, gaps=(Gap(from_s=0, to_s=4, reason="source dropped"),)),
    ):
        source = record(cut, examine(cut, talking(text__risk=failing("hello there")), LIVE).observations)
        seen = again(source, None, talking(), "text").observations
        assert seen.coverage == examine(cut, talking(), LIVE).observations.coverage
        assert seen.coverage["speech"].status == "partly"


def test_frames_once_searched_with_failing_texts_are_never_called_better_than_stored() -> None:
    source = record(whole(), examine(whole(), talking(text__risk=failing("big sale")), LIVE).observations)
    stored = source.observations.coverage["screen"]
    assert again(source, None, talking(), "text").observations.coverage["screen"] == stored
    assert again(source, None, talking(text__risk=late), "text").observations.coverage["screen"].status == "not"


def test_no_text_slot_leaves_stored_texts_without_scores_and_unexamined() -> None:
    mute = Functions(
        (), **{name.replace(".", "__"): a for name, a in talking()._answers.items() if name != "text.risk"}
    )
    seen = again(record(whole()), None, mute, "text").observations
    assert {seen.coverage[m].reason for m in ("speech", "screen", "chat")} == {why.NO_MODEL}
    assert [text.scores for text in seen.texts] == [{}] * 3
    assert "text.risk" not in seen.checkpoints


def gone(what: Segment) -> Segment:
    """The segment whose media have all expired."""
    missing = Coverage(status="not", reason=why.MISSING_OBJECT, detail="media/gone")
    return replace(
        what,
        frames=tuple(Frame(one.at_s, None, missing) for one in what.frames),
        audio=None,
        problems={"speech": missing},
    )


def test_expired_media_leave_what_is_stored_and_are_named() -> None:
    source = record(whole())
    anew = again(source, gone(whole()), talking("vision.nudity", "speech", "ocr"), "frames", "speech", "screen")
    assert anew.observations == source.observations
    assert anew.reused == dict.fromkeys(("frames", "speech", "screen"), MEDIA_EXPIRED)
    assert anew.stage_ms == {}


def test_with_expired_media_stored_texts_are_scored_anew_all_the_same() -> None:
    anew = again(record(whole()), gone(whole()), talking("text.risk", text__risk=marked("today")), *STAGES)
    assert labels(anew.observations) == {"today"}
    assert set(anew.reused) == {"frames", "speech", "screen"}


def test_what_was_not_examined_stays_so_when_its_media_expired() -> None:
    unseen = record(whole(), shed(whole()))
    seen = again(unseen, gone(whole()), talking(), *STAGES).observations
    assert {seen.coverage[m].reason for m in ("frames", "speech", "screen")} == {why.SHED}


def test_a_shed_segment_is_examined_whole_when_there_is_time() -> None:
    assert again(record(whole(), shed(whole())), whole(), talking(), *STAGES).observations == (
        examine(whole(), talking(), LIVE).observations
    )


def test_media_that_are_partly_gone_or_broken_are_a_finding_of_today() -> None:
    missing = Coverage(status="not", reason=why.MISSING_OBJECT, detail="media/gone")
    broken = Coverage(status="not", reason=why.UNDECODABLE, detail="audio of 3 bytes", total=10)
    what = replace(whole(), frames=(frame(0, 10), Frame(4, None, missing)), audio=None, problems={"speech": broken})
    anew = again(record(whole()), what, talking(), "frames", "speech")
    assert anew.reused == {}
    assert anew.observations.coverage["speech"] == broken
    assert anew.observations.coverage["frames"].status == "partly"


def test_media_are_needed_to_look_at_them() -> None:
    with pytest.raises(ValueError, match="frames, speech cannot be examined without"):
        again(record(whole()), None, talking(), "speech", "frames")


def test_speech_is_heard_in_the_language_that_the_stream_was_known_to_speak() -> None:
    source = record(whole(), examine(whole(), talking(), LIVE, language="zh").observations)
    anew = again(source, whole(), talking(), "speech").observations
    assert anew.speech is not None
    assert anew.speech.language_from == "stream"


def test_a_stage_out_of_time_is_named_and_the_others_stand() -> None:
    source = record(whole())
    seen = again(source, whole(), talking(speech=late), "speech", "frames").observations
    assert (seen.coverage["speech"].status, seen.coverage["speech"].reason) == ("not", why.DEADLINE)
    assert spoken(seen) == list(ALL_TEXTS[1:])
    assert seen.coverage["frames"].status == "examined"


def test_a_records_manifest_names_its_media_for_the_new_run_and_no_chat() -> None:
    what = whole()
    manifest = manifest_of(record(what), "review-1", "deep")
    assert parse_manifest(manifest.as_message()) == manifest
    assert manifest == what.manifest.model_copy(update={"run": "review-1", "profile": "deep"})
    assert manifest.chat is None


def terms(*names: str) -> Lexicon:
    found = (Entry(policy="scam", language="en", term=name, strength=0.6) for name in names)
    return Lexicon(Entries(entries=tuple(found)))


def found_terms(observations: Observations) -> list[str]:
    return [hit.term for text in observations.texts for hit in text.hits]


def test_texts_are_read_anew_with_todays_lexicon_without_any_media() -> None:
    before, today = terms("pay first"), terms("big sale")
    source = record(whole(), examine(whole(), talking(), LIVE, lexicon=before).observations)
    assert found_terms(source.observations) == ["pay first"]
    seen = reexamine(source, None, ["text"], talking(), LIVE, lexicon=today).observations
    assert found_terms(seen) == ["big sale"]
    assert seen.checkpoints["lexicon"] == today.ref


def test_new_words_read_with_another_lexicon_have_all_texts_read_with_it() -> None:
    source = record(whole(), examine(whole(), talking(), LIVE, lexicon=terms("pay first")).observations)
    what = replace(whole(), chat=None)
    today = terms("hello there", "big sale")
    seen = reexamine(source, what, ["speech"], talking(), LIVE, lexicon=today).observations
    assert found_terms(seen) == ["hello there", "big sale"]
    assert seen.checkpoints["lexicon"] == today.ref


def test_a_stage_that_reads_no_text_leaves_hits_and_lexicon_as_they_were() -> None:
    before = terms("pay first")
    source = record(whole(), examine(whole(), talking(), LIVE, lexicon=before).observations)
    what = replace(whole(), chat=None)
    seen = reexamine(source, what, ["frames"], talking(), LIVE, lexicon=terms("big sale")).observations
    assert found_terms(seen) == ["pay first"]
    assert seen.checkpoints["lexicon"] == before.ref


def test_a_record_from_before_there_were_lexicons_is_read() -> None:
    stored = json.loads(record(whole()).model_dump_json(by_alias=True))
    for text in stored["observations"]["texts"]:
        assert "hits" not in text
        del text["unmasked"]
    assert Record.model_validate(stored).observations.texts[0].unmasked is None
