"""Reading results from a real store: records, tables, SQL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import yaml
from click.testing import CliRunner, Result

from pipelines.record import FrameObservation, Record
from tests.records import START, chat_evidence, chat_line, record, unexamined, verdict
from workers.cli.main import cli
from workers.config import Config
from workers.records import RecordError, canonical, key_of, read_record, read_records, record_keys, write_record
from workers.storage import Storage
from workers.verdicts.query import Bounds, QueryError, answer, reading
from workers.verdicts.rows import TABLES, TableShape
from workers.verdicts.tables import Batch, TablesError, compact, read_tables

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reading-verdicts.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
BY_HOUR = EXAMPLES[0]


def store(storage: Storage, *records: Record) -> None:
    for one in records:
        assert write_record(storage, one)


def evening() -> tuple[Record, ...]:
    """Two streams over two hours and a midnight, one of them with a scam."""
    scam = verdict("scam", "high", evidence=[chat_evidence("send a deposit first")])
    return (
        record(0, scam, texts=[chat_line("send a deposit first")], frames=[FrameObservation(at_s=0.5)]),
        record(1, verdict("scam", "medium")),
        record(400, coverage={"speech": unexamined("deadline", 10)}),
        record(0, verdict("scam", "low"), stream_id="room-2"),
        record(0, stream_id="room-2", start=START + timedelta(days=1)),
    )


def rows(storage: Storage, sql: str) -> tuple[tuple[object, ...], ...]:
    return answer(storage, sql).rows


def test_the_first_record_of_a_segment_stays(storage: Storage) -> None:
    first, second = record(0, verdict("scam", "high")), record(0)

    assert write_record(storage, first)
    assert not write_record(storage, second)
    assert read_record(storage, key_of(first)) == first


def test_writing_the_same_record_twice_counts_as_written(storage: Storage) -> None:
    assert write_record(storage, record(0))
    assert write_record(storage, record(0))


def test_keys_come_by_day_stream_and_time_and_can_be_narrowed(storage: Storage) -> None:
    store(storage, *evening(), record(1, run="review-1"))

    of_stream = list(record_keys(storage, stream_id="room-1", run="live"))
    assert of_stream == [key_of(record(index)) for index in (0, 1, 400)]
    assert list(record_keys(storage, run="review-1")) == [key_of(record(1, run="review-1"))]
    later = list(record_keys(storage, since=START + timedelta(seconds=10)))
    assert key_of(record(0)) not in later
    assert len(later) == 4
    until = START + timedelta(seconds=10)
    assert list(record_keys(storage, stream_id="room-1", until=until)) == [key_of(record(0))]


def test_segments_named_by_others_come_with_their_whole_day(storage: Storage) -> None:
    named = record(5).model_copy(update={"segment_id": "their-own-name"})
    store(storage, named)

    assert list(record_keys(storage, since=START, until=START + timedelta(seconds=1))) == [key_of(named)]
    assert list(record_keys(storage, since=START + timedelta(days=1))) == []


def test_a_damaged_record_is_one_line_that_names_its_key(storage: Storage) -> None:
    key = key_of(record(0))
    storage.put(key, b'{"schema": "liverisk.record", "text": "quoted"}')

    with pytest.raises(RecordError, match=key) as caught:
        read_record(storage, key)

    assert "\n" not in str(caught.value)
    assert "quoted" not in str(caught.value)


def test_a_record_under_another_records_key_is_damaged(storage: Storage) -> None:
    key = key_of(record(0))
    storage.put(key, canonical(record(1)))

    with pytest.raises(RecordError, match="another segment"):
        read_record(storage, key)


def test_reading_many_keeps_their_order_and_says_which_are_gone(storage: Storage) -> None:
    store(storage, record(0), record(2))

    found = list(read_records(storage, [key_of(record(index)) for index in range(3)]))

    assert [isinstance(one, RecordError) for one in found] == [False, True, False]
    assert (found[0], found[2]) == (record(0), record(2))


def test_streams_by_highest_scam_severity_per_hour(storage: Storage) -> None:
    store(storage, *evening())
    first, second = datetime(2026, 3, 10, 20, tzinfo=UTC), datetime(2026, 3, 10, 21, tzinfo=UTC)

    assert rows(storage, BY_HOUR) == (
        (first, "room-1", 3, 0.95),
        (first, "room-2", 1, 0.45),
        (second, "room-1", 0, 0.02),
        (first + timedelta(days=1), "room-2", 0, 0.02),
    )


@pytest.mark.parametrize("sql", EXAMPLES)
def test_every_example_of_the_documentation_runs(storage: Storage, sql: str) -> None:
    store(storage, *evening())

    assert answer(storage, sql).columns


@pytest.mark.parametrize("shape", TABLES, ids=lambda shape: shape.name)
def test_the_answer_is_the_same_before_during_and_after_compacting(storage: Storage, shape: TableShape) -> None:
    store(storage, *evening())
    sql = f"SELECT {', '.join(shape.schema.names)} FROM {shape.name} ORDER BY ALL"
    before = answer(storage, sql)

    compact(storage, until=START + timedelta(seconds=10))
    half = answer(storage, sql)
    compact(storage)
    after = answer(storage, sql)

    assert (before.tail, half.tail, after.tail) == (5, 3, 0)
    assert before.rows == half.rows == after.rows
    assert before.columns == half.columns == after.columns


def test_an_answer_can_be_bounded_in_time_and_is_the_same_before_and_after_compacting(storage: Storage) -> None:
    store(storage, *evening())
    sql = "SELECT captured_at FROM segments ORDER BY ALL"
    bounds = Bounds(since=START + timedelta(seconds=10), until=START + timedelta(days=1))

    before = answer(storage, sql, bounds=bounds)
    compact(storage)
    after = answer(storage, sql, bounds=bounds)

    assert before.rows == after.rows == ((START + timedelta(seconds=10),), (START + timedelta(seconds=4000),))
    assert len(answer(storage, sql).rows) == 5


@pytest.mark.parametrize("shape", TABLES, ids=lambda shape: shape.name)
def test_bounds_hold_for_every_table(storage: Storage, shape: TableShape) -> None:
    store(storage, *evening())
    sql = f"SELECT min(captured_at), max(captured_at) FROM {shape.name}"

    assert rows(storage, sql)[0][0] == START
    assert answer(storage, sql, bounds=Bounds(since=START + timedelta(days=2))).rows == ((None, None),)


def test_what_lies_outside_the_bounds_is_not_read(storage: Storage) -> None:
    store(storage, *evening())
    compact(storage)
    store(storage, record(1, stream_id="room-3"), record(2, start=START + timedelta(days=1)))
    for part in read_tables(storage).parts("segments"):
        if "2026-03-10" in part:
            storage.put(part, b"damaged")
    for key in storage.keys("tables/batches/date=2026-03-10/"):
        storage.put(key, b"damaged")

    found = answer(storage, "SELECT count(*) FROM segments", bounds=Bounds(since=START + timedelta(days=1)))

    assert (found.rows, found.tail) == (((2,),), 1)


def test_compacting_again_adds_only_late_records(storage: Storage) -> None:
    store(storage, *evening())

    assert compact(storage).records == 5
    assert compact(storage).records == 0
    store(storage, record(7))
    assert compact(storage).records == 1
    assert rows(storage, "SELECT count(*), count(DISTINCT (stream_id, segment_id)) FROM segments") == ((6, 6),)


def test_a_compaction_that_died_before_its_parts_is_finished_and_counts_nothing_twice(storage: Storage) -> None:
    store(storage, *evening())
    died = Batch(schema="liverisk.batch", date="2026-03-10", number=1, records=(key_of(record(0)), key_of(record(1))))
    storage.put(died.key, died.model_dump_json(by_alias=True).encode())
    storage.put(died.part("verdicts"), b"half a file")
    sql = "SELECT stream_id, segment_id, count(*) FROM verdicts GROUP BY ALL ORDER BY ALL"
    before = rows(storage, sql)

    compact(storage)

    assert rows(storage, sql) == before
    assert read_tables(storage).unfinished == ()
    assert {row[2] for row in before} == {12}


class Overtaken(Storage):
    """A store in which another compaction takes its turn while this one is still choosing records."""

    other = Batch(schema="liverisk.batch", date="2026-03-10", number=1, records=(key_of(record(0)),))

    def folders(self, prefix: str) -> Iterator[str]:
        self.put(self.other.key, self.other.model_dump_json(by_alias=True).encode())
        return super().folders(prefix)


def test_two_compactions_at_once_cannot_share_a_record(storage: Storage) -> None:
    store(storage, *evening())

    with pytest.raises(TablesError, match="another compaction"):
        compact(Overtaken(storage.settings))
    compact(storage)

    assert rows(storage, "SELECT count(*), count(DISTINCT (stream_id, segment_id)) FROM segments") == ((5, 5),)


def test_a_damaged_record_is_named_and_left_out_by_compacting_and_by_queries(storage: Storage) -> None:
    store(storage, record(0))
    storage.put(key_of(record(1)), b"{")

    done = compact(storage)
    found = answer(storage, "SELECT count(*) FROM segments")

    assert done.records == 1
    assert [key_of(record(1)) in str(error) for error in done.unreadable] == [True]
    assert found.rows == ((1,),)
    assert [key_of(record(1)) in str(error) for error in found.unreadable] == [True]


def test_coverage_evidence_and_text_can_be_asked_for(storage: Storage) -> None:
    store(storage, *evening())
    compact(storage, until=START + timedelta(seconds=10))

    assert rows(storage, "SELECT stream_id FROM segments WHERE speech_reason = 'deadline'") == (("room-1",),)
    assert rows(storage, "SELECT top_evidence.text FROM verdicts WHERE severity = 'high'") == (
        ("send a deposit first",),
    )
    assert rows(storage, "SELECT text, scores['text.risk/scam'], users FROM observations WHERE source = 'chat'") == (
        ("send a deposit first", 0.9, 2),
    )
    assert rows(storage, "SELECT DISTINCT checkpoints FROM verdicts") == (
        ({"text.risk": "e5-small-risk@" + "b" * 64, "vision.nudity": "open-nsfw@" + "a" * 64},),
    )


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO 'out.csv'",
        "CREATE TABLE kept AS SELECT 1",
        "SET enable_external_access = true",
        "ATTACH 'other.db'",
        "SELECT 1; SELECT 2",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'out.csv'",
        "",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_csv('http://127.0.0.1/x.csv')",
        "SELECT * FROM shape",
    ],
)
def test_a_query_can_only_read_the_tables(storage: Storage, sql: str, compacted: bool) -> None:
    store(storage, record(0))
    if compacted:
        compact(storage)

    with pytest.raises(QueryError) as caught:
        answer(storage, sql)

    assert "\n" not in str(caught.value)


def test_a_query_cannot_read_other_objects_of_the_bucket(storage: Storage) -> None:
    store(storage, record(0))
    compact(storage)

    for key in (key_of(record(0)), f"tables/../{key_of(record(0))}", "tables/verdicts/*/*.parquet"):
        with pytest.raises(QueryError, match="disabled by configuration"):
            answer(storage, f"SELECT * FROM read_text('s3://{storage.bucket}/{key}')")


def test_a_query_never_shows_the_stores_secret(storage: Storage) -> None:
    store(storage, record(0))
    compact(storage)
    assert storage.settings.secret_key is not None

    shown = str(rows(storage, "SELECT * FROM duckdb_secrets()"))

    assert storage.settings.secret_key.get_secret_value() not in shown


def test_parts_of_the_first_version_lack_columns_and_are_read_beside_new_ones(storage: Storage) -> None:
    old = Batch(schema="liverisk.batch", version=1, date="2026-03-10", number=1, records=(key_of(record(0)),))
    storage.put(old.key, old.model_dump_json(by_alias=True).encode())
    derived = {"run": "rescan-1", "derived_from": key_of(record(0)), "reran": ("text",)}
    store(storage, record(0), record(0).model_copy(update=derived))
    sql = "SELECT run, derived_from, reran FROM segments ORDER BY run"

    compact(storage, until=START)
    first = parquet.read_schema(BytesIO(storage.get(old.part("segments"))))
    compact(storage)

    assert "derived_from" not in first.names
    assert rows(storage, sql) == (("live", None, None), ("rescan-1", key_of(record(0)), ["text"]))


def test_a_long_answer_is_read_row_by_row(storage: Storage) -> None:
    store(storage, record(0))

    with reading(storage, "SELECT range AS number FROM range(1000000)") as found:
        assert found.columns == ("number",)
        assert [next(found.rows), next(found.rows)] == [(0,), (1,)]


def test_a_fault_halfway_through_a_long_answer_is_one_line(storage: Storage) -> None:
    sql = "SELECT CAST(if(range < 5000, '1', 'x') AS INTEGER) FROM range(10000)"

    with pytest.raises(QueryError, match="Conversion Error") as caught, reading(storage, sql) as found:
        list(found.rows)

    assert "\n" not in str(caught.value)


def test_a_limit_says_that_there_is_more(storage: Storage) -> None:
    store(storage, record(0))

    cut = answer(storage, "SELECT policy FROM verdicts", limit=5)

    assert (len(cut.rows), cut.more) == (5, True)
    assert not answer(storage, "SELECT policy FROM verdicts", limit=12).more


def test_an_empty_store_answers_with_no_rows(storage: Storage) -> None:
    found = answer(storage, "SELECT stream_id FROM verdicts")

    assert (found.columns, found.rows) == (("stream_id",), ())


@pytest.fixture
def liverisk(config: Config, tmp_path: Path) -> Callable[..., Result]:
    """The command line on the test's own store."""
    assert config.store.access_key is not None
    assert config.store.secret_key is not None
    settings = tmp_path / "liverisk.yaml"
    keys = {name: getattr(config.store, name).get_secret_value() for name in ("access_key", "secret_key")}
    store_settings = {**config.store.model_dump(mode="json"), **keys}
    settings.write_text(yaml.safe_dump({"store": store_settings, "state_directory": str(tmp_path)}))
    return lambda *arguments: CliRunner().invoke(cli, ["--config", str(settings), "verdicts", *arguments])


