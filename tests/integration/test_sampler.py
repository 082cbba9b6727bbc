"""The sampler on real recordings and streams, into a real store and a real broker."""

from __future__ import annotations

import itertools
import json
import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_network
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import psutil
import pytest
import redis
from pydantic import SecretStr

from pipelines.manifest import ChatLine, Context, SegmentManifest
from tests.conftest import WaitUntil
from tests.lanes import queued
from tests.recordings import ffmpeg, recording, send, served, stream
from workers.config import Config, Tier
from workers.publish import Publisher
from workers.records import record_key
from workers.sampler.report import SampleSummary, SegmentReport
from workers.sampler.run import Order, SampleError, sample
from workers.storage import Storage

Sampled = tuple[SampleSummary, list[SegmentReport]]
START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
NEAR = (ip_network("127.0.0.0/8"),)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    recording(folder / "video.mp4", seconds=23)
    recording(folder / "short.ts", seconds=3)
    return folder


@pytest.fixture
def run(config: Config, storage: Storage) -> Callable[..., Sampled]:
    """Samples an order to its end, with quick tiers beside the default one."""

    def sampled(order: Order, *, reconnect_s: float = 3, stop: threading.Event | None = None) -> Sampled:
        tiers = {"default": Tier(), "quick": Tier(segment_s=2, frame_interval_s=0.5)}
        sampler = config.sampler.model_copy(update={"tiers": tiers, "reconnect_s": reconnect_s, "allow_networks": NEAR})
        reports: list[SegmentReport] = []
        with Publisher(config) as publisher:
            summary = sample(
                order,
                config=config.model_copy(update={"sampler": sampler}),
                storage=storage,
                publisher=publisher,
                report=reports.append,
                stop=stop or threading.Event(),
            )
        return summary, reports

    return sampled


def listening(pid: int) -> bool:
    return any(connection.status == psutil.CONN_LISTEN for connection in psutil.Process(pid).net_connections("tcp"))


def frames(manifest: SegmentManifest, storage: Storage) -> list[np.ndarray]:
    stored = [storage.get(ref.key, offset=ref.offset, length=ref.length) for ref in manifest.frames]
    decoded = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in stored]
    return [picture for picture in decoded if picture is not None]


def test_a_file_becomes_segments_with_frames_and_audio(
    media: Path, run: Callable[..., Sampled], storage: Storage, broker: redis.Redis
) -> None:
    context = Context(language="zh", region="CN", viewers=12)
    summary, reports = run(Order(str(media / "video.mp4"), "room", start=START, context=context))
    manifests = queued(broker)
    assert [manifest.segment_id for manifest in manifests] == [
        "20260131T120000.000Z",
        "20260131T120010.000Z",
        "20260131T120020.000Z",
    ]
    assert [(report.frames, report.gaps) for report in reports] == [(5, ()), (5, ()), (2, ())]
    assert summary.audio_s == pytest.approx(23, abs=0.1)
    assert (summary.ended, manifests[0].context) == ("source ended", context)
    assert [picture.shape for picture in frames(manifests[1], storage)] == [(180, 320, 3)] * 5
    assert manifests[1].audio is not None
    assert storage.get(manifests[1].audio.key)[:4] == b"fLaC"


def test_sampling_a_file_twice_repeats_its_segments_byte_for_byte(
    media: Path, run: Callable[..., Sampled], storage: Storage, broker: redis.Redis
) -> None:
    order = Order(str(media / "video.mp4"), "room")
    run(order)
    before = {key: storage.get(key) for key in storage.keys("media/")}
    run(order)
    assert {key: storage.get(key) for key in storage.keys("media/")} == before
    manifests = queued(broker)
    assert manifests[:3] == manifests[3:]


def test_segments_that_have_a_record_are_counted_and_not_queued_again(
    media: Path, run: Callable[..., Sampled], storage: Storage, broker: redis.Redis
) -> None:
    first = record_key("2026-01-31", "room", "20260131T120000.000Z", "live")
    storage.put(first, b"{}")
    order = Order(str(media / "video.mp4"), "room", start=START)
    summary, reports = run(order)
    assert (summary.run, summary.known, summary.segments, len(reports)) == ("live", 1, 2, 2)
    assert [manifest.segment_id for manifest in queued(broker)] == ["20260131T120010.000Z", "20260131T120020.000Z"]


