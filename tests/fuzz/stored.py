"""The targets that are read back from the store, and lists that operators write: what is damaged is one named line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.items import Clip, Failure, Line, Picture, Scores
from pipelines.policies import read_policies
from pipelines.record import Evidence, FrameObservation, Hit, Record
from pipelines.strict import Strict
from tests.fuzz.documents import MANIFEST, Kept, in_a_folder, jsonl, opening
from tests.fuzz.judging import Target
from tests.fuzz.shapes import documents, lines
from tests.records import chat_line, record, verdict
from workers import quarantine
from workers.comparison.asked import NothingThere, WrongInput, of_lines
from workers.engine.wire import Ask, Hello, Refusal, WireError, pack_reply, pack_request, unpack_reply, unpack_request
from workers.quarantine import QuarantineError
from workers.records import RecordError, canonical, key_of, parse_record
from workers.runs.condition import WrongSelection
from workers.runs.listed import read_segments
from workers.runs.run import Batch, Change, Item, Outcome, Plan, Receipt, Request, Standing
from workers.runs.store import RunError, Runs
from workers.verdicts.rows import TABLES
from workers.verdicts.show import coverage_in_words, shown

AT = datetime(2026, 3, 10, 20, 0, tzinfo=UTC)
KINDS: Sequence[type[Strict]] = (Request, Batch, Plan, Outcome, Receipt)


def _record(data: bytes) -> str:
    """A record that can be read can be shown, and made rows of."""
    try:
        key = key_of(Record.model_validate_json(data))
    except ValueError:
        key = key_of(_record_of_everything())
    read = parse_record(key, data)
    assert parse_record(key, canonical(read)) == read, "stored anew it says something else"
    shown([read], every_policy=True)
    coverage_in_words(read)
    for shape in TABLES:
        assert isinstance(shape.table([read]), pa.Table), "no table"
    return "accepted"


def _run_object(data: bytes) -> str:
    """An object of a run, as whichever kind it can be read."""
    store: Any = Kept({"runs/x": data})
    readable = []
    for kind in KINDS:
        try:
            found = Runs(store).read("runs/x", kind)
        except RunError as error:
            refused = error
        else:
            assert found is not None, "gone"
            found.model_dump_json(by_alias=True, exclude_none=True).encode()
            readable.append(kind.__name__)
    if not readable:
        raise refused
    return f"a {readable[0]}"


def _entry(data: bytes) -> str:
    """An entry of the quarantine, and whether its message could be sent again."""
    store: Any = Kept({f"{quarantine.PREFIX}x.json": data})
    entry = quarantine.read_entry(store, "x")
    entry.model_dump_json(indent=1).encode()
    return "accepted"


def _rows(folder: Path, data: bytes) -> str:
    path = folder / "rows.jsonl"
    path.write_bytes(data)
    return "accepted" if of_lines(path, "text.risk").items else "nothing"


def _request(data: bytes) -> str:
    """What an engine is sent, and what a worker is answered."""
    try:
        unpack_reply(data)
    except WireError:
        unpack_request(data)
        return "a request"
    return "an answer"


def _asks() -> list[bytes]:
    head = Ask(slot="text.risk", digest="a" * 64, lane="live", remaining_s=1.0, lease=1)
    items = (Line("x"), Clip(np.zeros(4, np.float32), "zh", 5), Picture(np.zeros((1, 2, 3), np.uint8)))
    refused, scored = Refusal(reason="loading"), (Scores(labels={"scam": 0.5}), Failure(error="x"))
    return [pack_request(head, items), pack_request(Hello()), pack_reply(refused), pack_reply(scored)]


def _list(data: bytes) -> str:
    for one in read_segments("list", data):
        assert "/".join(one).isprintable(), "no names"
    return "accepted"


def _record_of_everything() -> Record:
    hit = Hit(term="加微信", policy="scam", surface="+v", start=0, end=2, strength=0.9, chain=("sound",))
    text = chat_line("+v now").model_copy(
        update={"hits": (hit,), "box": (0.0, 0.0, 1.0, 1.0), "end_s": 5.0, "joined": 2}
    )
    said = Evidence(modality="chat", at_s=4, probability=0.9, label="lexicon/加微信", text="+v", users=2, frame=0)
    frame = FrameObservation(at_s=2, scores={"vision.nudity": {"nsfw": 0.1}}, reused_from_s=0, thumbnail_hash="0" * 16)
    made = record(1, verdict("scam", "high", evidence=[said]), texts=[text], frames=[frame])
    return Record.model_validate(
        {
            **made.model_dump(by_alias=True),
            "media": MANIFEST["frames"],
            "gaps": MANIFEST["gaps"],
            "sampler": MANIFEST["sampler"],
        }
    )


def _run_objects() -> list[Strict]:
    name: dict[str, Any] = {"run": "review-1", "requested_at": AT, "by": "me"}
    standing = Standing(severity="low", action="watch", probability=0.5)
    change = Change(
        kind="flagged",
        policy="scam",
        stream_id="a",
        segment_id="b",
        captured_at=AT,
        before=standing,
        after=standing,
    )
    plan = Plan(
        run="rescan-1",
        kind="rescan",
        lane="rescan",
        profile="live",
        created_at=AT,
        by="me",
        policies=read_policies(),
        batches=(1, 2),
    )
    return [
        Request(stream_id="room", since=AT, until=AT, reason="asked", **name),
        Batch(number=1, items=(Item(source="records/date=2026-03-10/stream=a/b/live.json", stages=("text",)),)),
        plan,
        Outcome(observations=_record_of_everything().observations, reused={"frames": "crashed"}),
        Receipt(batch=1, at=AT, recorded=1, changes=(change,)),
    ]


def _json_of(found: Strict) -> bytes:
    return found.model_dump_json(by_alias=True, exclude_none=True).encode()


def _entries() -> list[bytes]:
    store: Any = Kept()
    quarantine.put_aside(store, MANIFEST, reason="crashed", detail="4 starts", lane="live", attempts=4)
    return list(store.objects.values())


_NAMED_SEGMENTS = (
    b"room-1/seg-1\nroom-1 seg-2\nrecords/date=2026-03-10/stream=a/b/live.json\n",
    b"stream_id,segment_id,more\nroom-1,seg-1,x\n",
    b'{"stream_id": "a", "segment_id": "b"}\n',
)

_ROWS = ({"text": "send money", "policies": ["scam"], "modality": "chat"}, {"text": "hi", "judged": ["scam"]})

TARGETS: tuple[Target, ...] = (
    Target(
        "eval-rows",
        in_a_folder(_rows),
        lambda: [jsonl(_ROWS)],
        (WrongInput, NothingThere),
        lambda: lines(documents(_ROWS)),
    ),
    Target("engine-message", opening(_request), _asks, (WireError,)),
    Target(
        "record",
        opening(_record),
        lambda: [canonical(_record_of_everything()), canonical(record(0))],
        (RecordError,),
        lambda: documents([json.loads(canonical(_record_of_everything()))]),
    ),
    Target(
        "run-object",
        opening(_run_object),
        lambda: list(map(_json_of, _run_objects())),
        (RunError,),
        lambda: documents([json.loads(_json_of(one)) for one in _run_objects()]),
    ),
    Target(
        "quarantine-entry",
        opening(_entry),
        _entries,
        (QuarantineError,),
        lambda: documents(list(map(json.loads, _entries()))),
    ),
    Target(
        "segment-list",
        opening(_list),
        lambda: list(_NAMED_SEGMENTS),
        (WrongSelection,),
        lambda: lines(documents([{"stream_id": "a", "segment_id": "b"}])),
    ),
)
