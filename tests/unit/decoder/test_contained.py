"""A helper decodes what this process would, gives up all it does not need, and dies alone."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipelines import coverage as why
from pipelines.decode import InProcess
from pipelines.media import Allowance, DecodeError, DecodeLimits
from tests import hostile
from tests.broken_helper import PROGRAM
from tests.conftest import wait_for
from workers.decoder.contained import Contained, DecoderUnavailable

LIMITS = DecodeLimits(timeout_s=0.5)


@pytest.fixture(scope="module")
def strange() -> Iterator[Contained]:
    with Contained(LIMITS, PROGRAM) as decoder:
        yield decoder


@pytest.fixture(scope="module")
def decoder() -> Iterator[Contained]:
    with Contained(DecodeLimits(timeout_s=30)) as opened:  # a busy machine is no hostile medium
        yield opened


def frame(decoder: Contained) -> bool:
    return decoder.image(hostile.picture(size=(64, 48)), max_side_px=32).pixels.shape == (24, 32, 3)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "MPO"])
def test_a_picture_is_the_same_from_the_helper_as_from_this_process(decoder: Contained, image_format: str) -> None:
    data = hostile.picture(image_format)
    here = InProcess().image(data, max_side_px=640).pixels
    assert np.array_equal(decoder.image(data, max_side_px=640).pixels, here)


@pytest.mark.parametrize(
    "data",
    [
        hostile.wav(2.0, rate=44_100, channels=2),
        hostile.encoded("flac", "flac", 2.0, rate=16_000),
        hostile.encoded("ogg", "libopus", 2.0),
        hostile.encoded("aiff", "pcm_s16be", 2.0),
    ],
    ids=["wav", "flac", "ogg", "aiff"],
)
def test_a_sound_is_the_same_from_the_helper_as_from_this_process(decoder: Contained, data: bytes) -> None:
    here = InProcess().audio(data, max_s=1.5)
    assert here.size == 24_000
    assert np.array_equal(decoder.audio(data, max_s=1.5), here)


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        (b"hang", why.DECODE_TIMEOUT),
        (b"sleep", why.DECODE_TIMEOUT),
        (b"crash", why.DECODE_CRASH),
        (b"leave", why.DECODE_CRASH),
        (b"lie", why.DECODE_CRASH),
        (b"starve", why.DECODE_MEMORY),
    ],
)
def test_a_medium_that_ends_its_helper_is_named_and_the_next_is_decoded(
    strange: Contained, does: bytes, reason: str
) -> None:
    with pytest.raises(DecodeError) as refused:
        strange.image(does, max_side_px=640)
    assert refused.value.reason == reason
    assert str(refused.value).startswith(f"image of {len(does)} bytes: ")
    assert frame(strange)


def test_a_helper_that_something_else_ended_is_replaced_and_the_medium_not_blamed(decoder: Contained) -> None:
    assert frame(decoder)
    assert decoder.pid is not None
    before = decoder.pid
    os.kill(before, signal.SIGSEGV)
    assert frame(decoder)
    assert decoder.pid != before
    assert not psutil.pid_exists(before)


def test_a_helper_can_open_nothing_and_start_nothing(strange: Contained) -> None:
    with pytest.raises(DecodeError) as refused:
        strange.image(b"open", max_side_px=640)
    opened, connected, forked, made, executed = str(refused.value).split()
    assert opened == "OSError"
    assert forked == "BlockingIOError"
    assert connected == executed == "PermissionError"
    assert made != "done"


def test_a_helper_knows_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVERISK__STORE__SECRET_KEY", "secret")
    with Contained(LIMITS, PROGRAM) as decoder, pytest.raises(DecodeError) as told:
        decoder.image(b"environment", max_side_px=640)
    assert "LIVERISK" not in str(told.value)


def test_a_helper_has_imported_no_model_library(decoder: Contained) -> None:
    assert frame(decoder)
    mapped = Path(f"/proc/{decoder.pid}/maps").read_text(encoding="utf-8")
    assert "libav" in mapped
    assert not any(name in mapped for name in ("torch", "ctranslate2", "onnxruntime", "celery", "botocore"))


def test_a_helper_ends_with_its_decoder() -> None:
    with Contained(LIMITS) as opened:
        assert frame(opened)
        pid = opened.pid
    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_a_helper_ends_with_the_process_that_started_it() -> None:
    program = (
        "import os, signal, sys\n"
        "from tests.hostile import picture\n"
        "from workers.decoder.contained import Contained, DecodeLimits\n"
        "decoder = Contained(DecodeLimits())\n"
        "decoder.image(picture(size=(64, 48)), max_side_px=640)\n"
        "sys.stdout.write(str(decoder.pid))\n"
        "sys.stdout.flush()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    helper = int(_said(program))
    wait_for(lambda: not psutil.pid_exists(helper), "the helper is gone")


def _said(program: str) -> str:
    with psutil.Popen([sys.executable, "-c", program], stdout=-1, text=True) as process:
        said, _ = process.communicate(timeout=60)
    return str(said)


def test_media_that_hang_take_no_more_than_the_allowance_of_their_segment(strange: Contained) -> None:
    allowance = Allowance(0.3)
    for _ in range(5):
        with pytest.raises(DecodeError) as refused:
            strange.image(b"sleep", max_side_px=640, allowance=allowance)
        assert refused.value.reason == why.DECODE_TIMEOUT
    assert str(refused.value) == "image of 5 bytes: others took all the time of the segment"


def test_that_no_helper_starts_is_not_the_mediums_fault() -> None:
    with (
        Contained(LIMITS, (sys.executable, "-c", "import sys; sys.exit(3)")) as decoder,
        pytest.raises(DecoderUnavailable),
    ):
        frame(decoder)


@pytest.mark.parametrize("make", [*hostile.PICTURES.values()], ids=[*hostile.PICTURES])
def test_a_hostile_picture_is_refused_by_name(decoder: Contained, make: Callable[[], bytes]) -> None:
    with pytest.raises(DecodeError) as refused:
        decoder.image(make(), max_side_px=640)
    assert refused.value.reason == why.UNDECODABLE


@pytest.mark.parametrize("make", [*hostile.SOUNDS.values()], ids=[*hostile.SOUNDS])
def test_a_hostile_sound_is_refused_by_name(decoder: Contained, make: Callable[[], bytes]) -> None:
    with pytest.raises(DecodeError) as refused:
        decoder.audio(make(), max_s=11)
    assert refused.value.reason == why.UNDECODABLE


@pytest.mark.parametrize("make", [*hostile.CLAIMS.values()], ids=[*hostile.CLAIMS])
def test_what_counts_is_the_sound_that_is_there_and_not_what_a_header_claims(
    decoder: Contained, make: Callable[[], bytes]
) -> None:
    assert decoder.audio(make(), max_s=11).size == pytest.approx(16_000, abs=800)


def test_an_hour_of_sound_in_a_small_file_is_cut_off_where_its_segment_ends(decoder: Contained) -> None:
    sound = hostile.encoded("flac", "flac", 600, rate=8_000, silent=True)
    assert len(sound) < 200_000
    assert decoder.audio(sound, max_s=11).size == 11 * 16_000