def test_another_run_examines_what_is_recorded_again_and_leaves_its_media(
    media: Path, run: Callable[..., Sampled], storage: Storage, broker: redis.Redis
) -> None:
    run(Order(str(media / "short.ts"), "room", start=START))
    [manifest] = queued(broker)
    storage.put(record_key("2026-01-31", "room", manifest.segment_id, "live"), b"{}")
    before = frames(manifest, storage)
    summary, _ = run(Order(str(media / "short.ts"), "room", start=START, tier="quick", run="closer"))
    again = queued(broker)[1]
    assert (again.segment_id, again.run, summary.run, summary.known) == (manifest.segment_id, "closer", "closer", 0)
    assert len(again.frames) > len(manifest.frames)
    assert all(map(np.array_equal, frames(manifest, storage), before))


def test_chat_is_cut_to_the_segments(
    media: Path, run: Callable[..., Sampled], broker: redis.Redis, tmp_path: Path
) -> None:
    chat = tmp_path / "chat.jsonl"
    said = [(0.5, "第一"), (10.0, "second"), (22.0, "third"), (60.0, "after the end")]
    lines = [json.dumps({"at_s": at_s, "user": "u", "text": text}) for at_s, text in said]
    chat.write_text("\n".join([*lines, "no chat line"]), encoding="utf-8")
    summary, _ = run(Order(str(media / "video.mp4"), "room", chat=chat))
    assert [manifest.chat for manifest in queued(broker)] == [
        (ChatLine(at_s=0.5, user="u", text="第一"),),
        (ChatLine(at_s=0, user="u", text="second"),),
        (ChatLine(at_s=2, user="u", text="third"),),
    ]
    assert (summary.chat_lines, summary.chat_bad, summary.chat_outside) == (3, 1, 1)


@pytest.mark.parametrize(("more", "frame_count", "audio_s"), [(("-an",), 5, 0), (("-vn",), 0, 10)])
def test_a_source_may_lack_video_or_audio(
    run: Callable[..., Sampled], tmp_path: Path, more: tuple[str, ...], frame_count: int, audio_s: float
) -> None:
    _, [report] = run(Order(str(recording(tmp_path / "one.mkv", seconds=10, more=more)), "room"))
    assert (report.frames, report.audio_s, report.gaps) == (frame_count, audio_s, ())


def test_a_stream_whose_stamps_begin_anew_goes_on(media: Path, run: Callable[..., Sampled], tmp_path: Path) -> None:
    spliced = tmp_path / "spliced.ts"
    spliced.write_bytes((media / "short.ts").read_bytes() * 3)
    summary, reports = run(Order(str(spliced), "room", tier="quick"))
    assert summary.audio_s == pytest.approx(9, abs=0.3)
    assert [report.frames for report in reports[:4]] == [4, 4, 4, 4]
    assert summary.gap_s == 0


def test_missing_media_in_the_middle_is_a_gap(media: Path, run: Callable[..., Sampled], tmp_path: Path) -> None:
    late = tmp_path / "late.ts"
    ffmpeg("-i", media / "short.ts", "-c", "copy", "-output_ts_offset", "8", late)
    holed = tmp_path / "holed.ts"
    holed.write_bytes((media / "short.ts").read_bytes() + late.read_bytes())
    summary, reports = run(Order(str(holed), "room", tier="quick"))
    assert [report.frames for report in reports] == [4, 2, 0, 0, 4, 2]
    assert {gap.reason for report in reports for gap in report.gaps} == {"no video received", "no audio received"}
    assert summary.gap_s == pytest.approx(10, abs=0.5)


def test_a_recording_turned_by_its_player_is_stored_upright(
    media: Path, run: Callable[..., Sampled], storage: Storage, broker: redis.Redis, tmp_path: Path
) -> None:
    turned, upright = tmp_path / "turned.mp4", tmp_path / "upright.mp4"
    ffmpeg("-display_rotation", "90", "-i", media / "short.ts", "-c", "copy", turned)
    ffmpeg("-i", turned, "-c:v", "libx264", "-preset", "ultrafast", upright)
    run(Order(str(turned), "turned", tier="quick"))
    run(Order(str(upright), "upright", tier="quick"))
    first = {manifest.stream_id: frames(manifest, storage)[0] for manifest in reversed(queued(broker))}
    assert first["turned"].shape == first["upright"].shape == (320, 180, 3)
    assert np.abs(first["turned"].astype(int) - first["upright"]).mean() < 10


