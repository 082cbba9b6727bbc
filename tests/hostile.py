"""Media made to hurt who decodes them, made on the spot: bombs, lies, scripts and stumps. Nothing to see in them."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from PIL import Image

from tests.recordings import recording

TEN_HOURS_S = 36_000
SEGMENT_S = 10


def picture(image_format: str = "JPEG", size: tuple[int, int] = (1280, 720)) -> bytes:
    """An ordinary frame: noise over blocks, about what a camera's picture weighs."""
    rough = Image.effect_noise((size[0] // 8, size[1] // 8), 90).resize(size)
    out = io.BytesIO()
    Image.merge("RGB", (rough, rough.rotate(180), Image.effect_noise(size, 12))).save(out, image_format)
    return out.getvalue()


def wav(seconds: float = 1.0, *, rate: int = 16_000, channels: int = 1) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(_tone(seconds, rate).repeat(channels).tobytes())
    return out.getvalue()


def encoded(container_format: str, codec: str, seconds: float, *, rate: int = 48_000, silent: bool = False) -> bytes:
    """A tone, or nothing to hear, in another container."""
    out = io.BytesIO()
    with av.open(out, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        samples = np.zeros(round(seconds * rate), "<i2") if silent else _tone(seconds, rate)
        resampler = av.AudioResampler(format=stream.codec_context.format or "s16", layout="mono", rate=rate)
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="s16", layout="mono")
        frame.sample_rate = rate
        for piece in (*resampler.resample(frame), None):
            container.mux(stream.encode(piece))
    return out.getvalue()


def _tone(seconds: float, rate: int) -> np.ndarray:
    return np.asarray(np.sin(np.arange(round(seconds * rate)) * 0.05) * 20_000, dtype="<i2")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png(width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = 0, more: bytes = b"") -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _zeros(size: int) -> bytes:
    """So many zero bytes, deflated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    megabyte = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)  # stands for itself, so it can repeat
    rest = packer.compress(bytes(size & 0xFFFFF)) + packer.flush()
    checksum = struct.pack(">I", size % 65_521 << 16 | 1)
    return b"\x78\xda" + megabyte * (size >> 20) + rest + checksum


def png_bomb() -> bytes:
    """30,000 x 30,000 pixels of one bit, all there."""
    return _png(30_000, 30_000, _zeros(30_000 * (1 + 30_000 // 8)), depth=1)


def png_within_the_limit() -> bytes:
    """25 megapixels of four channels: what the budgets let through, and it decodes to 100 MB."""
    return _png(5_000, 5_000, _zeros(5_000 * (1 + 4 * 5_000)), colour=6)


def png_profile() -> bytes:
    return _png(64, 64, _zeros(64 * 65), more=_chunk(b"iCCP", b"icc\x00\x00" + _zeros(256 << 20)))


def png_text() -> bytes:
    return _png(64, 64, _zeros(64 * 65), more=_chunk(b"zTXt", b"Comment\x00\x00" + _zeros(256 << 20)))


def png_texts() -> bytes:
    """Each within the limit of one, together far beyond."""
    one = _chunk(b"zTXt", b"Comment\x00\x00" + _zeros(1_000_000))
    return _png(64, 64, _zeros(64 * 65), more=one * 200)


def gif_bomb() -> bytes:
    """Ten thousand frames of 65,535 x 65,535."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x02\x44\x01\x00"
    return screen + frame * 10_000 + b"\x3b"


def webp_animation() -> bytes:
    frames = [Image.new("RGB", (2_000, 2_000), (index, 0, 0)) for index in range(3)]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:])
    return out.getvalue()


def playlist(entry: str) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{entry}\n#EXT-X-ENDLIST\n".encode()


def wav_that_claims(*, rate: int = 16_000, channels: int = 1, seconds: int = 1) -> bytes:
    """One second of sound behind a header that says otherwise."""
    sound = wav(1.0)
    block = 2 * channels
    claimed = min(seconds * rate * block, 0xFFFFFF00)
    fmt = struct.pack("<HHIIHH", 1, channels & 0xFFFF, rate & 0xFFFFFFFF, rate * block & 0xFFFFFFFF, block & 0xFFFF, 16)
    return (
        b"RIFF"
        + struct.pack("<I", claimed)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + fmt
        + b"data"
        + (struct.pack("<I", claimed) + sound[44:])
    )


def flac_that_claims_hours() -> bytes:
    """The count of samples lies in the last 36 bits before the checksum of the stream's description."""
    sound = bytearray(encoded("flac", "flac", 1.0, rate=16_000))
    count = TEN_HOURS_S * 16_000
    sound[21] = sound[21] & 0xF0 | count >> 32
    sound[22:26] = struct.pack(">I", count & 0xFFFFFFFF)
    return bytes(sound)


