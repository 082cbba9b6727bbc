"""Which segments a rescan selects, which of their stages it runs again, and what a dry run foretells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pipelines.coverage import NO_INPUT
from pipelines.record import Coverage, Modality, Record
from tests.engines import calm, engine, serving, tiny
from tests.records import START, chat_line, record, unexamined, verdict
from workers.config import Config
from workers.records import Progress, RecordError, key_of, read_records, record_keys, write_record
from workers.runs import planning
from workers.runs import selection as selecting
from workers.runs.condition import WrongSelection
from workers.runs.dry_run import forecast
from workers.runs.planning import RescanOrder, drop_plan, plan_rescan, prepare_rescan
from workers.runs.run import Item
from workers.runs.selection import NothingSelected, Selection, chosen, why_nothing
from workers.runs.store import Runs
from workers.runs.today import todays_digests, todays_lexicon
from workers.storage import Storage
from workers.verdicts.tables import read_tables

Select = Callable[..., list[str]]


@pytest.fixture
def stored(storage: Storage) -> tuple[Record, ...]:
    """Two streams of three segments; scam is flagged in the second of room-1, hate is near in that of room-2."""
    found = [
        record(0),
        record(1, verdict("scam", "medium"), texts=[chat_line("add me")]),
        record(2, coverage={"frames": unexamined(NO_INPUT)}),
        record(0, stream_id="room-2"),
        record(1, verdict("hate", probability=0.35), stream_id="room-2"),
        record(1, verdict("scam", "high"), stream_id="room-2", run="rescan-1"),
    ]
    for one in found:
        assert write_record(storage, one)
    return tuple(found)


@pytest.fixture
def select(storage: Storage, stored: Sequence[Record]) -> Select:
    """The selected segments as `stream number`, in their order."""
    names = {key_of(one): f"{one.stream_id} {round((one.captured_at - START).total_seconds() / 10)}" for one in stored}

    def selected(**asked: object) -> list[str]:
        with chosen(storage, Selection(**asked)) as found:  # type: ignore[arg-type]  # the tests' own shorthand
            return [names[one.key] for one in found.segments]

    return selected


def test_everything_is_selected_by_stream_and_time(select: Select) -> None:
    assert select() == ["room-1 0", "room-1 1", "room-1 2", "room-2 0", "room-2 1"]


def test_conditions_narrow_together(select: Select, stored: Sequence[Record]) -> None:
    assert select(streams=("room-2",)) == ["room-2 0", "room-2 1"]
    assert select(policies=("scam", "hate")) == ["room-1 1"]
    assert select(since=stored[1].captured_at, until=stored[2].captured_at) == ["room-1 1", "room-2 1"]
    assert select(language="ZH", region="sg", streams=("room-1",)) == ["room-1 0", "room-1 1", "room-1 2"]
    assert select(region="US") == []
    assert select(checkpoint="bbbb") == select(checkpoint="e5-small-risk@bbbb") == select()
    assert select(checkpoint="other@bbbb") == []
    assert select(run="rescan-1") == ["room-2 1"]


def test_a_condition_sees_a_verdict_and_its_segment(select: Select) -> None:
    assert select(where="policy = 'hate' AND probability > 0.3") == ["room-2 1"]
    assert select(where="policy = 'hate' AND frames_reason = 'no_input'") == ["room-1 2"]
    assert select(where="stream_id IN (SELECT stream_id FROM current_verdicts WHERE flagged) -- all of it") == [
        "room-1 0",
        "room-1 1",
        "room-1 2",
    ]
    assert select(where="severity_rank > 1") == ["room-1 1"]
    assert select(where="'no_input' IN (frames_reason, speech_reason, chat_reason)") == ["room-1 2"]


def test_listed_segments_are_selected_and_unknown_ones_are_not(select: Select, stored: Sequence[Record]) -> None:
    listed = frozenset({("room-1", stored[2].segment_id), ("room-1", "elsewhen"), ("room-9", stored[2].segment_id)})
    assert select(segments=listed) == ["room-1 2"]
    assert select(segments=frozenset()) == []


NO_CONDITIONS = (
    ("probabilty > 0.3", 'Referenced column "probabilty" not found'),
    ("probability >", "syntax error"),
    ("probability > 0.3; DROP TABLE verdicts", "syntax error"),
    ("true) UNION SELECT ('a'", "give one condition"),
    ("true) GROUP BY (1", "give one condition"),
    ("true), (true", "give one condition"),
    ("true, true", "give one condition"),
    ("true) OR (true", "syntax error"),
    ("true)) OR ((true", "syntax error"),
    ("true LIMIT 3", "syntax error"),
    ("count(*) > 3", "WHERE clause cannot contain aggregates"),
    ("has_texts", 'Referenced column "has_texts" not found'),
    ("policy IN (SELECT content FROM read_text('/etc/hostname'))", "file system"),
    ("", "syntax error"),
)
"""SQL, and part of what is said about it."""


def test_a_condition_that_is_none_is_refused_in_one_line(storage: Storage) -> None:
    for condition, says in NO_CONDITIONS:
        with (
            pytest.raises(WrongSelection, match=r"^--where: .+") as refused,
            chosen(storage, Selection(where=condition)),
        ):
            pass
        assert says in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_stream_without_records_is_named(select: Select) -> None:
    with pytest.raises(NothingSelected, match=r"^no records of stream room-9$"):
        select(streams=("room-1", "room-9"))


def test_an_empty_selection_says_what_finds_nothing(storage: Storage, stored: Sequence[Record]) -> None:
    def why(asked: Selection) -> str:
        return str(why_nothing(storage, asked))

    assert why(Selection(checkpoint="dddd")) == "no record was made with the checkpoint dddd"
    assert why(Selection(run="rescan-9")) == "no records of run rescan-9"
    assert why(Selection(region="US", checkpoint="bbbb")) == "no segments match: region US, checkpoint bbbb"
    with pytest.raises(WrongSelection, match="neither a digest nor id@digest"):
        why(Selection(checkpoint="e5'; --"))


def test_of_records_without_a_part_only_those_that_can_matter_are_read(
    storage: Storage, stored: Sequence[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def noted(storage: Storage, keys: Sequence[str], *, tell: Progress | None = None) -> Iterator[Record | RecordError]:
        read.extend(keys)
        return read_records(storage, keys, tell=tell)

    monkeypatch.setattr("workers.verdicts.query.read_records", noted)

    def reads(asked: Selection) -> list[str]:
        read.clear()
        with chosen(storage, asked) as found:
            list(found.segments)
        return sorted(read)

    keys = [key_of(one) for one in stored]
    assert reads(Selection()) == sorted(keys[:5])
    assert reads(Selection(streams=("room-2",))) == sorted(keys[3:5])
    assert reads(Selection(segments=frozenset({("room-1", stored[0].segment_id)}))) == sorted(keys[:3])
    assert reads(Selection(run="rescan-1")) == [keys[5]]
    assert reads(Selection(where="flagged")) == sorted(keys)


def test_a_long_tail_is_compacted_before_it_is_read(
    storage: Storage, select: Select, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selecting, "TAIL_READ", 4)
    said: list[str] = []
    with chosen(storage, Selection(), say=said.append):
        assert ["compacting" in line for line in said] == [True]
    before = select()
    assert len(read_tables(storage).compacted) == 6
    assert select(where="policy = 'scam' AND flagged") == ["room-1 1"]
    assert select() == before


def test_digests_are_known_without_weights(config: Config, tmp_path: Path) -> None:
    bare = config.model_copy(update={"models_directory": tmp_path / "nothing-pulled"})
    assert todays_digests(bare) == todays_digests(config)
    assert set(todays_digests(bare)) == set(config.slots)


def test_a_plan_has_every_segment_once_in_order(config: Config, storage: Storage) -> None:
    for index in range(65):
        write_record(storage, record(index % 33, stream_id=f"room-{index // 33}"))
    plan = plan_rescan(config, storage, RescanOrder(reuse=True, urgent=True, apply=True, by="me@here", reason="why"))
    runs = Runs(storage)
    assert plan == runs.plan(plan.run)
    assert (plan.batches, plan.lane, plan.kind, plan.stages, plan.checkpoints) == ((33, 32), "review", "rescan", {}, {})
    assert (plan.apply, plan.by, plan.reason) == (True, "me@here", "why")
    sources = [item.source for number in (1, 2) for item in runs.batch(plan.run, number).items]
    assert sources == sorted(record_keys(storage))
    assert list(runs.open()) == [plan.run]


def test_a_plan_names_the_checkpoints_that_its_stages_ask(
    config: Config, storage: Storage, stored: Sequence[Record]
) -> None:
    plan = prepare_rescan(config, storage, RescanOrder(Selection(streams=("room-2",))))
    today = todays_digests(config)
    assert plan.stages == {"frames": 2, "speech": 2, "screen": 2}
    lexicon = todays_lexicon(config)
    assert plan.checkpoints == {**today, "lexicon": lexicon.digest}
    assert Runs(storage).lexicon(plan.run) == lexicon.content
    seen = Runs(storage).batch(plan.run, 1)
    assert {item.stages for item in seen.items} == {("frames", "speech", "screen")}
    assert plan.selection == {"stream": "room-2"}


def test_what_is_prepared_starts_nothing_and_can_be_dropped(
    config: Config, storage: Storage, stored: Sequence[Record]
) -> None:
    runs = Runs(storage)
    plan = prepare_rescan(config, storage, RescanOrder(full=True))
    assert (list(runs.open()), runs.find_plan(plan.run)) == ([], None)
    drop_plan(storage, plan)
    assert not list(storage.keys("runs/"))


def test_an_empty_selection_leaves_nothing_behind(config: Config, storage: Storage, stored: Sequence[Record]) -> None:
    with pytest.raises(NothingSelected, match=r"^no segments match: where probability > 0.99$"):
        plan_rescan(config, storage, RescanOrder(Selection(where="probability > 0.99"), reuse=True))
    assert not list(storage.keys("runs/"))


def test_a_condition_that_fails_half_way_leaves_nothing_behind(
    config: Config, storage: Storage, stored: Sequence[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> Iterator[tuple[Item, ...]]:
        yield (Item(source=key_of(stored[0])),)
        raise WrongSelection("--where: Conversion Error")

    monkeypatch.setattr(planning, "batches_of", broken)
    with pytest.raises(WrongSelection):
        plan_rescan(config, storage, RescanOrder(reuse=True))
    assert not list(storage.keys("runs/"))


def test_records_that_cannot_be_read_are_told_in_the_plan(
    config: Config, storage: Storage, stored: Sequence[Record]
) -> None:
    storage.put(key := "records/date=2026-03-10/stream=room-3/damaged/live.json", b"{}")
    plan = prepare_rescan(config, storage, RescanOrder(reuse=True))
    assert plan.selected == 5
    assert plan.selection["unreadable"].startswith(f"1 records cannot be read, the first: {key}")
    with pytest.raises(NothingSelected, match=r"^nothing can be selected: 1 records unreadable, first records/"):
        plan_rescan(config, storage, RescanOrder(Selection(streams=("room-3",)), reuse=True))


def test_what_was_cut_short_is_known_of_every_stage(storage: Storage) -> None:
    cut: list[tuple[Modality, Coverage]] = [
        ("frames", unexamined("shed", 5)),
        ("speech", Coverage(status="partly", reason="deadline", detail="text.risk", examined=1, total=2)),
        ("screen", unexamined("undecodable", 5)),
        ("chat", unexamined("shed", 3)),
    ]
    for index, (modality, coverage) in enumerate(cut):
        write_record(storage, record(index, coverage={modality: coverage}, texts=[chat_line("hello")]))
    with chosen(storage, Selection()) as found:
        assert [(one.cut_short, one.has_texts) for one in found.segments] == [
            ({"frames"}, True),
            ({"text"}, True),
            (frozenset(), True),
            ({"text"}, True),
        ]


class TestDryRun:
    """With an engine of one text slot, whose checkpoint is not the one of the stored records."""

    @pytest.fixture
    def texts_only(self, config: Config, storage: Storage) -> Config:
        line = chat_line("send a deposit first", scam=0.01)
        for index in range(9):
            write_record(storage, record(index, texts=[line] if index % 2 else []))
        slots = {"text.risk": config.slots["text.risk"]}
        return config.model_copy(update={"slots": slots})

    def test_a_sample_goes_the_whole_way_and_nothing_is_written(self, texts_only: Config, storage: Storage) -> None:
        before = list(storage.keys(""))
        slots = {"text.risk": ("e5-small-risk", calm({"scam": 0.99}))}
        digest = todays_digests(texts_only)["text.risk"]
        with serving(texts_only, lambda: engine(slots, digest)):
            found = forecast(texts_only, storage, RescanOrder(), sample=9)
        assert (found.selected, found.sampled, found.unknown) == (9, 9, ())
        assert (found.stages, found.reused) == ({"text": 4}, {"frames": 9, "speech": 9, "screen": 9})
        assert found.by_policy["scam"]["flagged"] >= 4
        assert found.segments_changed >= 4
        assert found.estimate is not None
        assert found.estimate.sampled == 4
        assert found.estimate.wall_s > 0
        assert list(storage.keys("")) == before

    def test_without_an_engine_it_says_what_it_could_not_find_out(self, texts_only: Config, storage: Storage) -> None:
        found = forecast(texts_only, storage, RescanOrder(), sample=8)
        assert [line.partition(":")[0] for line in found.unknown] == ["no engine answers here"]
        assert found.stages == {"text": 4}
        assert found.sampled < 8

    def test_an_engine_with_another_checkpoint_is_not_asked(self, texts_only: Config, storage: Storage) -> None:
        with serving(texts_only, lambda: tiny(digest="f" * 64)):
            found = forecast(texts_only, storage, RescanOrder(), sample=9)
        assert "serves another checkpoint of text.risk" in found.unknown[0]
        assert found.sampled == 5

    def test_a_change_of_policies_is_foretold_without_models(self, config: Config, storage: Storage) -> None:
        for index in range(5):
            write_record(storage, record(index, verdict("scam", "medium")))
        found = forecast(config, storage, RescanOrder(reuse=True), sample=2)
        assert (found.sampled, found.changes, found.by_policy) == (2, {"lifted": 2}, {"scam": {"lifted": 2}})
        assert found.estimate is not None
        assert (found.estimate.sampled, found.estimate.engine_s) == (2, 0)
