from __future__ import annotations

import msgpack
import numpy as np
import pytest

from pipelines.embeddings import Embedding
from pipelines.items import (
    Clip,
    Failure,
    Item,
    Line,
    Picture,
    Result,
    Scores,
    ScreenLine,
    ScreenText,
    Seen,
    Span,
    Transcript,
)
from workers.engine.wire import (
    Ask,
    EngineStatus,
    Hello,
    Refusal,
    WireError,
    pack_reply,
    pack_request,
    unpack_reply,
    unpack_request,
)

ASK = Ask(slot="speech", digest="0" * 64, lane="live", remaining_s=1.5)
EMBEDDING = Embedding.of(np.ones((2, 3), np.float32), "e" * 64)
SPAN = Span(start_s=0, end_s=1, text="你好", confidence=0.9, no_speech=0.1, compression=1.2)


@pytest.mark.parametrize("all_text", [False, True])
def test_a_picture_arrives_as_it_left(all_text: bool) -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    head, (item,) = unpack_request(pack_request(ASK, [Picture(pixels, all_text)]))
    assert head == ASK
    assert isinstance(item, Picture)
    assert item.all_text is all_text
    np.testing.assert_array_equal(item.pixels, pixels)


@pytest.mark.parametrize(("beam_size", "by_sentence"), [(None, False), (5, True)])
def test_a_clip_arrives_with_how_it_is_to_be_heard(beam_size: int | None, by_sentence: bool) -> None:
    samples = np.linspace(-1, 1, 160, dtype=np.float32)
    _, (item,) = unpack_request(pack_request(ASK, [Clip(samples, "zh", beam_size, by_sentence)]))
    assert isinstance(item, Clip)
    assert (item.language, item.beam_size, item.by_sentence) == ("zh", beam_size, by_sentence)
    np.testing.assert_array_equal(item.samples, samples)


@pytest.mark.parametrize("text", ["", "加微信", "\x00\u202e🙂", "a" * 4000])
def test_any_text_arrives_as_it_left(text: str) -> None:
    item: Item = Line(text)
    assert unpack_request(pack_request(ASK, [item])) == (ASK, [item])


def test_a_frame_is_told_by_what_an_encoder_made_of_it() -> None:
    item: Item = Seen(EMBEDDING)
    assert unpack_request(pack_request(ASK, [item])) == (ASK, [item])


def test_a_text_arrives_with_what_an_encoder_made_of_it() -> None:
    item: Item = Line("hello", keep=True, embedding=EMBEDDING)
    assert unpack_request(pack_request(ASK, [item])) == (ASK, [item])


@pytest.mark.parametrize(
    "result",
    [
        Scores(labels={"nsfw": 0.25}),
        Scores(labels={"nsfw": 0.25}, embedding=EMBEDDING),
        Transcript(language="zh", language_probability=0.9, spans=(SPAN,), speech_s=1.0),
        ScreenText(lines=(ScreenLine(text="优惠", confidence=0.99, box=(0, 0, 1, 1)),)),
        Failure(error="MemoryError"),
    ],
)
def test_every_kind_of_result_comes_back(result: Result) -> None:
    assert unpack_reply(pack_reply([result])) == [result]


def test_a_refusal_and_a_status_come_back() -> None:
    status = EngineStatus(ready=True, pid=1, device="cpu", rss_bytes=2, uptime_s=3.0)
    assert unpack_reply(pack_reply(status)) == status
    assert unpack_reply(pack_reply(Refusal(reason="loading"))) == Refusal(reason="loading")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"not msgpack at all",
        msgpack.packb([1, 2]),
        msgpack.packb({"head": {"op": "ask"}, "items": []}),
        msgpack.packb({"head": {"op": "exec", "code": "1"}, "items": []}),
        msgpack.packb({"head": {"op": "stop"}, "items": []}),
        msgpack.packb({"head": Hello().model_dump(), "items": [{"picture": b"123", "height": 9, "width": 9}]}),
    ],
)
def test_what_is_no_request_is_named_so(message: bytes) -> None:
    with pytest.raises(WireError):
        unpack_request(message)
