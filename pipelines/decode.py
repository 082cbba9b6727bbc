"""From bytes to arrays, within limits. Runs in worker children: what crashes here crashes one of them.

Images go through Pillow (header checked before any pixel is decoded), audio through PyAV with the
container formats named and no nested protocols. Nothing here opens a path or a URL.
"""

from __future__ import annotations

import io
import warnings

import av
import cv2
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray
from PIL import Image

from pipelines.items import SAMPLE_RATE_HZ, Picture

MAX_IMAGE_PIXELS = 50_000_000
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP")
SAMPLING_RATES_HZ = range(4_000, 384_001)
"""Whatever a header claims is resampled; far from real rates that costs gigabytes and seconds."""
AUDIO_FORMATS = {b"fLaC": "flac", b"RIFF": "wav", b"OggS": "ogg", b"ID3": "mp3", b"FORM": "aiff"}


class DecodeError(ValueError):
    """The bytes are not the media they claim to be. The message holds classes and sizes, no content."""


def decode_image(data: bytes, *, max_side_px: int) -> Picture:
    """RGB pixels, shrunk so that neither side exceeds `max_side_px`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
                width, height = image.size
                if width * height > MAX_IMAGE_PIXELS:
                    raise DecodeError(f"image of {width}x{height} pixels")
                if image.format == "JPEG":
                    image.draft("RGB", _fitted(width, height, max_side_px))
                pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)
    except DecodeError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DecodeError(f"image of {len(data)} bytes: {type(error).__name__}") from None
    return Picture(_shrunk(pixels, max_side_px))


def decode_audio(data: bytes, *, max_s: float) -> NDArray[np.float32]:
    """Mono float32 at 16 kHz, cut off at `max_s` seconds of decoded sound whatever the header claims."""
    container_format = next((name for magic, name in AUDIO_FORMATS.items() if data.startswith(magic)), None)
    if container_format is None:
        raise DecodeError(f"audio of {len(data)} bytes: unknown format")
    try:
        return _decoded_audio(data, container_format, round(max_s * SAMPLE_RATE_HZ))
    except DecodeError:
        raise
    except (av.FFmpegError, ValueError, IndexError, EOFError) as error:
        raise DecodeError(f"audio of {len(data)} bytes: {type(error).__name__}") from None


def _decoded_audio(data: bytes, container_format: str, limit: int) -> NDArray[np.float32]:
    resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
    parts: list[NDArray[np.int16]] = []
    have = 0
    options = {"protocol_whitelist": "pipe"}
    with av.open(io.BytesIO(data), mode="r", format=container_format, options=options) as container:
        stream = container.streams.audio[0]
        stream.thread_count = 1
        for frame in container.decode(stream):
            if frame.sample_rate not in SAMPLING_RATES_HZ:
                raise DecodeError(f"audio at {frame.sample_rate} Hz")
            for resampled in resampler.resample(frame):
                parts.append(_samples(resampled))
                have += parts[-1].size
            if have >= limit:
                break
        else:
            parts.extend(_samples(resampled) for resampled in resampler.resample(None))
    if not parts:
        raise DecodeError(f"audio of {len(data)} bytes: no sound")
    samples = np.concatenate(parts)[:limit]
    return samples.astype(np.float32) / 32768.0


def _samples(frame: av.AudioFrame) -> NDArray[np.int16]:
    return np.asarray(frame.to_ndarray(), dtype=np.int16).reshape(-1)


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
