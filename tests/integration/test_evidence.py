"""Evidence held in a real store: copies with hashes that nothing but a release takes away."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner

from pipelines.record import Record
from tests.records import START, record
from workers.audit import entries
from workers.cli.main import cli
from workers.config import Config
from workers.privacy.evidence import (
    EvidenceError,
    NoSuchIncident,
    hold,
    incidents,
    object_key,
    problems,
    read_incident,
    release,
)
from workers.privacy.purge import purge_stream
from workers.records import key_of, write_record
from workers.stack.connection import environment_of
from workers.storage import Storage


@pytest.fixture
def room(storage: Storage) -> list[Record]:
    """Two segments with audio, and with chat that only lies beside it."""
    found = []
    for index in range(2):
        one = record(index)
        folder = f"media/date=2026-03-10/stream=room-1/{one.segment_id}/"
        one = one.model_copy(update={"audio_key": f"{folder}audio.flac"})
        storage.put(f"{folder}audio.flac", f"audio {index}".encode())
        storage.put(f"{folder}chat-0a.jsonl", b'{"at_s": 1, "user": "a", "text": "hi"}\n')
        write_record(storage, one)
        found.append(one)
    return found


def test_records_and_media_are_copied_with_their_hashes(storage: Storage, room: list[Record]) -> None:
    done = hold(storage, "case-1", "room-1", by="ada", reason="a report")

    assert (done.segments, len(done.objects), done.missing) == (2, 6, ())
    for one in done.objects:
        assert storage.get(object_key("case-1", one.key)) == storage.get(one.key)
    assert list(problems(storage, read_incident(storage, "case-1"))) == []


def test_only_the_time_asked_for_is_held_and_more_can_be_added(storage: Storage, room: list[Record]) -> None:
    first = hold(storage, "case-1", "room-1", by="ada", until=START + timedelta(seconds=10))
    second = hold(storage, "case-1", "room-1", by="ada")

    assert [one.key for one in first.objects if "records/" in one.key] == [key_of(room[0])]
    assert [one.key for one in second.objects if "records/" in one.key] == [key_of(room[1])]
    assert len(read_incident(storage, "case-1").objects) == 6
    assert list(problems(storage, read_incident(storage, "case-1"))) == []


def test_what_was_gone_already_is_said(storage: Storage, room: list[Record]) -> None:
    assert room[0].audio_key is not None
    storage.delete(room[0].audio_key)

    assert hold(storage, "case-1", "room-1", by="ada").missing == (room[0].audio_key,)


def test_copies_and_manifests_that_were_changed_are_found(storage: Storage, room: list[Record]) -> None:
    hold(storage, "case-1", "room-1", by="ada", until=START + timedelta(seconds=10))
    hold(storage, "case-1", "room-1", by="ada")
    storage.put(object_key("case-1", key_of(room[0])), b"{}")
    storage.delete(object_key("case-1", key_of(room[1])))
    first = "evidence/case-1/holds/000001.json"
    storage.put(first, storage.get(first).replace(b'"by":"ada"', b'"by":"eve"'))

    assert list(problems(storage, read_incident(storage, "case-1"))) == [
        "hold 2 does not follow from the one before",
        f"{key_of(room[0])}: the copy is not what was held",
        f"{key_of(room[1])}: the copy is gone",
    ]


def test_what_is_held_survives_a_purge_which_says_so(config: Config, storage: Storage, room: list[Record]) -> None:
    hold(storage, "case-1", "room-1", by="ada")
    done = purge_stream(config, storage, None, "room-1")

    assert list(storage.keys("media/")) == list(storage.keys("records/")) == []
    assert list(problems(storage, read_incident(storage, "case-1"))) == []
    assert "6 copies are held as evidence of case-1: `liverisk evidence release case-1` lets go" in done.left


def test_a_release_removes_the_copies_and_keeps_their_hashes(storage: Storage, room: list[Record]) -> None:
    hold(storage, "case-1", "room-1", by="ada")
    done = release(storage, "case-1", by="bob", reason="closed")
    (found,) = incidents(storage)

    assert done.objects == 6
    assert list(storage.keys("evidence/case-1/objects/")) == []
    assert found.released == done
    assert len(found.objects) == 6
    assert list(problems(storage, found)) == []
    for again in (lambda: release(storage, "case-1", by="bob"), lambda: hold(storage, "case-1", "room-1", by="bob")):
        with pytest.raises(EvidenceError, match="was released"):
            again()


@pytest.mark.parametrize("name", ["", "..", "a/b", "../records", "a b", "x" * 200])
def test_a_name_that_is_no_name_is_refused(storage: Storage, room: list[Record], name: str) -> None:
    with pytest.raises(EvidenceError, match="no name for an incident"):
        hold(storage, name, "room-1", by="ada")


def test_nothing_is_held_of_a_stream_without_records(storage: Storage) -> None:
    with pytest.raises(EvidenceError, match="no records of stream room-9"):
        hold(storage, "case-1", "room-9", by="ada")
    with pytest.raises(NoSuchIncident):
        release(storage, "case-1", by="ada")


def test_the_commands_hold_list_verify_and_release(config: Config, storage: Storage, room: list[Record]) -> None:
    runner = CliRunner(env=environment_of(config))
    held = runner.invoke(cli, ["evidence", "hold", "case-1", "--stream", "room-1", "--reason", "a report"])
    listed = runner.invoke(cli, ["evidence", "list"])
    checked = runner.invoke(cli, ["evidence", "verify", "case-1"])
    storage.delete(object_key("case-1", key_of(room[1])))
    broken = runner.invoke(cli, ["evidence", "verify", "case-1"])
    let_go = runner.invoke(cli, ["evidence", "release", "case-1"])
    as_json = runner.invoke(cli, ["evidence", "list", "--json"])

    assert "case-1: holds 6 more objects" in held.output
    assert "6 objects of room-1" in listed.output
    assert listed.output.endswith(": held  (a report)\n")
    assert checked.output == "case-1: 6 objects are as they were held\n"
    assert (broken.exit_code, let_go.exit_code) == (3, 0)
    assert json.loads(as_json.output)["released"]["objects"] == 5
    assert runner.invoke(cli, ["evidence", "verify", "case-2"]).exit_code == 1
    assert [one.began.command for one in entries(storage)] == ["evidence hold", "evidence release"]
