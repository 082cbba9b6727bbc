"""Makes the bundled livestream: `python -m workers.demo.make_stream [TARGET]`.

Needs espeak-ng and the font of the Debian package fonts-wqy-zenhei, which is why the result is committed.
The pictures and the voice are the same each time; the encoder's bytes depend on its version.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from workers.demo.drawing import HEIGHT, WIDTH
from workers.demo.figures import Mouth
from workers.demo.programme import STREAM_FILE, Programme, read_programme
from workers.demo.scenes import picture
from workers.demo.voice import VOICE_RATE_HZ, StreamError, loudness, spoken_track

FRAME_RATE = 10
KEYFRAME_EVERY_S = 10
VIDEO_OPTIONS = {"crf": "31", "preset": "slow", "tune": "animation", "threads": "1"}
AUDIO_RATE_HZ = 48_000
AUDIO_BITS_PER_S = 24_000
HALF_OPEN, OPEN = 0.02, 0.08


def make_stream(programme: Programme, target: Path) -> None:
    """Writes an MP4 file: H.264 pictures, mono Opus sound."""
    track = spoken_track(programme.speech, programme.duration_s)
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=FRAME_RATE, options=VIDEO_OPTIONS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.gop_size = KEYFRAME_EVERY_S * FRAME_RATE
        audio = container.add_stream("libopus", rate=AUDIO_RATE_HZ, layout="mono")
        audio.bit_rate = AUDIO_BITS_PER_S
        _write_pictures(container, video, programme, loudness(track, FRAME_RATE))
        _write_sound(container, audio, track)


def _write_pictures(container: Any, video: Any, programme: Programme, loud: NDArray[np.float32]) -> None:
    scenes = iter(programme.scenes)
    scene = next(scenes)
    for index in range(round(programme.duration_s * FRAME_RATE)):
        at_s = index / FRAME_RATE
        if at_s >= scene.to_s:
            scene = next(scenes)
        frame = av.VideoFrame.from_image(picture(scene, at_s, _mouth(float(loud[index]))))
        frame.pts = index
        container.mux(video.encode(frame))
    container.mux(video.encode())


def _mouth(loud: float) -> Mouth:
    if loud < HALF_OPEN:
        return 0
    return 1 if loud < OPEN else 2


def _write_sound(container: Any, audio: Any, track: NDArray[np.int16]) -> None:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=AUDIO_RATE_HZ)
    for start in range(0, track.size, VOICE_RATE_HZ):
        frame = av.AudioFrame.from_ndarray(track[None, start : start + VOICE_RATE_HZ], format="s16", layout="mono")
        frame.sample_rate, frame.pts = VOICE_RATE_HZ, start
        for resampled in resampler.resample(frame):
            container.mux(audio.encode(resampled))
    for resampled in resampler.resample(None):
        container.mux(audio.encode(resampled))
    container.mux(audio.encode())


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else STREAM_FILE
    try:
        make_stream(read_programme(), target)
    except StreamError as error:
        sys.exit(f"make_stream: {error}")
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