def test_a_playlist_on_a_server_is_read_to_its_end(media: Path, run: Callable[..., Sampled], tmp_path: Path) -> None:
    ffmpeg("-i", media / "video.mp4", "-c", "copy", "-hls_time", "2", "-hls_list_size", "0", tmp_path / "list.m3u8")
    with served(lambda handler: send(handler, (tmp_path / handler.path.lstrip("/")).read_bytes())) as base:
        summary, reports = run(Order(f"{base}/list.m3u8", "room", start=START))
    assert ([report.frames for report in reports], summary.ended) == ([5, 5, 2], "source ended")


def test_a_playlist_in_a_folder_is_read_to_its_end(media: Path, run: Callable[..., Sampled], tmp_path: Path) -> None:
    ffmpeg("-i", media / "video.mp4", "-c", "copy", "-hls_time", "2", "-hls_list_size", "0", tmp_path / "list.m3u8")
    _, reports = run(Order(str(tmp_path / "list.m3u8"), "room"))
    assert [report.frames for report in reports] == [5, 5, 2]


def test_a_playlist_that_is_still_growing_is_followed_until_it_says_its_end(
    media: Path, run: Callable[..., Sampled], tmp_path: Path
) -> None:
    ffmpeg("-i", media / "video.mp4", "-c", "copy", "-hls_time", "1", "-hls_list_size", "0", tmp_path / "all.m3u8")
    asked = itertools.count(2)
    whole = (tmp_path / "all.m3u8").read_text().splitlines()
    first = next(index for index, text in enumerate(whole) if text.startswith("#EXTINF"))

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path != "/live.m3u8":
            return send(handler, (tmp_path / handler.path.lstrip("/")).read_bytes())
        shown = next(asked)
        lines = [text for text in whole[: first + 2 * shown] if "PLAYLIST-TYPE" not in text]
        end = ["#EXT-X-ENDLIST"] if shown >= 6 else []
        return send(handler, "\n".join([*lines, *end, ""]).encode())

    with served(answer) as base:
        summary, _ = run(Order(f"{base}/live.m3u8", "room", tier="quick"))
    assert (summary.ended, summary.reconnects) == ("source ended", 0)
    assert summary.frames >= 4


def test_a_live_stream_that_drops_is_taken_up_again_and_the_outage_is_a_gap(
    media: Path, run: Callable[..., Sampled], broker: redis.Redis
) -> None:
    body = (media / "short.ts").read_bytes()
    asked = itertools.count()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if next(asked) in (0, 3):
            stream(handler, body, seconds=3)
        else:
            handler.send_error(503)

    with served(answer) as base:
        summary, reports = run(Order(f"{base}/live", "room", tier="quick"), reconnect_s=2)
    assert (summary.ended, summary.reconnects) == ("source dropped and stayed away", 1)
    manifests = queued(broker)
    starts = [manifest.captured_at for manifest in manifests]
    assert all(later - earlier == timedelta(seconds=2) for earlier, later in itertools.pairwise(starts))
    dropped = [report for report in reports if any(gap.reason == "source dropped" for gap in report.gaps)]
    assert dropped
    assert reports[0].frames == 4
    assert summary.frames >= 10