def test_show_lists_a_stream_and_compact_and_query_agree(storage: Storage, liverisk: Callable[..., Result]) -> None:
    store(storage, *evening())

    shown = liverisk("show", "room-1")
    assert shown.exit_code == 0
    assert "3 segments: 2 examined, 1 partly, 0 not; segment end to record p50 1.5 s, p95 1.5 s" in shown.stdout
    assert "chat “send a deposit first” by 3 users" in shown.stdout
    assert "F5/5 S!deadline O2 C12" in shown.stdout
    assert "no record" in shown.stdout
    before = liverisk("query", BY_HOUR, "--json")
    assert liverisk("compact").stdout == "5 records into 6 parts\n"
    assert liverisk("query", BY_HOUR, "--json").stdout == before.stdout
    assert json.loads(before.stdout.splitlines()[0])["worst"] == 3


def test_show_as_json_has_lines_and_timeline(storage: Storage, liverisk: Callable[..., Result]) -> None:
    store(storage, *evening())

    found = json.loads(liverisk("show", "room-1", "--json", "--since", "2026-03-10T20:00:10").stdout)

    assert [line["kind"] for line in found["lines"]] == ["flagged", "missing", "partly_examined"]
    assert [stretch["kind"] for stretch in found["timeline"]] == ["flagged", "missing", "partly_examined"]


