"""Bytes from strangers become arrays within limits, or one named error."""

from __future__ import annotations

import io
import struct
import wave
import zlib

import numpy as np
import pytest
from PIL import Image

from pipelines.decode import decode_audio, decode_image
from pipelines.media import DecodeError


def encoded(image_format: str, size: tuple[int, int] = (64, 48), mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.effect_noise(size, 80).convert(mode).save(out, image_format)
    return out.getvalue()


def wav(seconds: float, *, rate: int = 16_000, channels: int = 1) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        samples = np.sin(np.arange(round(seconds * rate)) * 0.05) * 20_000
        file.writeframes(np.repeat(samples.astype("<i2"), channels).tobytes())
    return out.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_stills_of_the_known_formats_become_rgb(image_format: str) -> None:
    assert decode_image(encoded(image_format), max_side_px=640).pixels.shape == (48, 64, 3)


def test_grey_and_transparent_pictures_become_rgb_too() -> None:
    assert decode_image(encoded("PNG", mode="LA"), max_side_px=640).pixels.shape == (48, 64, 3)


def test_a_large_picture_shrinks_to_the_asked_side_and_keeps_its_shape() -> None:
    assert decode_image(encoded("JPEG", (1280, 720)), max_side_px=640).pixels.shape == (360, 640, 3)


def test_a_jpeg_twice_as_large_is_decoded_at_half_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def resize(*_: object, **__: object) -> None:
        raise AssertionError("decoded whole, then shrunk")

    monkeypatch.setattr("cv2.resize", resize)
    assert decode_image(encoded("JPEG", (1280, 720)), max_side_px=640).pixels.shape == (360, 640, 3)


@pytest.mark.parametrize(
    "data",
    [b"", b"not a picture", encoded("JPEG")[:200], encoded("GIF"), png_that_claims(30_000, 30_000), b"\xff\xd8" * 500],
    ids=["empty", "text", "truncated", "gif", "bomb", "rubbish"],
)
def test_what_is_no_picture_or_too_much_of_one_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_image(data, max_side_px=640)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (8_000, 1)])
def test_sound_becomes_mono_at_16_khz(rate: int, channels: int) -> None:
    samples = decode_audio(wav(1.0, rate=rate, channels=channels), max_s=10)
    assert samples.dtype == np.float32
    assert abs(samples.size - 16_000) < 200
    assert 0.3 < np.abs(samples).max() <= 1.0


def test_sound_longer_than_its_segment_is_cut_off() -> None:
    assert decode_audio(wav(3.0), max_s=1).size == 16_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"this is no sound",
        b"RIFF" + b"\x00" * 100,
        b"fLaC" + b"\xff" * 400,
        wav(0.0),
        b"#EXTM3U\nfile:///etc/passwd\n",
    ],
    ids=["empty", "text", "hollow wav", "hollow flac", "no samples", "playlist"],
)
def test_what_is_no_sound_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_audio(data, max_s=10)


@pytest.mark.parametrize("rate", [1, 3_999, 384_001, 65_535_999])
def test_a_sampling_rate_that_no_recording_has_is_refused(rate: int) -> None:
    header, samples = wav(0.1)[:24], wav(0.1)[28:]
    with pytest.raises(DecodeError, match=f"audio at {rate} Hz"):
        decode_audio(header + struct.pack("<I", rate) + samples, max_s=10)


def test_an_error_says_sizes_and_classes_and_quotes_nothing() -> None:
    with pytest.raises(DecodeError, match=r"^image of 9 bytes: \w+$"):
        decode_image(b"my secret", max_side_px=640)
