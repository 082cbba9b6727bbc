"""From bytes to arrays, within limits. What crashes here crashes its process: the pool runs it in a helper of its own.

Images go through Pillow (header checked before any pixel is decoded), audio through PyAV with containers and codecs
named, one thread, and nothing that a container could open. Nothing here opens a path or a URL.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NoReturn

import av
import av.filter
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.items import SAMPLE_RATE_HZ, Picture
from pipelines.media import Allowance, DecodeError, DecodeLimits

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP")
SAMPLING_RATES_HZ = range(4_000, 384_001)
"""Whatever a header claims is resampled; far from real rates that costs gigabytes and seconds."""
AUDIO_FORMATS = {b"fLaC": "flac", b"RIFF": "wav", b"OggS": "ogg", b"ID3": "mp3", b"FORM": "aiff"}
AUDIO_CODECS = (
    "flac,vorbis,opus,mp3float,mp3,adpcm_ms,adpcm_ima_wav,pcm_alaw,pcm_mulaw,pcm_u8,pcm_s8,"
    "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be"
)
"""ffmpeg's names of its own decoders; no picture and no video among them."""
NO_PROTOCOL = "none"
_OGG_BEGINNING = re.compile(rb"OggS\x00[\x02\x03\x06\x07]")
"""The first page of a stream within an Ogg container (RFC 3533)."""

DEFAULTS = DecodeLimits()


def decode_image(data: bytes, *, max_side_px: int, limits: DecodeLimits = DEFAULTS) -> Picture:
    """RGB pixels, shrunk so that neither side exceeds `max_side_px`."""
    if len(data) > limits.max_image_bytes:
        raise DecodeError(f"image of {len(data)} bytes, more than {limits.max_image_bytes}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
                width, height = image.size
                if width * height > limits.max_image_pixels:
                    raise DecodeError(f"image of {width}x{height} pixels")
                if image.format == "JPEG":
                    image.draft("RGB", _fitted(width, height, max_side_px))
                pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)
        return Picture(_shrunk(pixels, max_side_px))
    except DecodeError:
        raise
    except (
        OSError,
        SyntaxError,
        ValueError,
        cv2.error,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise DecodeError(f"image of {len(data)} bytes: {type(error).__name__}") from None


def decode_audio(data: bytes, *, max_s: float, limits: DecodeLimits = DEFAULTS) -> NDArray[np.float32]:
    """Mono float32 at 16 kHz, cut off at `max_s` seconds of decoded sound whatever the header claims."""
    return as_float(decode_samples(data, max_s=max_s, limits=limits))


def as_float(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Samples in [-1, 1)."""
    return samples.astype(np.float32) / 32768.0


def decode_samples(data: bytes, *, max_s: float, limits: DecodeLimits = DEFAULTS) -> NDArray[np.int16]:
    """As `decode_audio`, in whole numbers: half the bytes to hand over."""
    if len(data) > limits.max_audio_bytes:
        raise DecodeError(f"audio of {len(data)} bytes, more than {limits.max_audio_bytes}")
    container_format = next((name for magic, name in AUDIO_FORMATS.items() if data.startswith(magic)), None)
    if container_format is None:
        raise DecodeError(f"audio of {len(data)} bytes: unknown format")
    if container_format == "ogg" and (streams := len(_OGG_BEGINNING.findall(data))) > limits.max_streams:
        raise DecodeError(f"audio of {streams} streams")  # before each of them gets a decoder of its own
    try:
        return _decoded_audio(data, container_format, round(min(max_s, limits.max_audio_s) * SAMPLE_RATE_HZ), limits)
    except (DecodeError, MemoryError):
        raise
    except (av.FFmpegError, ValueError, IndexError, EOFError) as error:
        raise DecodeError(f"audio of {len(data)} bytes: {type(error).__name__}") from None


def _decoded_audio(data: bytes, container_format: str, limit: int, limits: DecodeLimits) -> NDArray[np.int16]:
    options = {
        "protocol_whitelist": NO_PROTOCOL,
        "format_whitelist": container_format,
        "codec_whitelist": AUDIO_CODECS,
    }
    parts: list[NDArray[np.int16]] = []
    have = 0
    with av.open(io.BytesIO(data), mode="r", format=container_format, options=options, io_open=_nothing) as container:
        if len(container.streams) > limits.max_streams:
            raise DecodeError(f"audio of {len(container.streams)} streams")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise DecodeError(f"audio of {len(data)} bytes: a codec that is not decoded")
        stream.thread_count = 1
        _check(stream.codec_context.sample_rate, stream.codec_context.channels, limits)
        for part in _mono(container.decode(stream), limits):
            parts.append(part)
            have += part.size
            if have >= limit:
                break
    if not parts:
        raise DecodeError(f"audio of {len(data)} bytes: no sound")
    return np.concatenate(parts)[:limit]


def _nothing(_url: str, _flags: int, _options: dict[str, str]) -> NoReturn:
    """What a container gets that names another place."""
    raise DecodeError("a container that opens others")


def _check(rate_hz: int, channels: int, limits: DecodeLimits) -> None:
    if rate_hz not in SAMPLING_RATES_HZ:
        raise DecodeError(f"audio at {rate_hz} Hz")
    if channels > limits.max_channels:
        raise DecodeError(f"audio of {channels} channels")


def _mono(frames: Iterator[av.AudioFrame], limits: DecodeLimits) -> Iterator[NDArray[np.int16]]:
    """Int16 mono at 16 kHz. All frames must be alike; `ValueError` says that they are not."""
    graph: Any = None
    first: tuple[str, str, int] | None = None
    for frame in frames:
        _check(frame.sample_rate, len(frame.layout.channels), limits)
        like = (frame.format.name, frame.layout.name, frame.sample_rate)
        if graph is None:
            graph, first = _resampling(frame), like
        if like != first:
            raise ValueError("a frame unlike the first")
        graph.push(frame)
        yield from _pulled(graph)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph)


def _resampling(frame: av.AudioFrame) -> Any:
    """What `av.AudioResampler` builds, but without a thread for every core."""
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_abuffer(
        sample_rate=frame.sample_rate,
        format=frame.format.name,
        layout=frame.layout.name,
        time_base=frame.time_base or Fraction(1, frame.sample_rate),
    )
    wanted = graph.add("aformat", sample_rates=str(SAMPLE_RATE_HZ), sample_fmts="s16", channel_layouts="mono")
    graph.link_nodes(source, wanted, graph.add("abuffersink")).configure()
    return graph


def _pulled(graph: Any) -> Iterator[NDArray[np.int16]]:
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, EOFError):
            return
        yield np.asarray(frame.to_ndarray(), dtype=np.int16).reshape(-1)


def _fitted(width: int, height: int, max_side_px: int) -> tuple[int, int]:
    """The least that a decoder must give: a JPEG twice as large is decoded at half its size, a quarter of the work."""
    longer = max(width, height)
    return max(1, width * max_side_px // longer), max(1, height * max_side_px // longer)


def _shrunk(pixels: NDArray[np.uint8], max_side_px: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = max_side_px / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


@dataclass(frozen=True)
class InProcess:
    """A `Decoder` in this process, for notebooks and tests: what crashes it crashes all."""

    limits: DecodeLimits = field(default_factory=DecodeLimits)

    def image(self, data: bytes, *, max_side_px: int, allowance: Allowance | None = None) -> Picture:
        return decode_image(data, max_side_px=max_side_px, limits=self.limits)

    def audio(self, data: bytes, *, max_s: float, allowance: Allowance | None = None) -> NDArray[np.float32]:
        return decode_audio(data, max_s=max_s, limits=self.limits)
