"""Deep reviews in a real store: who asks for one, what is planned, and the packet that comes out."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import redis
import yaml
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from pydantic import JsonValue, SecretStr

from pipelines.decode import decode_image
from pipelines.manifest import FrameRef
from pipelines.policies import read_policies
from pipelines.record import FrameObservation, Record, TextObservation
from tests import records
from tests.segments import jpeg
from workers.classify import Bench
from workers.cli.main import cli
from workers.config import Config, load_config
from workers.records import key_of, write_record
from workers.runs.changes import changes_between
from workers.runs.packet import Packet, packet_key, page_key, read_packet, write_packet
from workers.runs.packet_page import packet_page
from workers.runs.reviews import RequestError, ask_for_review, automatic_run, plan_review, request_review, review_asked
from workers.runs.run import Batch, Item, Plan, Receipt, Request
from workers.runs.store import RunError, Runs
from workers.stack.services import Services
from workers.storage import Storage

FLAGGED = records.verdict("scam", "high", evidence=[records.chat_evidence("add me")])
RUN = "review-20260310t200500-0000beef"
FRAME = "media/stream=room-1/frame.jpg"


@pytest.fixture
def runs(storage: Storage) -> Runs:
    return Runs(storage)


def stored(storage: Storage, *made: Record) -> None:
    for one in made:
        write_record(storage, one)


def with_media(one: Record) -> Record:
    """The record of a segment that has two frames and audio."""
    frames = (FrameRef(at_s=0, key=FRAME), FrameRef(at_s=5, key="media/stream=room-1/gone.jpg"))
    return one.model_copy(update={"media": frames, "audio_key": f"media/stream=room-1/{one.segment_id}/audio"})


def asked(runs: Runs) -> list[Request]:
    return [request for run in runs.open() if (request := runs.request(run)) is not None]


def test_a_flagged_segment_asks_for_the_stretch_around_it(config: Config, runs: Runs, broker: redis.Redis) -> None:
    flagged = records.record(3, FLAGGED)

    ask_for_review(flagged, config, runs.storage, broker)

    (request,) = asked(runs)
    assert (request.stream_id, request.policies, request.by) == ("room-1", ("scam",), "fusion")
    assert request.since == flagged.captured_at - timedelta(seconds=60)
    assert request.until == flagged.captured_at + timedelta(seconds=70)


def test_the_same_segment_delivered_again_asks_for_the_same_review(
    config: Config, runs: Runs, broker: redis.Redis
) -> None:
    for _ in range(2):
        ask_for_review(records.record(3, FLAGGED), config, runs.storage, broker)

    assert [request.run for request in asked(runs)] == [automatic_run(records.record(3, FLAGGED))]


def test_a_policy_that_cools_down_does_not_ask_again(config: Config, runs: Runs, broker: redis.Redis) -> None:
    hateful = records.verdict("hate", "medium")

    ask_for_review(records.record(3, FLAGGED), config, runs.storage, broker)
    ask_for_review(records.record(4, FLAGGED), config, runs.storage, broker)
    ask_for_review(records.record(5, FLAGGED, hateful), config, runs.storage, broker)
    ask_for_review(records.record(5, FLAGGED, stream_id="room-2"), config, runs.storage, broker)

    assert {(one.stream_id, one.policies) for one in asked(runs)} == {
        ("room-1", ("scam",)),
        ("room-1", ("hate",)),
        ("room-2", ("scam",)),
    }


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(records.record(0, records.verdict("scam", "low")), id="only watched"),
        pytest.param(
            records.record(
                0, records.verdict("scam", missing={"speech": "deadline"}).model_copy(update={"action": "review"})
            ),
            id="raised because nobody could look",
        ),
        pytest.param(records.record(0, FLAGGED, run="review-1"), id="of a review itself"),
    ],
)
def test_nothing_is_asked_for(record: Record, config: Config, runs: Runs, broker: redis.Redis) -> None:
    ask_for_review(record, config, runs.storage, broker)

    assert asked(runs) == []


def test_nothing_is_asked_for_where_reviews_are_switched_off(config: Config, runs: Runs, broker: redis.Redis) -> None:
    off = config.model_copy(update={"review": config.review.model_copy(update={"auto": False})})

    ask_for_review(records.record(0, FLAGGED), off, runs.storage, broker)

    assert asked(runs) == []


def test_a_review_that_could_not_be_asked_for_leaves_no_cool_down(config: Config, broker: redis.Redis) -> None:
    refusing = Storage(config.store.model_copy(update={"secret_key": SecretStr("wrong")}), patient=False)

    ask_for_review(records.record(0, FLAGGED), config, refusing, broker)

    assert broker.keys("liverisk:reviewed:*") == []


def request(storage: Storage, since_s: float | None = None, until_s: float | None = None) -> Request:
    """A person's request; times in seconds from the stream's start."""
    since, until = (None if s is None else records.START + timedelta(seconds=s) for s in (since_s, until_s))
    return request_review(storage, "room-1", since, until, "looks odd", "analyst")


def items(runs: Runs, plan: Plan) -> list[Item]:
    return [item for number in range(1, len(plan.batches) + 1) for item in runs.batch(plan.run, number).items]


def test_a_review_takes_the_segments_of_its_stretch_with_everything_they_have(config: Config, runs: Runs) -> None:
    made = [with_media(records.record(index, texts=[records.chat_line("hello")])) for index in range(6)]
    stored(runs.storage, *made)

    plan = plan_review(request(runs.storage, 10, 40), config, runs.storage)

    assert plan is not None
    assert (plan.lane, plan.profile, plan.batches, plan.checkpoints) == ("review", "deep", (3,), {})
    assert [item.source for item in items(runs, plan)] == [key_of(one) for one in made[1:4]]
    assert {item.stages for item in items(runs, plan)} == {("frames", "speech", "screen", "text")}
    assert list(runs.open()) == [plan.run]


def test_stages_without_input_are_left_out(config: Config, runs: Runs) -> None:
    stored(runs.storage, records.record(0, texts=[records.chat_line("hello")]))

    plan = plan_review(request(runs.storage), config, runs.storage)

    assert plan is not None
    assert [item.stages for item in items(runs, plan)] == [("text",)]


def test_audio_of_neighbours_comes_along_where_they_touch(config: Config, runs: Runs) -> None:
    made = [with_media(records.record(index)) for index in (0, 1, 2, 4)]
    stored(runs.storage, *made)

    plan = plan_review(request(runs.storage, 10, 60), config, runs.storage)

    assert plan is not None
    assert [(item.audio_before, item.audio_after) for item in items(runs, plan)] == [
        (made[0].audio_key, made[2].audio_key),
        (made[1].audio_key, None),
        (None, None),
    ]


def automatic(storage: Storage, start: datetime) -> Request:
    """What fusion asks for at `start`, the minute that follows included."""
    now = datetime.now(UTC)
    flagged = start, start + timedelta(seconds=70)
    asking = Request(
        run=RUN,
        stream_id="room-1",
        since=flagged[0],
        until=flagged[1],
        requested_at=now,
        by="fusion",
        policies=("scam",),
    )
    assert Runs(storage).put_request(asking)
    return asking


def test_an_automatic_review_waits_until_the_stream_has_moved_on(config: Config, runs: Runs) -> None:
    asking = automatic(runs.storage, records.START)
    stored(runs.storage, *(records.record(index) for index in range(7)))

    before = plan_review(asking, config, runs.storage)
    stored(runs.storage, records.record(7))
    after = plan_review(asking, config, runs.storage)

    assert before is None
    assert after is not None
    assert after.batches == (7,)


def test_an_automatic_review_waits_for_a_segment_that_is_still_on_its_way(config: Config, runs: Runs) -> None:
    asking = automatic(runs.storage, records.START)
    stored(runs.storage, *(records.record(index) for index in (0, 1, 2, 3, 4, 6, 7)))

    before = plan_review(asking, config, runs.storage)
    stored(runs.storage, records.record(5))
    after = plan_review(asking, config, runs.storage)

    assert before is None
    assert after is not None
    assert after.batches == (7,)


def test_an_automatic_review_does_not_wait_for_ever(config: Config, runs: Runs) -> None:
    asking = automatic(runs.storage, records.START)
    stored(runs.storage, records.record(0))
    impatient = config.model_copy(update={"review": config.review.model_copy(update={"after_s": 0})})

    plan = plan_review(asking, impatient, runs.storage)

    assert plan is not None
    assert plan.batches == (1,)


def test_planning_goes_on_where_an_attempt_before_it_ended(config: Config, runs: Runs) -> None:
    made = [records.record(index) for index in range(4)]
    stored(runs.storage, *made)
    asking = request(runs.storage)
    runs.put_batch(asking.run, Batch(number=1, items=tuple(Item(source=key_of(one)) for one in made[:2])))

    plan = plan_review(asking, config, runs.storage)

    assert plan is not None
    assert plan.batches == (2, 2)
    assert [item.source for item in items(runs, plan)] == [key_of(one) for one in made]


def test_a_record_that_cannot_be_read_is_planned_nevertheless(config: Config, runs: Runs) -> None:
    made = [records.record(index) for index in range(3)]
    stored(runs.storage, made[0], made[2])
    runs.storage.put(key_of(made[1]), b"{}")

    plan = plan_review(request(runs.storage), config, runs.storage)

    assert plan is not None
    assert [item.source for item in items(runs, plan)] == [key_of(one) for one in made]


def test_a_review_of_nothing_is_refused(config: Config, runs: Runs) -> None:
    with pytest.raises(RunError, match="no records of stream room-1"):
        plan_review(request(runs.storage), config, runs.storage)


def heard(text: str, at_s: float = 2.0, scam: float = 0.02) -> TextObservation:
    return records.chat_line(text, at_s=at_s, users=(), scam=scam).model_copy(update={"source": "speech", "repeats": 1})


def passes() -> tuple[list[Record], list[Record]]:
    """Three segments as live saw them, and as deep does: it hears an offer and scores a frame that live had skipped."""
    offer = records.chat_line("ＡＤＤ  me <b>now</b>").model_copy(update={"normalised": "add me <b>now</b>"})
    live = [
        with_media(records.record(0, texts=[heard("welcome back everybody")])),
        with_media(records.record(1, FLAGGED, texts=[offer])),
        with_media(records.record(2, texts=[records.chat_line("nice", scam=0.01)])),
    ]
    demand = heard("send ten coins to my second account", at_s=6.0, scam=0.97)
    found = (
        [live[0].observations.texts[0]],
        [offer, demand],
        list(live[2].observations.texts),
    )
    frames = (
        FrameObservation(at_s=0, scores={"vision.nudity": {"nsfw": 0.96}}),
        FrameObservation(at_s=5, scores={"vision.nudity": {"nsfw": 0.91}}),
    )
    nude = records.verdict("sexual", "high", evidence=[records.frame_evidence(probability=0.96)])
    deep = [
        one.model_copy(
            update={
                "run": RUN,
                "profile": "deep",
                "observations": one.observations.model_copy(
                    update={"texts": tuple(texts), "frames": frames if index == 2 else ()}
                ),
                "verdicts": tuple(nude if index == 2 and v.policy == "sexual" else v for v in one.verdicts),
            }
        )
        for index, (one, texts) in enumerate(zip(live, found, strict=True))
    ]
    return live, deep


def concluded(runs: Runs, live: Sequence[Record], deep: Sequence[Record]) -> Plan:
    """A review all of whose batches are done."""
    stored(runs.storage, *live, *deep)
    plan = Plan(
        run=RUN,
        kind="review",
        lane="review",
        profile="deep",
        created_at=records.START + timedelta(minutes=5),
        by="analyst",
        reason="looks odd",
        selection={"stream": "room-1"},
        policies=read_policies(),
        batches=(len(live),),
    )
    runs.put_batch(RUN, Batch(number=1, items=tuple(Item(source=key_of(one)) for one in live)))
    runs.put_plan(plan)
    changes = [change for before, after in zip(live, deep, strict=False) for change in changes_between(before, after)]
    at = records.START + timedelta(minutes=6)
    runs.put_receipt(RUN, Receipt(batch=1, at=at, recorded=len(deep), changes=tuple(changes)))
    return plan


@dataclass(frozen=True)
class Done:
    """A finished review, read by several tests and changed by none."""

    runs: Runs
    packet: Packet
    html: str


@pytest.fixture(scope="module")
def done(services: Services) -> Done:
    storage = Storage(services.config(load_config(environment={}), bucket=f"test-{uuid.uuid4().hex[:16]}").store)
    storage.make_bucket()
    storage.put(FRAME, jpeg(1, side=320))
    made = write_packet(Runs(storage), concluded(Runs(storage), *passes()))
    Runs(storage).mark(RUN, "finished", "feeder")
    return Done(Runs(storage), made, page(Runs(storage)))


def page(runs: Runs) -> str:
    return runs.storage.get(page_key(RUN)).decode()


def test_the_packet_says_what_live_had_missed(done: Done) -> None:
    assert [(one.kind, one.policy, one.segments) for one in done.packet.found] == [("flagged", "sexual", 1)]
    assert [one.text for one in done.packet.texts if one.missed] == ["send ten coins to my second account"]
    assert [one.live for one in done.packet.texts] == ["same", "same", "new", "same"]
    assert [one.at for one in done.packet.pictures if one.missed] == [
        records.START + timedelta(seconds=20),
        records.START + timedelta(seconds=25),
    ]


def test_a_hit_has_its_policy_label_and_how_its_form_came_about(done: Done) -> None:
    (hit, chain) = next((one.hits[0], one.chain) for one in done.packet.texts if one.text.startswith("ＡＤＤ"))

    assert (hit.policy, hit.label, hit.missed) == ("scam", "text.risk/scam", False)
    assert chain == ("compatibility", "case", "space")


def test_both_passes_have_their_timeline_and_coverage(done: Done) -> None:
    assert {one.policy for one in done.packet.live.timeline if one.policy} == {"scam"}
    assert {one.policy for one in done.packet.deep.timeline if one.policy} == {"scam", "sexual"}
    assert done.packet.deep.coverage["frames"].segments == {"examined": 3}


def test_the_packet_is_stored_once(done: Done) -> None:
    again = write_packet(done.runs, done.runs.plan(RUN))

    assert again == done.packet == read_packet(done.runs.storage, RUN)
    assert done.runs.storage.exists(packet_key(RUN))
    assert done.runs.storage.exists(page_key(RUN))


def test_the_page_says_first_what_live_had_missed(done: Done) -> None:
    assert (
        done.html.index("found what live had missed")
        < done.html.index("Timeline")
        < done.html.index("What was said and written")
    )
    assert "Sexual content in 1 segment" in done.html
    assert "<mark>send ten coins to my second account</mark>" in done.html


def test_the_page_loads_and_runs_nothing(done: Done) -> None:
    assert re.findall(r'(?:src|href|action)="(?!data:)[^"]*"', done.html) == []
    assert not re.search(r"url\(|@import|<script|<link|<iframe", done.html)


def test_what_streamers_write_is_no_markup_of_the_page(done: Done) -> None:
    assert "<b>now" not in done.html
    assert "ＡＤＤ  me &lt;b&gt;now&lt;/b&gt;" in done.html


def drawn(html: str) -> list[NDArray[np.uint8]]:
    """The pictures of a page, decoded as they are."""
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)
    decoded = [cv2.imdecode(np.frombuffer(base64.b64decode(one), np.uint8), cv2.IMREAD_UNCHANGED) for one in found]
    return [np.asarray(one, dtype=np.uint8) for one in decoded]


def test_frames_come_last_and_blurred(done: Done) -> None:
    (picture,) = drawn(done.html)

    assert done.html.index("<img") > done.html.index("What was said and written")
    assert picture.ndim == 2, "grey"
    assert max(picture.shape) <= 160
    original = decode_image(jpeg(1, side=320), max_side_px=160).pixels[..., 0]
    assert cv2.Laplacian(picture, cv2.CV_64F).var() < 0.01 * cv2.Laplacian(original, cv2.CV_64F).var()


def test_a_frame_that_expired_is_said_to_be_gone(done: Done) -> None:
    assert done.html.count("no longer in the store") == 1


def test_originals_are_shown_only_when_asked_for(done: Done) -> None:
    html = packet_page(done.packet, done.runs.storage, originals=True)

    (picture,) = drawn(html)
    assert picture.shape == (320, 320, 3)
    assert html.index("<summary>Show 2 original frames") < html.index("<img")


def test_a_review_that_finds_nothing_says_so(runs: Runs) -> None:
    live, _ = passes()
    same = [one.model_copy(update={"run": RUN, "profile": "deep"}) for one in live]

    write_packet(runs, concluded(runs, live, same))

    assert "nothing that live had missed" in page(runs)
    assert "Every verdict is the same." in page(runs)


def test_segments_that_could_not_be_reviewed_are_counted(runs: Runs) -> None:
    live, deep = passes()

    packet = write_packet(runs, concluded(runs, live, deep[:2]))

    assert (packet.reviewed, packet.segments) == (2, 3)
    assert "1 segment could not be reviewed" in page(runs)


def test_another_service_asks_by_message(config: Config, runs: Runs) -> None:
    message: JsonValue = {"stream_id": "room-1", "since": "2026-03-10T20:00:00Z", "reason": "user report"}

    request = review_asked(message, Bench.open(config))

    assert asked(runs) == [request]
    assert (request.stream_id, request.since, request.until) == ("room-1", records.START, None)


def test_a_message_delivered_again_asks_for_the_same_review(config: Config, runs: Runs) -> None:
    bench = Bench.open(config)

    first, second = review_asked({"stream_id": "room-1"}, bench), review_asked({"stream_id": "room-1"}, bench)

    assert first.run == second.run
    assert len(asked(runs)) == 1


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (["room-1"], "manifest"),
        ({"stream_id": "../room"}, "stream_id"),
        ({"stream_id": "room-1", "since": "noon"}, "since"),
        ({"stream_id": "room-1", "since": "2026-03-10T20:00:00Z", "until": "2026-03-10T20:00:00Z"}, "since"),
        ({"stream_id": "room-1", "lane": "live"}, "lane"),
        ({"stream_id": "room-1", "until": "9999-12-31T23:59:59Z"}, "until"),
    ],
)
def test_a_malformed_message_is_refused_by_its_field(config: Config, message: JsonValue, field: str) -> None:
    with pytest.raises(RequestError, match=f"^{field}: "):
        review_asked(message, SimpleNamespace())  # type: ignore[arg-type]  # refused before the bench is looked at


CommandLine = Callable[..., Result]


def command_line(config: Config, folder: Path) -> CommandLine:
    """`liverisk review` on a store and broker of the tests."""
    assert config.broker.url is not None
    assert config.store.access_key is not None
    assert config.store.secret_key is not None
    keys = {name: getattr(config.store, name).get_secret_value() for name in ("access_key", "secret_key")}
    settings = {
        "store": {**config.store.model_dump(mode="json"), **keys},
        "broker": {"url": config.broker.url.get_secret_value()},
        "state_directory": str(folder),
    }
    file = folder / "liverisk.yaml"
    file.write_text(yaml.safe_dump(settings))
    return lambda *arguments: CliRunner().invoke(cli, ["--config", str(file), "review", *arguments])


@pytest.fixture
def liverisk(config: Config, tmp_path: Path) -> CommandLine:
    return command_line(config, tmp_path)


@pytest.fixture
def reader(config: Config, done: Done, tmp_path: Path) -> CommandLine:
    """The command line on the store of the finished review."""
    return command_line(config.model_copy(update={"store": done.runs.storage.settings}), tmp_path)


def test_the_command_asks_for_a_review(liverisk: CommandLine, runs: Runs) -> None:
    stored(runs.storage, records.record(0))

    result = liverisk("room-1", "--since", "2026-03-10T20:00", "--reason", "user report", "--detach", "--json")

    (request,) = asked(runs)
    assert (result.exit_code, json.loads(result.stdout)["run"]) == (0, request.run)
    assert (request.since, request.reason) == (records.START, "user report")
    assert "user report" in liverisk("--list").stdout


def test_the_command_shows_a_finished_review_and_saves_its_page(
    reader: CommandLine, done: Done, tmp_path: Path
) -> None:
    result = reader("--show", RUN, "--output", str(tmp_path / "packet.html"))

    assert result.exit_code == 0
    assert "3 of 3 segments reviewed" in result.stdout
    assert "Sexual content in 1 segment" in result.stdout
    assert (tmp_path / "packet.html").read_text(encoding="utf-8") == done.html


def test_the_command_gives_originals_only_into_a_file(reader: CommandLine, tmp_path: Path) -> None:
    refused = reader("--show", RUN, "--originals")
    written = reader("--show", RUN, "--originals", "--output", str(tmp_path / "packet.html"))

    assert (refused.exit_code, written.exit_code) == (2, 0)
    assert drawn((tmp_path / "packet.html").read_text(encoding="utf-8"))[0].ndim == 3


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("room-9",), 1, "no records of stream room-9"),
        (("--show", "review-none"), 1, "no run review-none"),
        (("--list",), 1, "no review was ever asked for"),
        ((), 2, "give a stream"),
        (("room-1", "--list"), 2, "give a stream"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    liverisk: CommandLine, runs: Runs, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = liverisk(*arguments)

    assert (result.exit_code, len(result.stderr.splitlines())) == (code, 1)
    assert words in result.stderr
