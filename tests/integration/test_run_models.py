"""Segments of a run that ask models: real store, real Valkey, an engine of functions on its real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from pipelines import coverage as why
from pipelines.items import Item, Result
from pipelines.policies import POLICY_IDS
from pipelines.record import Coverage, Observations, Record
from pipelines.reexamine import Reexamination
from pipelines.text.lexicon_file import Entries, Entry
from tests import engines
from tests.lanes import messages
from tests.records import chat_line, record
from tests.runs import planned, take, work, work_off
from tests.segments import store_segment
from workers.classify import Bench, StillRunning, classify
from workers.config import Config
from workers.decoder.contained import Contained
from workers.engine.errors import EngineUnavailable
from workers.records import key_of, read_record, record_key_of, record_keys, write_record
from workers.runs import reexamination
from workers.runs.conclude import conclude
from workers.runs.feeder import Feeder
from workers.runs.progress import pause, progress
from workers.runs.reexamination import EngineLost, OtherCheckpoint, Starved, reexamine_segment, starved
from workers.runs.run import Plan
from workers.runs.store import Runs, outcome_key
from workers.storage import Storage

RUN = "rescan-a"
NAME = f"{RUN}/1/0"
LOUD = {**dict.fromkeys(POLICY_IDS, 0.001), "scam": 0.97}


def never(items: Sequence[Item]) -> Sequence[Result]:
    raise AssertionError("asked")


SCAM = engines.calm(LOUD)


def slots(text: engines.Predict = SCAM) -> dict[str, tuple[str, engines.Predict]]:
    return {
        "vision.nudity": ("open-nsfw", never),
        "speech": ("whisper-base", never),
        "ocr": ("pp-ocrv6", never),
        "text.risk": ("e5-small-risk", text),
    }


@pytest.fixture
def bench(config: Config, storage: Storage, decoder: Contained) -> Iterator[Bench]:
    worker = config.worker.model_copy(update={"max_attempts": 2})
    opened = Bench.open(config.model_copy(update={"worker": worker}), decoder=decoder)
    yield opened
    opened.engine.close()
    opened.redis.close()


@pytest.fixture
def runs(storage: Storage) -> Runs:
    return Runs(storage)


@pytest.fixture
def feeder(config: Config) -> Iterator[Feeder]:
    def marks_finished(runs: Runs, plan: Plan, config: Config) -> None:
        runs.mark(plan.run, "finished", "test")
        runs.close(plan.run)

    opened = Feeder(config, finish=marks_finished)
    yield opened
    opened.close()


@pytest.fixture
def sources(storage: Storage) -> list[Record]:
    made = [record(index, texts=[chat_line("hello", scam=0.1)]) for index in range(3)]
    for one in made:
        write_record(storage, one)
    return made


def test_only_the_stage_that_was_asked_for_runs_and_the_record_says_so(
    bench: Bench, runs: Runs, feeder: Feeder, storage: Storage, sources: list[Record]
) -> None:
    planned(runs, sources, stages=["text"], batch_size=2)
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        work_off(feeder, bench, runs)
    made = [read_record(storage, key) for key in record_keys(storage, run=RUN)]
    assert len(made) == 3
    for one, source in zip(made, sources, strict=True):
        assert one.reran == ("text",)
        assert one.observations.texts[0].scores["text.risk"]["scam"] == 0.97
        assert one.observations.frames == source.observations.frames
        assert one.observations.checkpoints["text.risk"].digest == "a" * 64
    receipt = runs.receipt(RUN, 1)
    assert receipt is not None
    assert {(one.kind, one.policy) for one in receipt.changes} == {("flagged", "scam")}


def test_texts_are_read_with_the_lexicon_that_the_run_was_planned_with(
    bench: Bench, runs: Runs, sources: list[Record]
) -> None:
    entries = Entries(entries=(Entry(policy="scam", language="en", term="hello", strength=0.6),))
    runs.put_lexicon(RUN, entries)
    planned(runs, sources, stages=["text"], checkpoints={"lexicon": entries.digest})
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        reexamine_segment(RUN, 1, 0, bench, runs)
    outcome = runs.outcome(RUN, 1, 0)
    assert outcome is not None
    assert outcome.observations is not None
    assert [hit.term for hit in outcome.observations.texts[0].hits] == ["hello"]
    assert outcome.observations.checkpoints["lexicon"].digest == entries.digest


def test_a_segment_delivered_twice_asks_the_models_once(bench: Bench, runs: Runs, sources: list[Record]) -> None:
    planned(runs, sources, stages=["text"])
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        assert reexamine_segment(RUN, 1, 0, bench, runs) == "examined"
    assert reexamine_segment(RUN, 1, 0, bench, runs) == "known"  # no engine is left: what is known needs none
    assert bench.redis.keys("liverisk:starts:*") == []


def test_a_batch_is_not_concluded_before_all_its_segments_were_examined(
    bench: Bench, runs: Runs, storage: Storage, sources: list[Record]
) -> None:
    planned(runs, sources, stages=["text"])
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        reexamine_segment(RUN, 1, 0, bench, runs)
    assert conclude(RUN, 1, bench, runs) == "early"
    assert list(record_keys(storage, run=RUN)) == []
    seen = progress(runs, RUN, bench.redis)
    assert (seen.examined, seen.waiting, seen.recorded) == (1, 2, 0)


def test_a_segment_waits_for_the_checkpoint_that_the_plan_names(
    bench: Bench, runs: Runs, sources: list[Record]
) -> None:
    planned(runs, sources, stages=["text"], checkpoints={"text.risk": "b" * 64})
    with engines.serving(bench.config, lambda: engines.engine(slots(never))):
        for _ in range(3):
            with pytest.raises(OtherCheckpoint):
                reexamine_segment(RUN, 1, 0, bench, runs)
    assert bench.state.start_attempt(NAME) == 1


def test_nothing_is_fed_while_every_engine_serves_another_checkpoint(
    bench: Bench, runs: Runs, feeder: Feeder, sources: list[Record]
) -> None:
    planned(runs, sources, stages=["text"], checkpoints={"text.risk": "b" * 64})

    def beat(digest: str) -> None:
        checkpoint = {"id": "e5-small-risk", "digest": digest, "session": "torch"}
        status = {"ready": True, "slots": {"text.risk": {"checkpoint": checkpoint}}}
        bench.redis.set("liverisk:engine:here", json.dumps(status), ex=60)

    beat("a" * 64)
    feeder.tick()
    assert bench.redis.llen("rescan") == 0
    detail = progress(runs, RUN, bench.redis).detail
    assert detail == "waiting: the engine serves text.risk aaaaaaaa; the plan wants text.risk bbbbbbbb"
    beat("b" * 64)
    feeder.tick()
    assert bench.redis.llen("rescan") == 3
    assert progress(runs, RUN, bench.redis).detail == ""
    beat("a" * 64)
    feeder.tick()
    assert bench.redis.llen("rescan") == 0


def test_a_segment_whose_starts_all_died_is_concluded_from_what_is_stored_and_named(
    bench: Bench, runs: Runs, storage: Storage, sources: list[Record]
) -> None:
    planned(runs, sources[:1], stages=["frames", "text"])
    for _ in range(2):  # as two children that died with it
        bench.state.start_attempt(NAME)
    assert reexamine_segment(RUN, 1, 0, bench, runs) == "kept"
    conclude(RUN, 1, bench, runs)
    receipt = runs.receipt(RUN, 1)
    assert receipt is not None
    assert receipt.recorded == 1
    assert receipt.kept[0].reason == "frames crashed, speech crashed, screen crashed, chat crashed"
    (made,) = (read_record(storage, key) for key in record_keys(storage, run=RUN))
    assert made.reran == ()
    assert made.observations == sources[0].observations


def test_an_outcome_that_cannot_be_read_holds_up_no_batch_and_is_named(
    bench: Bench, runs: Runs, storage: Storage, sources: list[Record]
) -> None:
    planned(runs, sources[:1], stages=["frames"])
    storage.put(outcome_key(RUN, 1, 0), b'{"of": "another version"}')
    assert conclude(RUN, 1, bench, runs) == "concluded"
    receipt = runs.receipt(RUN, 1)
    assert receipt is not None
    assert [one.reason for one in receipt.kept] == ["frames outcome_unreadable"]
    (made,) = (read_record(storage, key) for key in record_keys(storage, run=RUN))
    assert (made.observations, made.reran) == (sources[0].observations, ())


def test_copies_of_a_segment_that_is_being_worked_on_are_no_crash(
    bench: Bench, runs: Runs, sources: list[Record]
) -> None:
    planned(runs, sources, stages=["text"])
    for _ in range(2):
        bench.state.start_attempt(NAME)
    bench.state.note_running(NAME, 60)
    with pytest.raises(StillRunning):
        reexamine_segment(RUN, 1, 0, bench, runs)
    assert not runs.has_outcome(RUN, 1, 0)


def test_a_starved_segment_is_tried_again_and_then_kept_as_it_is(
    bench: Bench, runs: Runs, sources: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(source: Record, *_: object, **named: object) -> Reexamination:
        late = {"chat": Coverage(status="not", reason=why.DEADLINE)}
        return Reexamination(
            source.observations.model_copy(update={"coverage": {**source.observations.coverage, **late}}), {}
        )

    planned(runs, sources, stages=["text"])
    monkeypatch.setattr(reexamination, "reexamine", cut_short)
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        with pytest.raises(Starved):
            reexamine_segment(RUN, 1, 0, bench, runs)
        assert reexamine_segment(RUN, 1, 0, bench, runs) == "examined"
    outcome = runs.outcome(RUN, 1, 0)
    assert outcome is not None
    assert outcome.observations is not None
    assert outcome.observations.coverage["chat"].reason == why.DEADLINE


def test_a_segment_that_ends_the_engine_each_time_is_given_up_and_concluded_from_what_is_stored(
    bench: Bench, runs: Runs, sources: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine_gone(*_: object, **named: object) -> Reexamination:
        raise EngineUnavailable("the deadline passed after the engine had been away")

    planned(runs, sources, stages=["text"])
    monkeypatch.setattr(reexamination, "reexamine", engine_gone)
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        for _ in range(bench.config.worker.max_attempts):
            with pytest.raises(EngineLost):
                reexamine_segment(RUN, 1, 0, bench, runs)
        assert reexamine_segment(RUN, 1, 0, bench, runs) == "kept"
    outcome = runs.outcome(RUN, 1, 0)
    assert outcome is not None
    assert set(outcome.reused.values()) == {"crashed"}


def test_what_the_source_already_lacked_for_time_starves_nothing() -> None:
    late = Coverage(status="not", reason=why.DEADLINE)
    source = record(0, coverage={"speech": late})

    def found(**seen: Coverage) -> Reexamination:
        changed = {modality: seen.get(modality, stored) for modality, stored in source.observations.coverage.items()}
        return Reexamination(Observations(coverage=changed, checkpoints={}), {})

    assert not starved(source, ["text"], found())
    assert starved(source, ["speech"], found())
    assert starved(source, ["frames"], found(frames=late))
    assert starved(source, ["text"], found(chat=late))


def test_texts_that_find_no_time_again_starve_their_segment() -> None:
    late = Coverage(status="not", reason=why.DEADLINE, detail="text.risk", total=2)
    unscored, scored = (
        record(0, coverage={"chat": late}, texts=[line])
        for line in (chat_line("hello").model_copy(update={"scores": {}}), chat_line("hello"))
    )
    assert starved(unscored, ["text"], Reexamination(unscored.observations, {}))
    assert not starved(unscored, ["frames"], Reexamination(unscored.observations, {}))
    assert not starved(scored, ["text"], Reexamination(scored.observations, {}))


def test_expired_media_are_named_and_stored_observations_stand(bench: Bench, runs: Runs, storage: Storage) -> None:
    manifest = store_segment(storage, "room-9", chat=["hello"])
    calm = engines.calm(dict.fromkeys(POLICY_IDS, 0.001))
    seeing = {**slots(calm), "vision.nudity": ("open-nsfw", engines.calm({"nsfw": 0.3, "sfw": 0.7}))}
    with engines.serving(bench.config, lambda: engines.engine({**seeing, "ocr": ("pp-ocrv6", engines.textless)})):
        classify(manifest.as_message(), bench, lane="live")
        source = read_record(storage, record_key_of(manifest))
        for frame in manifest.frames:
            storage.delete(frame.key)
        planned(runs, [source], stages=["frames"])
        reexamine_segment(RUN, 1, 0, bench, runs)
    conclude(RUN, 1, bench, runs)
    receipt = runs.receipt(RUN, 1)
    assert receipt is not None
    assert receipt.kept[0].reason == "frames media_expired"
    (made,) = (read_record(storage, key) for key in record_keys(storage, run=RUN))
    assert made.observations.frames == source.observations.frames
    assert made.reran == ()


def test_a_source_that_is_gone_asks_no_model_and_is_named_when_concluded(
    bench: Bench, runs: Runs, storage: Storage, sources: list[Record]
) -> None:
    planned(runs, sources[:1], stages=["text"])
    storage.delete(key_of(sources[0]))
    assert reexamine_segment(RUN, 1, 0, bench, runs) == "kept"
    conclude(RUN, 1, bench, runs)
    receipt = runs.receipt(RUN, 1)
    assert receipt is not None
    assert [one.segment_id for one in receipt.unexaminable] == [sources[0].segment_id]


def test_a_message_of_a_paused_run_asks_nothing(
    bench: Bench, runs: Runs, feeder: Feeder, sources: list[Record]
) -> None:
    planned(runs, sources, stages=["text"])
    feeder.tick()
    assert take(bench.redis) is not None
    pause(runs, RUN, "tester", bench.redis)
    assert reexamine_segment(RUN, 1, 0, bench, runs) == "held"
    feeder.tick()
    assert work(bench, runs) == 0
    assert bench.redis.keys("liverisk:starts:*") == []


def test_runs_share_the_window_of_their_lane_and_the_first_is_fed_first(
    bench: Bench, runs: Runs, storage: Storage, config: Config
) -> None:
    for number, run in enumerate(("rescan-b", "rescan-a")):
        made = [record(index, stream_id=f"room-{number}") for index in range(3)]
        for one in made:
            write_record(storage, one)
        planned(runs, made, run=run, stages=["text"])
    feeder = Feeder(config.model_copy(update={"runs": config.runs.model_copy(update={"window": 4})}))
    feeder.tick()
    feeder.tick()
    ids = [str(message["headers"]["id"]) for message in messages(bench.redis, "rescan")]  # type: ignore[index]  # JSON
    assert ids == ["rescan-b/1/0", "rescan-b/1/1", "rescan-b/1/2", "rescan-a/1/0"]
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        work(bench, runs, at_most=3)
        feeder.tick()
    ids = [str(message["headers"]["id"]) for message in messages(bench.redis, "rescan")]  # type: ignore[index]
    assert sorted(ids) == ["rescan-a/1/0", "rescan-a/1/1", "rescan-a/1/2", "rescan-b/1"]
    feeder.close()
