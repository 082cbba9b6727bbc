"""A person's data, removed everywhere from a real store and a real broker's store, and nobody else's."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from io import BytesIO

import pyarrow.parquet as parquet
import pytest
import redis
from click.testing import CliRunner, Result

from pipelines.manifest import ChatLine, SegmentManifest
from pipelines.record import Record
from tests.records import START, chat_evidence, chat_line, record, verdict
from tests.runs import planned
from workers import quarantine
from workers.audit import entries
from workers.cli.main import cli
from workers.config import Config
from workers.privacy.pseudonyms import Pseudonyms
from workers.privacy.purge import purge_stream, purge_user
from workers.publish import Publisher
from workers.records import read_record, record_keys, write_record
from workers.runs.diff import read_diff, write_diff
from workers.runs.packet import read_packet, write_packet
from workers.runs.run import Change, Named, Outcome, Receipt, Standing
from workers.runs.store import Runs, body_of
from workers.stack.connection import environment_of
from workers.state import StreamState
from workers.storage import Storage
from workers.verdicts.query import answer
from workers.verdicts.tables import compact, read_tables

USER = "viewer-\u5c0f\u660e"
WORDS = "come to my other room"
SHARED = "hello everybody"
THEIRS = "nothing of mine"


def spoken(stream_id: str, index: int, name: str, run: str = "live") -> Record:
    """A segment in whose chat the user speaks, somebody else, and both."""
    scam = verdict("scam", "medium", evidence=[chat_evidence(WORDS), chat_evidence(THEIRS)])
    texts = [chat_line(WORDS, users=[name]), chat_line(SHARED, users=[name, "u-other"]), chat_line(THEIRS, users="x")]
    return record(index, scam, stream_id=stream_id, run=run, texts=texts)


def change(one: Record) -> Change:
    return Change(
        kind="flagged",
        policy="scam",
        stream_id=one.stream_id,
        segment_id=one.segment_id,
        captured_at=one.captured_at,
        before=Standing(severity="none", action="allow", probability=0.02),
        after=Standing(severity="medium", action="review", probability=0.7),
        modality="chat",
        label="text.risk/scam",
        text=WORDS,
    )


def manifest(stream_id: str) -> SegmentManifest:
    return SegmentManifest(
        schema="liverisk.segment",
        version=1,
        stream_id=stream_id,
        segment_id="s9",
        captured_at=START,
        duration_s=10,
        chat=(ChatLine(at_s=1, user=USER, text=WORDS), ChatLine(at_s=2, user="other", text=THEIRS)),
    )


def chat_object(stream_id: str) -> tuple[str, bytes]:
    lines = [ChatLine(at_s=1, user=USER, text=WORDS), ChatLine(at_s=2, user="other", text=THEIRS)]
    body = b"".join(line.model_dump_json(ensure_ascii=True).encode() + b"\n" for line in lines)
    return f"media/date=2026-03-10/stream={stream_id}/s1/chat-01ab.jsonl", body


@pytest.fixture
def rooms(config: Config, storage: Storage, broker: redis.Redis) -> list[Record]:
    """Two streams with everything that the pool keeps of them: the user wrote in both."""
    name = Pseudonyms.of(config).name(USER)
    live = [spoken(stream_id, index, name) for stream_id in ("room-1", "room-2") for index in range(2)]
    for stream_id in ("room-1", "room-2"):
        storage.put(*chat_object(stream_id))
        storage.put(f"media/date=2026-03-10/stream={stream_id}/s1/frames-01.mjpeg", b"picture")
        quarantine.put_aside(storage, manifest(stream_id).as_message(), reason="crashed", detail="x", lane="live")
        state = StreamState(broker, 60)
        state.remember(stream_id, "live", START, {"scam": 0.5})
        state.start_attempt(f"{stream_id}/s9/live")
    runs = Runs(storage)
    rescan, review = planned(runs, live), planned(runs, live[:2], run="review-a", kind="review", lane="review")
    review = review.model_copy(update={"selection": {"stream": "room-1"}})
    storage.put("runs/review-a/plan.json", body_of(review))
    again = [spoken(one.stream_id, index % 2, name, rescan.run) for index, one in enumerate(live)]
    deep = [spoken("room-1", index, name, review.run) for index in range(2)]
    for one in (*live, *again, *deep):
        assert write_record(storage, one)
    named = Named(stream_id="room-1", segment_id="gone", reason="x")
    for plan, records in ((rescan, again), (review, deep)):
        for index, one in enumerate(records):
            runs.put_outcome(plan.run, 1, index, Outcome(observations=one.observations))
        changes = tuple(map(change, records))
        runs.put_receipt(plan.run, Receipt(batch=1, at=START, recorded=len(records), kept=(named,), changes=changes))
    compact(storage)
    write_diff(runs, rescan)
    write_packet(runs, review)
    for plan in (rescan, review):
        runs.mark(plan.run, "finished", "tests")
        runs.close(plan.run)
    return live


def everything(storage: Storage, but: str = "audit/") -> dict[str, bytes]:
    return {key: storage.get(key) for key in storage.keys("") if not key.startswith(but)}


def holders(storage: Storage, *words: str) -> list[str]:
    """Keys of the objects that have any of the words, in whichever way they are spelt."""
    spelt = {form for word in words for form in (word.encode(), json.dumps(word)[1:-1].encode())}
    plain = [key for key, body in everything(storage).items() if any(form in body for form in spelt)]
    tables = {one for table in ("verdicts", "observations") for one in sql_texts(storage, table)}
    return plain + [f"SQL: {word}" for word in words if any(word in text for text in tables)]


def sql_texts(storage: Storage, table: str) -> Iterator[str]:
    column = "top_evidence.text" if table == "verdicts" else "concat(text, ' ', normalised)"
    for (text,) in answer(storage, f"SELECT {column} FROM {table}").rows:
        yield str(text)


def parts_with(storage: Storage, word: str) -> int:
    """Rows of compacted parts of the observations that have the word; the records themselves are not looked at."""
    found = 0
    for key in storage.keys("tables/observations/"):
        found += sum(text == word for text in parquet.read_table(BytesIO(storage.get(key))).column("text").to_pylist())
    return found


def test_a_users_words_and_name_are_gone_from_everywhere(
    config: Config, storage: Storage, broker: redis.Redis, rooms: list[Record]
) -> None:
    name = Pseudonyms.of(config).name(USER)
    assert len(holders(storage, USER, name, WORDS)) > 20
    assert parts_with(storage, WORDS) == 10

    done = purge_user(config, storage, broker, USER)

    assert holders(storage, USER, name, WORDS) == []
    assert parts_with(storage, WORDS) == 0
    assert parts_with(storage, THEIRS) == 10
    assert done.left == []
    assert done.changed["records"] == 10
    assert done.changed["chat lines"] == 2
    assert done.changed["quarantine entries"] == 2


def test_what_others_wrote_stays_and_everything_can_still_be_read(
    config: Config, storage: Storage, broker: redis.Redis, rooms: list[Record]
) -> None:
    before = {key: read_record(storage, key) for key in record_keys(storage)}
    purge_user(config, storage, broker, USER)
    runs = Runs(storage)

    for key, one in before.items():
        after = read_record(storage, key)
        assert [v.probability for v in after.verdicts] == [v.probability for v in one.verdicts]
        assert [text.text for text in after.observations.texts] == ["[removed]", SHARED, THEIRS]
        assert [text.users for text in after.observations.texts] == [(), ("u-other",), ("x",)]
    assert b"other" in storage.get(chat_object("room-1")[0])
    assert len(answer(storage, "SELECT 1 FROM observations WHERE text = 'hello everybody'").rows) == 10
    assert compact(storage).records == 0
    assert read_diff(storage, "rescan-a").total.flagged == 4
    assert "[removed]" in storage.get("runs/rescan-a/diff.html").decode()
    assert read_packet(storage, "review-a").reviewed == 2
    assert runs.outcome("rescan-a", 1, 0) is not None
    with Publisher(config) as publisher:
        retried = quarantine.retry("room-1/s9/live", storage, StreamState(broker, 60), publisher, "media/")
    assert retried.chat == (ChatLine(at_s=2, user="other", text=THEIRS),)


class Died(Exception):
    """Stands for the death of the process."""


def mortal(puts: int) -> Callable[..., None]:
    """`Storage.put` that dies instead of the last of so many."""
    real, left = Storage.put, itertools.count(puts - 1, -1)

    def put(self: Storage, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        if next(left) == 0:
            raise Died
        real(self, key, body, content_type=content_type)

    return put


def test_a_purge_that_died_on_the_way_is_finished_by_the_next(
    config: Config, storage: Storage, broker: redis.Redis, rooms: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, deaths = Pseudonyms.of(config).name(USER), 0
    for puts in range(2, 60, 6):
        with monkeypatch.context() as patched:
            patched.setattr(Storage, "put", mortal(puts))
            try:
                purge_user(config, storage, broker, USER)
            except Died:
                deaths += 1
            else:
                break

    assert deaths >= 3
    assert holders(storage, USER, name, WORDS) == []
    assert parts_with(storage, WORDS) == 0
    assert read_diff(storage, "rescan-a").total.flagged == 4
    assert read_packet(storage, "review-a").reviewed == 2


def test_a_user_whom_records_name_plainly_is_found_too(config: Config, storage: Storage, broker: redis.Redis) -> None:
    write_record(storage, spoken("room-1", 0, USER))

    assert purge_user(config, storage, broker, USER).changed["records"] == 1
    assert holders(storage, USER, WORDS) == []


def test_a_stream_is_gone_from_everywhere_and_no_other_is_touched(
    config: Config, storage: Storage, broker: redis.Redis, rooms: list[Record]
) -> None:
    with Publisher(config) as publisher:
        for stream_id in ("room-1", "room-2"):
            publisher.send(manifest(stream_id))
    others = {key: body for key, body in everything(storage).items() if "stream=room-2/" in key}

    done = purge_stream(config, storage, broker, "room-1")

    left = [key for key, body in everything(storage).items() if b"room-1" in body or "room-1" in key]
    assert left == ["runs/rescan-a/batches/000001.json"]
    assert done.left == ["the plan of rescan-a still lists 2 of its segments, by their ids"]
    assert {key: storage.get(key) for key in others} == others
    assert [key for key in broker.keys("*") if b"room-1" in key] == []
    assert len(broker.keys("*room-2*")) == 2
    assert broker.llen("live") == 1
    assert done.removed["waiting messages"] == 1
    assert done.removed["records"] == 6
    assert done.removed["runs"] == 1
    assert len(answer(storage, "SELECT DISTINCT stream_id FROM segments").rows) == 1
    assert compact(storage).records == 0
    assert [len(batch.records) for batch in read_tables(storage).finished] == [4]
    assert read_diff(storage, "rescan-a").total.flagged == 2
    assert purge_stream(config, storage, broker, "room-1").removed == {}


def test_a_dry_run_says_the_same_and_changes_nothing(
    config: Config, storage: Storage, broker: redis.Redis, rooms: list[Record]
) -> None:
    before, keys = everything(storage), sorted(broker.keys("*"))
    purge_stream(config, storage, broker, "room-1", dry_run=True)
    dry = purge_user(config, storage, broker, USER, dry_run=True)

    assert everything(storage) == before
    assert sorted(broker.keys("*")) == keys
    wet = purge_user(config, storage, broker, USER)
    assert (wet.removed, wet.changed, wet.left) == (dry.removed, dry.changed, dry.left)


def test_a_run_that_is_not_over_is_named_and_left(config: Config, storage: Storage, broker: redis.Redis) -> None:
    write_record(storage, spoken("room-1", 0, USER))
    planned(Runs(storage), [spoken("room-1", 0, USER)])

    for done in (purge_user(config, storage, broker, USER), purge_stream(config, storage, broker, "room-1")):
        assert done.left == ["rescan-a is running: cancel it or let it finish, and purge again"]


def test_what_cannot_be_looked_at_is_said(config: Config, storage: Storage) -> None:
    write_record(storage, spoken("room-1", 0, USER))
    (key,) = record_keys(storage)
    storage.put(key, f'{{"{USER}": 1}}'.encode())

    assert purge_user(config, storage, None, USER).left == [
        f"{key} could not be read: nothing of it was removed",
        "the broker's store does not answer: waiting messages were not looked at",
    ]


def test_entries_and_chat_that_nobody_can_read_hold_up_no_purge(config: Config, storage: Storage) -> None:
    line = {"at_s": 0, "user": USER, "text": WORDS}
    deep: object = []
    for _ in range(600):
        deep = [deep]
    quarantine.put_aside(storage, {"chat": [line], "deep": deep}, reason="manifest", detail="x", lane="live")
    quarantine.put_aside(storage, {"chat": [line]}, reason="manifest", detail="x", lane="live")
    storage.put("quarantine/damaged.json", b"{")
    storage.put("media/chat.jsonl", b"[" * 5000 + b"\n" + json.dumps(line).encode())

    done = purge_user(config, storage, None, USER)

    told = [left.partition(" cannot ")[2] for left in done.left if left.startswith("quarantine entry invalid/")]
    assert told == ["be looked through (RecursionError)"]
    assert any(left.startswith("quarantine entry damaged: not a readable entry") for left in done.left)
    assert done.changed["quarantine entries"] == 1
    assert storage.get("media/chat.jsonl") == b"[" * 5000


@pytest.fixture
def liverisk(config: Config) -> Callable[..., Result]:
    return lambda *arguments, **given: CliRunner(env=environment_of(config)).invoke(cli, ["purge", *arguments], **given)


def test_the_command_says_what_it_did_and_the_log_keeps_no_name(
    liverisk: Callable[..., Result], config: Config, storage: Storage, rooms: list[Record]
) -> None:
    asked = liverisk("--user", "-", "--reason", "their request", input=f"{USER}\n")
    done = liverisk("--user", USER, "--yes", "--reason", "their request")
    again = liverisk("--user", USER, "--yes")
    (first, *_) = entries(storage)

    assert asked.exit_code == 1
    assert done.exit_code == 0, done.output
    assert "changed: 10 records\n" in done.output
    assert again.exit_code == 1
    assert first.began.target == f"user {Pseudonyms.of(config).name(USER)}"
    assert USER not in first.model_dump_json()
    assert first.ended is not None
    assert first.ended.result["changed"]


def test_the_command_ends_with_three_when_something_was_left(liverisk: Callable[..., Result], storage: Storage) -> None:
    write_record(storage, spoken("room-1", 0, USER))
    planned(Runs(storage), [spoken("room-1", 0, USER)])
    result = liverisk("--stream", "room-1", "--yes", "--json")

    assert result.exit_code == 3
    assert json.loads(result.output.splitlines()[0])["left"]
    assert liverisk("--yes").exit_code == 2
    assert liverisk("--stream", "room-9", "--yes").exit_code == 1


def test_nobody_is_nobody(config: Config, storage: Storage, broker: redis.Redis) -> None:
    write_record(storage, spoken("room-1", 0, USER))
    before = everything(storage)
    done = [purge_user(config, storage, broker, "nobody"), purge_stream(config, storage, broker, "nobody")]

    assert [(one.removed, one.changed) for one in done] == [({}, {}), ({}, {})]
    assert everything(storage) == before