def test_a_stream_over_rtmp_is_sampled_as_it_comes(
    media: Path, run: Callable[..., Sampled], wait_until: WaitUntil
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"rtmp://127.0.0.1:{port}/live/key"
    play = ["-v", "error", "-re", "-i", media / "short.ts", "-c", "copy", "-f", "flv", "-listen", "1", url]
    with subprocess.Popen([imageio_ffmpeg.get_ffmpeg_exe(), *map(str, play)]) as playing:
        listens = partial(listening, playing.pid)
        wait_until(listens, "ffmpeg listens")
        summary, reports = run(Order(url, "room", tier="quick"), reconnect_s=0)
        playing.terminate()
    assert summary.ended == "source dropped and stayed away"
    assert (reports[0].frames, reports[0].gaps) == (4, ())


def test_a_recording_followed_is_played_at_its_own_speed(
    media: Path, run: Callable[..., Sampled], broker: redis.Redis
) -> None:
    began, clock = datetime.now(UTC), time.monotonic()
    run(Order(str(media / "short.ts"), "room", tier="quick", follow=True))
    assert time.monotonic() - clock >= 2.5
    first = queued(broker)[0].captured_at
    assert began - timedelta(milliseconds=1) <= first <= datetime.now(UTC)


def test_chat_written_while_the_stream_is_followed_is_in_its_segment(
    media: Path, run: Callable[..., Sampled], broker: redis.Redis, tmp_path: Path
) -> None:
    chat = tmp_path / "chat.jsonl"
    chat.write_text("")
    order = Order(str(media / "short.ts"), "room", tier="quick", follow=True, chat=chat)
    sampling = threading.Thread(target=run, args=(order,))
    sampling.start()
    chat.write_text(json.dumps({"at_s": 0.2, "user": "u", "text": "now"}) + "\n")
    sampling.join()
    assert queued(broker)[0].chat == (ChatLine(at_s=0.2, user="u", text="now"),)


def test_a_recording_that_breaks_off_keeps_what_came_and_says_so(
    media: Path, run: Callable[..., Sampled], broker: redis.Redis
) -> None:
    whole = (media / "short.ts").read_bytes()
    with (
        served(lambda handler: send(handler, whole[: len(whole) * 3 // 4], length=len(whole))) as base,
        pytest.raises(SampleError, match=r"broke off .* 1 segments were queued"),
    ):
        run(Order(f"{base}/short.ts?key=secret", "room", start=START))
    assert len(queued(broker)) == 1


@pytest.mark.parametrize("suffix", ["ts", "flv", "mkv"])
def test_a_damaged_recording_is_sampled_as_far_as_it_can_be_read(
    media: Path, run: Callable[..., Sampled], tmp_path: Path, suffix: str
) -> None:
    damaged = tmp_path / f"damaged.{suffix}"
    ffmpeg("-i", media / "short.ts", "-c", "copy", damaged)
    content = bytearray(damaged.read_bytes())
    chance = random.Random(7)
    for _ in range(100):
        content[chance.randrange(len(content) // 4, len(content))] = chance.randrange(256)
    damaged.write_bytes(content)
    summary, _ = run(Order(str(damaged), "room", tier="quick"))
    assert (summary.ended, summary.frames > 0) == ("source ended", True)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (Order("/no/such.mp4", "room"), "no such file"),
        (Order(__file__, "room"), "invalid data"),
        (Order("http://127.0.0.1:9/key", "room"), "connection refused"),
        (Order(__file__, "../room"), "a stream id is"),
        (Order(__file__, "room", tier="none"), "no tier none"),
        (Order(__file__, "room", run="../live"), "a run is"),
    ],
)
def test_what_cannot_be_sampled_is_said_in_one_line(order: Order, said: str, run: Callable[..., Sampled]) -> None:
    with pytest.raises(SampleError) as refused:
        run(order)
    assert said in str(refused.value)
    assert "key" not in str(refused.value)


def test_a_store_that_refuses_the_first_segment_ends_the_sampling(media: Path, config: Config) -> None:
    nowhere = Storage(config.store.model_copy(update={"secret_key": SecretStr("wrong")}))
    order = Order(str(media / "video.mp4"), "room", start=START)
    with Publisher(config) as publisher, pytest.raises(SampleError, match=r"20260131T120000.000Z.* 0 segments"):
        sample(
            order,
            config=config,
            storage=nowhere,
            publisher=publisher,
            report=lambda _: None,
            stop=threading.Event(),
        )


def test_a_store_that_fails_when_the_source_breaks_off_is_told_too(media: Path, config: Config) -> None:
    whole = (media / "short.ts").read_bytes()
    near = config.model_copy(update={"sampler": config.sampler.model_copy(update={"allow_networks": NEAR})})
    nowhere = Storage(config.store.model_copy(update={"secret_key": SecretStr("wrong")}))
    with (
        served(lambda handler: send(handler, whole[: len(whole) * 3 // 4], length=len(whole))) as base,
        Publisher(config) as publisher,
        pytest.raises(SampleError, match=r"broke off .*20260131T120000.000Z.* 0 segments"),
    ):
        sample(
            Order(f"{base}/short.ts", "room", start=START),
            config=near,
            storage=nowhere,
            publisher=publisher,
            report=lambda _: None,
            stop=threading.Event(),
        )
