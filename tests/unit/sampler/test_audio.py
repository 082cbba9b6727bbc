from __future__ import annotations

import io

import av
import numpy as np

from workers.sampler.audio import Tape, flac


def test_flac_keeps_every_sample() -> None:
    samples = (np.sin(np.arange(160_123) / 9) * 20_000).astype(np.int16)
    with av.open(io.BytesIO(flac(samples))) as container:
        stream = container.streams.audio[0]
        back = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(stream)])
    assert (stream.rate, stream.layout.name) == (16_000, "mono")
    assert (back == samples).all()


def test_the_same_samples_give_the_same_bytes() -> None:
    samples = np.arange(16_000, dtype=np.int16)
    assert flac(samples) == flac(samples)


def test_a_window_before_any_sound_has_none() -> None:
    tape = Tape()
    tape.add(12.0, np.ones(1600, np.int16))
    assert tape.take(0, 10) is None


def test_what_was_not_received_is_silence() -> None:
    tape = Tape()
    tape.add(1.0, np.ones(16_000, np.int16))
    taken = tape.take(0, 3)
    assert taken is not None
    assert [int(taken[start : start + 16_000].sum()) for start in (0, 16_000, 32_000)] == [0, 16_000, 0]
