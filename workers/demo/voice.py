"""The host's voice: espeak-ng reads each line, and the lines are laid on one track."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.demo.programme import Utterance

VOICE_RATE_HZ = 22_050
"""What espeak-ng produces."""
WORDS_PER_MINUTE = 150
PEAK = 0.6


class StreamError(Exception):
    """The stream cannot be made; one line that says what is missing."""


def spoken_track(speech: Sequence[Utterance], duration_s: float) -> NDArray[np.int16]:
    """Mono samples at `VOICE_RATE_HZ`; raises `StreamError` when a line runs into the next one."""
    track = np.zeros(round(duration_s * VOICE_RATE_HZ), dtype=np.int16)
    free_from = 0
    for utterance in speech:
        samples = _spoken(utterance.text)
        start = round(utterance.at_s * VOICE_RATE_HZ)
        if start < free_from or start + samples.size > track.size:
            raise StreamError(f"the line at {utterance.at_s:g} s overlaps its neighbour or the end")
        track[start : start + samples.size] = samples
        free_from = start + samples.size
    return track


def _spoken(text: str) -> NDArray[np.int16]:
    program = shutil.which("espeak-ng")
    if program is None:
        raise StreamError("espeak-ng is not installed; install the package espeak-ng")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "line.wav"
        command = [program, "-v", "en-us", "-s", str(WORDS_PER_MINUTE), "-w", str(target), text]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        with wave.open(str(target)) as sound:
            if (sound.getframerate(), sound.getnchannels()) != (VOICE_RATE_HZ, 1):
                raise StreamError(f"espeak-ng gave {sound.getframerate()} Hz, {sound.getnchannels()} channels")
            samples = np.frombuffer(sound.readframes(sound.getnframes()), dtype=np.int16)
    loudest = max(1, int(np.abs(samples.astype(np.int32)).max()))
    return (samples * (PEAK * 32767 / loudest)).astype(np.int16)


def loudness(track: NDArray[np.int16], frame_rate: int) -> NDArray[np.float32]:
    """Root mean square of each picture's share of the track, 0 to 1: moves the host's mouth."""
    per_frame = VOICE_RATE_HZ // frame_rate
    whole = track[: track.size // per_frame * per_frame].astype(np.float32) / 32768
    power: NDArray[np.float32] = (whole.reshape(-1, per_frame) ** 2).mean(axis=1)
    return np.sqrt(power)
