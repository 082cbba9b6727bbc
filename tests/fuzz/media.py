"""The targets that are pictures, sound and video: what native libraries take, behind the walls that the pool has."""

from __future__ import annotations

import io
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import ValidationError

from pipelines import coverage as why
from pipelines.manifest import Context, SamplerSettings
from pipelines.media import DecodeError, DecodeLimits
from tests.fuzz.judging import Run, Target
from tests.hostile import encoded, wav
from tests.recordings import recording
from workers.config import Sampler, Tier
from workers.decoder.contained import Contained
from workers.sampler.cutting import Cutting
from workers.sampler.live import Watch
from workers.sampler.parcel import Origin, pack
from workers.sampler.source import SourceError, address

SIDE_PX = 320
LONGEST_S = 11.0
LIMITS = DecodeLimits()
HELPERS: Counter[str] = Counter()
"""How often decode helpers were started here, and how they ended: by the named outcome of what ended them."""

Look = Callable[[Contained, bytes], None]


def _in_a_helper(look: Look) -> Callable[[], AbstractContextManager[Run]]:
    """What ends the helper is named and counted; the next input gets a new one, as in the pool."""

    @contextmanager
    def opened() -> Iterator[Run]:
        with Contained(LIMITS) as decoder:

            def run(data: bytes) -> str:
                before = decoder.pid
                try:
                    look(decoder, data)
                except DecodeError as error:
                    if error.reason != why.UNDECODABLE:
                        HELPERS[error.reason] += 1
                    if "exit code" in str(error):
                        raise RuntimeError("an exception of Python ended the helper") from None
                    raise
                finally:
                    HELPERS["started"] += decoder.pid not in (before, None)
                return "accepted"

            yield run

    return opened


def _image(decoder: Contained, data: bytes) -> None:
    pixels = decoder.image(data, max_side_px=SIDE_PX).pixels
    assert pixels.dtype == np.uint8, "no pixels"
    assert max(pixels.shape[:2]) <= SIDE_PX, "too large"


def _audio(decoder: Contained, data: bytes) -> None:
    samples = decoder.audio(data, max_s=LONGEST_S)
    assert 0 < samples.size <= LONGEST_S * 16_000, "too long"
    assert bool(np.isfinite(samples).all()), "no sound"
    assert float(np.abs(samples).max()) <= 1, "too loud"


def _video(folder: Path, data: bytes) -> str:
    """A recording as `sample` cuts it, up to the manifests of its segments."""
    path = folder / "recording"
    path.write_bytes(data)
    stop = threading.Event()
    where = address(str(path))
    cutting = Cutting(Watch(where, Sampler(), stop), Tier(), paced=False, stop=stop)
    settings = SamplerSettings(segment_s=10, frame_interval_s=2)
    assert where.recorded_at is not None, "no file"
    origin = Origin("room", where.recorded_at, settings, Context(), "media/", "live")
    segments = 0
    for window in cutting.windows():
        try:
            pack(window, None, origin)
        except (ValidationError, OverflowError):
            return "no segment"  # `Delivery` tells why in a line
        segments += 1
        if segments == MOST_SEGMENTS:
            stop.set()
            return "cut short"
    return "accepted" if segments else "nothing in it"


MOST_SEGMENTS = 300


@contextmanager
def _video_opened() -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="liverisk-fuzz-") as folder:
        yield lambda data: _video(Path(folder), data)


def _pictures() -> list[bytes]:
    """Small ones of every format and mode that is decoded, and of some that are not."""
    noise = Image.effect_noise((48, 32), 90)
    colour = Image.merge("RGB", (noise, noise.rotate(90).resize(noise.size), noise.rotate(180)))
    made: Mapping[str, Sequence[tuple[dict[str, Any], Image.Image]]] = {
        "JPEG": [({}, colour), ({"progressive": True}, colour), ({}, noise), ({"quality": 10}, colour.convert("CMYK"))],
        "PNG": [
            ({}, colour),
            ({}, colour.convert("P")),
            ({}, colour.convert("RGBA")),
            ({}, noise.convert("1")),
            ({}, noise.convert("I;16")),
        ],
        "WEBP": [
            ({}, colour),
            ({"lossless": True}, colour.convert("RGBA")),
            ({"save_all": True, "append_images": [noise.convert("RGB")]}, colour),
        ],
        "MPO": [({"save_all": True, "append_images": [colour]}, colour)],
        "GIF": [({}, noise)],
        "TIFF": [({}, colour)],
    }
    found = []
    for name, several in made.items():
        for options, picture in several:
            out = io.BytesIO()
            picture.save(out, name, **options)
            found.append(out.getvalue())
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    colour.save(out, "JPEG", exif=exif, icc_profile=bytes(range(128)) + bytes(400), comment=b"words")
    return [*found, out.getvalue()]


def _sounds() -> list[bytes]:
    kinds: Mapping[str, str] = {"flac": "flac", "ogg": "libopus", "mp3": "libmp3lame", "aiff": "pcm_s16be"}
    made = [encoded(name, codec, 0.3) for name, codec in kinds.items()]
    adpcm = [
        encoded("wav", codec, 0.3, rate=16_000) for codec in ("adpcm_ms", "adpcm_ima_wav", "pcm_alaw", "pcm_f32le")
    ]
    return [wav(0.2), wav(0.1, rate=8_000, channels=2), *made, *adpcm]


@cache
def _videos() -> tuple[bytes, ...]:
    found = []
    with tempfile.TemporaryDirectory(prefix="liverisk-fuzz-") as folder:
        for suffix in ("mp4", "mkv", "ts", "flv", "avi", "mpg", "mov"):
            more = ("-c:v", "mpeg2video", "-c:a", "mp2") if suffix == "mpg" else ()
            found.append(
                recording(Path(folder) / f"seed.{suffix}", seconds=1.2, more=("-s", "64x48", *more)).read_bytes()
            )
        found.append(b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nseed.ts\n#EXT-X-ENDLIST\n")
    return tuple(found)


TARGETS: tuple[Target, ...] = (
    Target(
        "image",
        _in_a_helper(_image),
        _pictures,
        (DecodeError,),
        limit_s=LIMITS.timeout_s + 30,
        waits=True,
        guided=False,
    ),
    Target(
        "audio", _in_a_helper(_audio), _sounds, (DecodeError,), limit_s=LIMITS.timeout_s + 30, waits=True, guided=False
    ),
    Target(
        "video", lambda: _video_opened(), lambda: list(_videos()), (SourceError,), limit_s=30, waits=True, guided=False
    ),
)