def test_an_unknown_stream_ends_with_1_and_one_line(storage: Storage, liverisk: Callable[..., Result]) -> None:
    result = liverisk("show", "room-9")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "liverisk: no records of stream room-9\n"


def test_a_query_can_be_bounded(storage: Storage, liverisk: Callable[..., Result]) -> None:
    store(storage, *evening())
    sql = "SELECT count(*) AS segments FROM segments"

    bounded = liverisk("query", sql, "--json", "--since", "2026-03-10T20:00:10", "--until", "2026-03-11")

    assert [json.loads(line) for line in bounded.stdout.splitlines()] == [{"segments": 2}]


def test_wrong_sql_ends_with_2_and_no_rows_with_1(storage: Storage, liverisk: Callable[..., Result]) -> None:
    store(storage, record(0))

    wrong = liverisk("query", "SELECT severty FROM verdicts")
    none = liverisk("query", "SELECT policy FROM verdicts WHERE severity = 'high'", "--csv")

    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "severty" in wrong.stderr
    assert wrong.stderr.count("\n") == 1
    assert (none.exit_code, none.stdout.strip()) == (1, "policy")


def test_an_answer_with_holes_ends_with_3(storage: Storage, liverisk: Callable[..., Result]) -> None:
    store(storage, record(0))
    storage.put(key_of(record(1)), b"{")

    for arguments in (["show", "room-1"], ["query", "SELECT stream_id FROM segments"], ["compact"]):
        result = liverisk(*arguments)
        assert result.exit_code == 3
        assert "1 records could not be read" in result.stderr
        assert result.stdout
