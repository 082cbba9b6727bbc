"""Runs from plan to finish on a real store and a real Valkey: bodies called as a worker would, one feeder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
import redis

from pipelines.fusion import evidence_of, fuse, instants
from pipelines.record import Record, Verdict
from tests.conftest import WaitUntil
from tests.lanes import messages
from tests.records import START, chat_line, record
from tests.runs import planned, stricter, take, work, work_off
from workers.broker.queues import RedisQueues
from workers.classify import Bench
from workers.config import Config
from workers.config import Runs as RunSettings
from workers.decoder.contained import Contained
from workers.records import RecordError, key_of, read_record, read_records, record_key, record_keys, write_record
from workers.runs import feeding, history
from workers.runs.conclude import conclude
from workers.runs.feeder import LEASE_S, Feeder
from workers.runs.hold import held
from workers.runs.lease import FEEDER_KEY, Lease
from workers.runs.progress import cancel, pause, progress, resume
from workers.runs.run import Change, Plan, Progress
from workers.runs.store import RunError, Runs
from workers.storage import Storage

RUN = "rescan-a"


@pytest.fixture
def bench(config: Config, storage: Storage, decoder: Contained) -> Iterator[Bench]:
    opened = Bench.open(config, decoder=decoder)
    yield opened
    opened.engine.close()
    opened.redis.close()


@pytest.fixture
def runs(storage: Storage) -> Runs:
    return Runs(storage)


def marks_finished(runs: Runs, plan: Plan, config: Config) -> None:
    """The end of a run without its report."""
    del config
    runs.mark(plan.run, "finished", "test")
    runs.close(plan.run)


@pytest.fixture
def feeder(config: Config) -> Iterator[Feeder]:
    opened = feeder_of(config)
    yield opened
    opened.close()


def feeder_of(config: Config, window: int = 4) -> Feeder:
    return Feeder(config.model_copy(update={"runs": RunSettings(window=window)}), finish=marks_finished)


def stored(storage: Storage, count: int, stream_id: str = "room-1", *, first: int = 0) -> list[Record]:
    """Live records in order, whose chat is more and less of a scam."""
    made = [
        record(
            index, stream_id=stream_id, texts=[chat_line(f"line {index}", scam=0.05 + 0.9 * ((index * 7) % 10) / 10)]
        )
        for index in range(first, first + count)
    ]
    for one in made:
        write_record(storage, one)
    return made


def run_records(storage: Storage, run: str = RUN) -> list[Record]:
    return [read_record(storage, key) for key in record_keys(storage, run=run)]


def adds_up(seen: Progress) -> bool:
    return seen.selected == seen.recorded + seen.unexaminable + seen.examined + seen.waiting and seen.waiting >= 0


def in_order(records: Sequence[Record], bench: Bench, plan: Plan) -> list[float]:
    """What one pass over all of a stream, segment after segment, concludes about scams."""
    past: dict[float, dict[str, float]] = {}
    found = []
    for one in records:
        at, seen = one.captured_at.timestamp(), one.observations
        evidence = evidence_of(seen, bench.labels, plan.policies)
        verdicts = fuse(evidence, seen.coverage, plan.policies, at=at, history=past)
        past[at] = instants(verdicts)
        found.append(scam(verdicts))
    return found


def scam(verdicts: Sequence[Verdict]) -> float:
    return next(one.probability for one in verdicts if one.policy == "scam")


def test_a_run_without_models_gives_each_segment_one_record_by_the_new_policies(
    bench: Bench, runs: Runs, feeder: Feeder, storage: Storage
) -> None:
    sources = stored(storage, 20)
    plan = planned(runs, sources, batch_size=8)
    work_off(feeder, bench, runs)
    made = run_records(storage)
    assert [one.segment_id for one in made] == [one.segment_id for one in sources]
    assert {one.policy_digest for one in made} == {plan.policies.digest}
    assert [one.derived_from for one in made] == [key_of(one) for one in sources]
    assert all(one.observations == source.observations for one, source in zip(made, sources, strict=True))
    assert runs.state(RUN) == "finished"
    assert list(runs.open()) == []


def test_a_batch_delivered_twice_is_recorded_and_receipted_once(bench: Bench, runs: Runs, storage: Storage) -> None:
    planned(runs, stored(storage, 5))
    assert conclude(RUN, 1, bench, runs) == "concluded"
    before = {key: storage.get(key) for key in storage.keys("")}
    assert conclude(RUN, 1, bench, runs) == "known"
    assert {key: storage.get(key) for key in storage.keys("")} == before


def test_a_batch_that_died_in_the_middle_keeps_the_records_it_had(bench: Bench, runs: Runs, storage: Storage) -> None:
    planned(runs, stored(storage, 5))
    conclude(RUN, 1, bench, runs)
    receipt = runs.receipt(RUN, 1)
    made = {key: storage.get(key) for key in record_keys(storage, run=RUN)}
    lost = next(iter(made))
    for key in (f"runs/{RUN}/receipts/000001.json", lost):  # as if it had died before both were written
        storage.delete(key)
    assert conclude(RUN, 1, bench, runs) == "concluded"
    again = runs.receipt(RUN, 1)
    assert receipt is not None
    assert again is not None
    assert (again.recorded, again.changes) == (receipt.recorded, receipt.changes)
    assert all(storage.get(key) == body for key, body in made.items() if key != lost)


def test_history_over_the_borders_of_batches_is_that_of_one_pass_in_order(
    bench: Bench, runs: Runs, feeder: Feeder, storage: Storage
) -> None:
    sources = stored(storage, 11)
    plan = planned(runs, sources, batch_size=3)
    work_off(feeder, bench, runs)
    assert [scam(one.verdicts) for one in run_records(storage)] == in_order(sources, bench, plan)


def test_segments_that_the_run_does_not_touch_are_its_past_by_its_own_policies(
    bench: Bench, runs: Runs, storage: Storage
) -> None:
    sources = stored(storage, 9)
    plan = planned(runs, sources[::2])
    conclude(RUN, 1, bench, runs)
    assert [scam(one.verdicts) for one in run_records(storage)] == in_order(sources, bench, plan)[::2]


def test_far_apart_segments_of_a_batch_read_their_own_past_and_not_the_time_between(
    bench: Bench, runs: Runs, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_back = 30  # segments in the five minutes of the window
    sources = stored(storage, 3 * looked_back)
    plan = planned(runs, [sources[1], sources[-1]])
    read: list[str] = []

    def counting(storage: Storage, keys: Sequence[str]) -> Iterator[Record | RecordError]:
        read.extend(keys)
        return read_records(storage, keys)

    monkeypatch.setattr(history, "read_records", counting)
    conclude(RUN, 1, bench, runs)
    assert sorted(read) == [key_of(one) for one in (sources[0], *sources[-1 - looked_back : -1])]
    made = [scam(one.verdicts) for one in run_records(storage)]
    assert made == [in_order(sources, bench, plan)[place] for place in (1, -1)]


def test_a_deep_reviews_record_that_is_fused_anew_stays_deep_and_looks_back_as_far(
    bench: Bench, runs: Runs, storage: Storage
) -> None:
    past, here = record(0, texts=[chat_line("pay first", scam=0.9)]), record(60, texts=[chat_line("hm", scam=0.05)])
    deep = here.model_copy(update={"run": "review-a", "profile": "deep", "settings": {"beam_size": 5}})
    for one in (past, here, deep):
        write_record(storage, one)
    scams = stricter().policies["scam"]
    lasting = scams.persistence.model_copy(update={"half_life_s": 600})
    changed = {**stricter().policies, "scam": scams.model_copy(update={"persistence": lasting})}
    plan = planned(runs, [deep], policies=stricter().model_copy(update={"policies": changed}))
    conclude(RUN, 1, bench, runs)
    [made] = run_records(storage)
    assert (made.profile, made.settings) == ("deep", {"beam_size": 5})
    at, seen = here.captured_at.timestamp(), here.observations
    before = {past.captured_at.timestamp(): history.Fuser.of(plan.policies, bench.labels).instants(past)}
    evidence = evidence_of(seen, bench.labels, plan.policies)
    wide = fuse(evidence, seen.coverage, plan.policies, at=at, history=before, window_s=900)
    assert scam(made.verdicts) == scam(wide)
    assert scam(wide) > scam(fuse(evidence, seen.coverage, plan.policies, at=at, history=before))


def test_a_long_day_of_a_stream_is_not_listed_whole(
    storage: Storage, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = stored(storage, 12)
    monkeypatch.setattr(history, "PAGE", 4)
    since, until = sources[6].captured_at, sources[10].captured_at
    found = [place.segment_id for _, place in history.stream_keys(storage, "room-1", since, until)]
    assert found == [one.segment_id for one in sources[6:10]]
    fuser = history.Fuser.of(stricter(), bench.labels)
    past = history.stream_history(storage, "room-1", since, until, fuser, prefer=("live",))
    assert sorted(past) == [one.captured_at.timestamp() for one in sources[6:10]]


def test_streams_of_one_batch_do_not_share_their_past(bench: Bench, runs: Runs, storage: Storage) -> None:
    first, second = stored(storage, 4, "room-1"), stored(storage, 4, "room-2")
    plan = planned(runs, [*first, *second])
    conclude(RUN, 1, bench, runs)
    made = [scam(one.verdicts) for one in run_records(storage)]
    assert made == [*in_order(first, bench, plan), *in_order(second, bench, plan)]


def test_the_receipt_names_what_changed_against_the_source(bench: Bench, runs: Runs, storage: Storage) -> None:
    planned(runs, stored(storage, 10))
    conclude(RUN, 1, bench, runs)
    receipt = runs.receipt(RUN, 1)
    assert receipt is not None
    flagged: list[Change] = [one for one in receipt.changes if one.kind == "flagged"]
    assert {one.policy for one in flagged} == {"scam"}
    strongest = max(flagged, key=lambda one: one.after.probability)
    assert (strongest.modality, strongest.label) == ("chat", "text.risk/scam")
    assert (strongest.text or "").startswith("line")
    assert (strongest.language, strongest.region, strongest.viewers) == ("zh", "SG", 1200)


def test_a_segment_whose_record_is_gone_or_of_an_unknown_checkpoint_is_named(
    bench: Bench, runs: Runs, storage: Storage
) -> None:
    sources = stored(storage, 3)
    stranger = sources[1].observations.checkpoints["text.risk"].model_copy(update={"id": "nobody-knows"})
    seen = sources[1].observations.model_copy(update={"checkpoints": {"text.risk": stranger}})
    storage.put(
        key_of(sources[1]), sources[1].model_copy(update={"observations": seen}).model_dump_json(by_alias=True).encode()
    )
    storage.delete(key_of(sources[2]))
    planned(runs, sources)
    conclude(RUN, 1, bench, runs)
    receipt = runs.receipt(RUN, 1)
    assert receipt is not None
    assert receipt.recorded == 1
    assert [one.segment_id for one in receipt.unexaminable] == [one.segment_id for one in sources[1:]]
    assert "no model card for nobody-knows" in receipt.unexaminable[0].reason


def test_counts_add_up_at_every_moment(bench: Bench, runs: Runs, feeder: Feeder, storage: Storage) -> None:
    sources = stored(storage, 8)
    storage.delete(key_of(sources[5]))
    planned(runs, sources, batch_size=2)
    recorded = []
    for _ in range(50):
        if not feeder.tick():
            break
        seen = progress(runs, RUN, bench.redis)
        assert adds_up(seen)
        recorded.append(seen.recorded)
        work(bench, runs, at_most=1)
    last = progress(runs, RUN, bench.redis)
    assert adds_up(last)
    assert (last.recorded, last.unexaminable, last.waiting, last.state) == (7, 1, 0, "finished")
    assert recorded == sorted(recorded)


def test_no_more_messages_than_the_window_are_out(bench: Bench, runs: Runs, storage: Storage, config: Config) -> None:
    sources = [one for room in range(6) for one in stored(storage, 1, f"room-{room}")]
    planned(runs, sources, batch_size=1)
    feeder = feeder_of(config, window=3)
    feeder.tick()
    feeder.tick()
    assert bench.redis.llen("rescan") == 3
    work(bench, runs)
    feeder.tick()
    assert bench.redis.llen("rescan") == 3
    feeder.close()


def test_a_stream_is_concluded_batch_after_batch_and_different_ones_side_by_side(
    bench: Bench, runs: Runs, feeder: Feeder, storage: Storage
) -> None:
    planned(runs, [*stored(storage, 4, "room-1"), *stored(storage, 2, "room-2")], batch_size=2)
    feeder.tick()
    sent = {str(one["headers"]["id"]) for one in messages(bench.redis, "rescan")}  # type: ignore[index]  # JSON
    assert sent == {f"{RUN}/1", f"{RUN}/3"}


def test_a_feeder_that_was_killed_is_followed_by_one_that_goes_on(
    bench: Bench, runs: Runs, storage: Storage, config: Config
) -> None:
    planned(runs, stored(storage, 6), batch_size=2)
    killed = feeder_of(config)
    killed.tick()
    work(bench, runs)
    killed.tick()
    bench.redis.delete(FEEDER_KEY)  # as its lease runs out
    follower = feeder_of(config)
    work_off(follower, bench, runs)
    assert len(run_records(storage)) == 6
    assert sum(receipt.recorded for n in (1, 2, 3) if (receipt := runs.receipt(RUN, n))) == 6
    killed.close()
    follower.close()


def test_while_one_feeder_works_another_idles(config: Config, runs: Runs, storage: Storage) -> None:
    planned(runs, stored(storage, 1))
    first, second = feeder_of(config), feeder_of(config)
    assert first.tick() == 1
    assert second.tick() is None
    first.close()
    assert second.tick() == 1
    second.close()


def test_a_feeder_that_dies_while_it_finishes_a_run_is_followed_as_soon_as_any(
    bench: Bench, runs: Runs, storage: Storage, config: Config
) -> None:
    left_s: list[object] = []

    def finishing(runs: Runs, plan: Plan, config: Config) -> None:
        left_s.append(bench.redis.ttl(FEEDER_KEY))
        marks_finished(runs, plan, config)

    planned(runs, stored(storage, 1))
    finisher = Feeder(config, finish=finishing)
    work_off(finisher, bench, runs)
    finisher.close()
    [seconds] = left_s
    assert isinstance(seconds, int)
    assert 0 < seconds <= LEASE_S


def test_a_lease_outlasts_work_that_is_longer_than_its_time(broker: redis.Redis, wait_until: WaitUntil) -> None:
    lease = Lease(broker, "lease", 1)
    assert lease.hold()
    with lease.kept():
        broker.pexpire("lease", 500)
        wait_until(lambda: int(str(broker.pttl("lease"))) > 500, "it was renewed")


def test_messages_that_the_broker_lost_are_sent_again(
    bench: Bench, runs: Runs, feeder: Feeder, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(runs, stored(storage, 2))
    monkeypatch.setattr(feeding, "AUDIT_S", 0)
    monkeypatch.setattr(feeding, "SETTLED_S", 0)
    feeder.tick()
    feeder.tick()
    assert bench.redis.llen("rescan") == 1
    bench.redis.delete("rescan")
    feeder.tick()
    assert bench.redis.llen("rescan") == 1


def test_a_paused_run_does_nothing_until_it_is_resumed(
    bench: Bench, runs: Runs, feeder: Feeder, storage: Storage
) -> None:
    planned(runs, stored(storage, 4))
    feeder.tick()
    found = take(bench.redis)  # with a worker when the run is paused
    assert found is not None
    pause(runs, RUN, "tester", bench.redis)
    assert conclude(RUN, 1, bench, runs) == "held"
    feeder.tick()
    assert bench.redis.llen("rescan") == 0
    assert progress(runs, RUN, bench.redis).state == "paused"
    assert run_records(storage) == []
    resume(runs, RUN, "tester", bench.redis)
    work_off(feeder, bench, runs)
    assert len(run_records(storage)) == 4


def test_a_pause_that_a_look_has_just_missed_is_not_undone(
    bench: Bench, runs: Runs, feeder: Feeder, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(runs, stored(storage, 2))
    pause(runs, RUN, "tester", bench.redis)
    seen, state = iter(["running"]), Runs.state
    monkeypatch.setattr(Runs, "state", lambda self, run: next(seen, None) or state(self, run))
    feeder.tick()
    assert held(bench.redis, RUN) == "paused"
    assert bench.redis.llen("rescan") == 0


def test_a_pause_takes_effect_between_two_segments(
    bench: Bench, runs: Runs, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(runs, stored(storage, 6))
    looks = iter([None, None, None, "paused"])
    monkeypatch.setattr("workers.runs.conclude.held", lambda *_: next(looks))
    assert conclude(RUN, 1, bench, runs) == "held"
    assert len(run_records(storage)) == 2
    assert not runs.has_receipt(RUN, 1)


def test_a_cancelled_run_leaves_no_message_and_is_closed(
    bench: Bench, runs: Runs, feeder: Feeder, storage: Storage
) -> None:
    planned(runs, stored(storage, 8), batch_size=2)
    feeder.tick()
    cancel(runs, RUN, "tester", bench.redis)
    feeder.tick()
    assert bench.redis.llen("rescan") == 0
    assert list(runs.open()) == []
    assert held(bench.redis, RUN) == "cancelled"
    assert progress(runs, RUN, bench.redis).state == "cancelled"


def test_only_the_messages_of_one_run_are_withdrawn(
    bench: Bench, runs: Runs, feeder: Feeder, storage: Storage, broker: redis.Redis
) -> None:
    planned(runs, stored(storage, 2), run="rescan-a")
    planned(runs, stored(storage, 2, "room-2"), run="rescan-b")
    feeder.tick()
    assert broker.llen("rescan") == 2
    assert RedisQueues(broker).withdraw("rescan", "rescan-a") == 1
    [left] = messages(broker, "rescan")
    assert left["headers"]["run"] == "rescan-b"  # type: ignore[index]  # JSON


def test_what_cannot_be_moved_says_so_in_one_line(bench: Bench, runs: Runs, storage: Storage) -> None:
    planned(runs, stored(storage, 1))
    with pytest.raises(RunError, match="is not paused"):
        resume(runs, RUN, "tester", bench.redis)
    pause(runs, RUN, "tester", bench.redis)
    with pytest.raises(RunError, match="is paused already"):
        pause(runs, RUN, "tester", bench.redis)
    cancel(runs, RUN, "tester", bench.redis)
    with pytest.raises(RunError, match="is cancelled and cannot be resumed"):
        resume(runs, RUN, "tester", bench.redis)
    with pytest.raises(RunError, match="is cancelled and cannot be paused"):
        pause(runs, RUN, "tester", bench.redis)
    with pytest.raises(RunError, match="no run rescan-z"):
        cancel(runs, "rescan-z", "tester", bench.redis)


def test_one_run_that_fails_holds_up_no_other(bench: Bench, runs: Runs, feeder: Feeder, storage: Storage) -> None:
    planned(runs, stored(storage, 2), run="rescan-a")
    storage.delete("runs/rescan-a/batches/000001.json")
    planned(runs, stored(storage, 2, "room-2"), run="rescan-b")
    feeder.tick()
    work(bench, runs)
    feeder.tick()
    assert runs.state("rescan-b") == "finished"
    assert "batch 1 is gone" in progress(runs, "rescan-a", bench.redis).detail


def test_a_batch_that_does_not_conclude_says_why_until_it_does(
    bench: Bench, runs: Runs, feeder: Feeder, storage: Storage
) -> None:
    sources = stored(storage, 2)
    plan = planned(runs, sources)
    mine = record_key("2026-03-10", "room-1", sources[0].segment_id, plan.run)
    storage.put(mine, b"{}")
    feeder.tick()
    with pytest.raises(RecordError):
        conclude(plan.run, 1, bench, runs)
    feeder.tick()
    assert "batch 1 is tried again and again: RecordError at records.py" in progress(runs, plan.run, bench.redis).detail
    storage.delete(mine)
    conclude(plan.run, 1, bench, runs)
    feeder.tick()
    assert runs.state(plan.run) == "finished"


def test_a_segment_captured_on_the_day_before_is_past_too(bench: Bench, runs: Runs, storage: Storage) -> None:
    midnight = START.replace(hour=0) + timedelta(days=1)
    sources = [
        record(index, start=midnight, texts=[chat_line("pay first", scam=0.95 if index < 0 else 0.3)])
        for index in (-2, -1, 0)
    ]
    for one in sources:
        write_record(storage, one)
    plan = planned(runs, sources[2:])
    conclude(RUN, 1, bench, runs)
    made = read_record(storage, record_key("2026-03-11", "room-1", sources[2].segment_id, RUN))
    assert scam(made.verdicts) == in_order(sources, bench, plan)[2] > in_order(sources[2:], bench, plan)[0]