def ogg_that_claims_hours() -> bytes:
    """The position that the last page says to end at."""
    sound = bytearray(encoded("ogg", "libopus", 1.0))
    last = sound.rindex(b"OggS")
    sound[last + 6 : last + 14] = struct.pack("<q", TEN_HOURS_S * 48_000)
    return bytes(sound[:last]) + _page(sound[last:])


def flac_of_an_hour() -> bytes:
    """An hour of nothing to hear in a few hundred kilobytes."""
    return encoded("flac", "flac", 3_600, rate=8_000, silent=True)


def ogg_of_streams(count: int) -> bytes:
    """A container of so many streams that all begin."""
    sound = encoded("ogg", "libopus", 1.0)
    second = sound.index(b"OggS", 4)
    third = sound.index(b"OggS", second + 4)
    first, rest = bytearray(sound[:second]), bytearray(sound[second:third])
    begun = b""
    for serial in range(1, count):
        first[14:18] = struct.pack("<I", serial)
        begun += _page(first)
    followed = b""
    for serial in range(1, count):
        rest[14:18] = struct.pack("<I", serial)
        followed += _page(rest)
    return sound[:second] + begun + sound[second:third] + followed + sound[third:]


def _page(page: bytearray) -> bytes:
    """The Ogg page with its checksum set right."""
    page[22:26] = bytes(4)
    checksum = 0
    for byte in page:
        checksum = (checksum << 8 & 0xFFFFFFFF) ^ _checksums()[checksum >> 24 ^ byte]
    page[22:26] = struct.pack("<I", checksum)
    return bytes(page)


@cache
def _checksums() -> list[int]:
    """Of RFC 3533: polynomial 0x04c11db7, not reflected."""
    table = []
    for value in range(256):
        checksum = value << 24
        for _ in range(8):
            checksum = (checksum << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if checksum & 0x80000000 else 0)
        table.append(checksum)
    return table


def tag_that_inflates() -> bytes:
    """An ID3 tag with a compressed frame that says to be a quarter of a gigabyte."""
    packed = _zeros(200 << 20)
    frame = b"TXXX" + _syncsafe(len(packed) + 4) + b"\x00\x09" + _syncsafe(200 << 20) + packed
    return b"ID3\x04\x00\x00" + _syncsafe(len(frame)) + frame


def _syncsafe(size: int) -> bytes:
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


@cache
def video() -> bytes:
    """A short recording with H.264 in it."""
    with TemporaryDirectory() as folder:
        return recording(Path(folder) / "video.mp4", seconds=1).read_bytes()


@cache
def h264() -> bytes:
    """H.264 without a container, cut off in the middle."""
    with TemporaryDirectory() as folder:
        whole = recording(Path(folder) / "video.h264", seconds=1, more=("-an", "-f", "h264")).read_bytes()
    return whole[: len(whole) // 2]


PICTURES: Mapping[str, Callable[[], bytes]] = {
    "PNG of 30,000 x 30,000": png_bomb,
    "PNG with a profile of 256 MB": png_profile,
    "PNG with a text of 256 MB": png_text,
    "PNG with 200 texts": png_texts,
    "GIF of 10,000 frames": gif_bomb,
    "JPEG cut off": lambda: picture()[:20_000],
    "JPEG of markers only": lambda: b"\xff\xd8" * 500,
    "video as a picture": video,
    "H.264 cut off, as a picture": h264,
    "no bytes, as a picture": lambda: b"",
}
"""Each of them is refused by name."""

SOUNDS: Mapping[str, Callable[[], bytes]] = {
    "playlist that names a file": lambda: playlist("file:///etc/passwd"),
    "playlist that names an address": lambda: playlist("http://127.0.0.1:9/a.ts"),
    "concat script": lambda: b"ffconcat version 1.0\nfile /etc/passwd\n",
    "WAV at 1 Hz": lambda: wav_that_claims(rate=1),
    "WAV at 4 GHz": lambda: wav_that_claims(rate=4_000_000_000),
    "WAV of 500 channels": lambda: wav_that_claims(channels=500),
    "WAV of 65,535 channels": lambda: wav_that_claims(channels=65_535),
    "Ogg of 500 streams": lambda: ogg_of_streams(500),
    "tag that inflates to 200 MB": tag_that_inflates,
    "FLAC cut off in its header": lambda: encoded("flac", "flac", 1.0)[:40],
    "Ogg without a stream": lambda: encoded("ogg", "libopus", 1.0)[:27],
    "WAV without sound": lambda: wav(0.0),
    "video as sound": video,
    "H.264 cut off, as sound": h264,
    "no bytes, as sound": lambda: b"",
}
"""Each of them is refused by name."""

CLAIMS: Mapping[str, Callable[[], bytes]] = {
    "WAV that claims ten hours": lambda: wav_that_claims(seconds=TEN_HOURS_S),
    "FLAC that claims ten hours": flac_that_claims_hours,
    "Ogg that claims ten hours": ogg_that_claims_hours,
}
"""A second of sound each: what is there is heard, and the rest of the segment is named as missing."""
