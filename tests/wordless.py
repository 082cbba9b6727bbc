"""Sounds of livestreams in which nobody says a word, made by formulas: 16 kHz mono, repeatable by their seed.

Music, crowds, games and machines are where speech models invent words. None of this is a recording; sung vowels and
crowds are built from the same harmonics and formants as speech, so that they get past a voice gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from pipelines.items import SAMPLE_RATE_HZ

Sound = NDArray[np.float64]
Maker = Callable[[float, np.random.Generator], Sound]
"""From seconds and chance to a sound, of any loudness."""

MAJOR: Sequence[int] = (0, 2, 4, 5, 7, 9, 11)
VOWELS = np.array([(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410)])
"""First three formants in Hz: ah, ee, oo, eh, aw."""


def _clock(seconds: float) -> Sound:
    return np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ


def _pitch(step: int, root_hz: float) -> float:
    """The frequency of a step of the major scale."""
    octave, degree = divmod(step, len(MAJOR))
    return float(root_hz * 2 ** (octave + MAJOR[degree] / 12))


def _add(whole: Sound, part: Sound, at_s: float) -> None:
    """Adds the part in place, cut at the end."""
    start = round(at_s * SAMPLE_RATE_HZ)
    room = max(0, min(part.size, whole.size - start))
    whole[start : start + room] += part[:room]


def _note(hz: float, seconds: float, brightness: float, decay: float) -> Sound:
    """Harmonics that die away, as of a string."""
    time = _clock(seconds)
    tones = [brightness**n * np.sin(2 * np.pi * hz * (n + 1) * time) for n in range(8) if hz * (n + 1) < 7500]
    return np.asarray(np.sum(tones, axis=0) * np.exp(-decay * time) * np.minimum(1, time / 0.01))


def _noise(seconds: float, rng: np.random.Generator, *, smooth: float = 0.0) -> Sound:
    """White noise, darker the nearer `smooth` is to 1."""
    white = rng.normal(size=round(seconds * SAMPLE_RATE_HZ))
    return np.asarray(lfilter([1 - smooth], [1, -smooth], white))


def _voice(pitch_hz: Sound, vowel: Sound, breath: Sound) -> Sound:
    """A sung tone: harmonics of `pitch_hz` under the formants `vowel` (samples x 3), loud as `breath` is."""
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    sound = np.zeros_like(pitch_hz)
    for harmonic in range(1, 25):
        hz = harmonic * pitch_hz[:, None]
        near = np.exp(-0.5 * ((hz - vowel) / (90 + 0.05 * vowel)) ** 2) @ np.array([1.0, 0.6, 0.3])
        sound += (near + 0.02) * (hz[:, 0] < 7500) * np.sin(harmonic * phase) / harmonic**0.3
    return sound * breath


def silence(seconds: float, rng: np.random.Generator) -> Sound:
    return _noise(seconds, rng) * 1e-4


def hum(seconds: float, rng: np.random.Generator) -> Sound:
    time, mains = _clock(seconds), float(rng.choice([50.0, 60.0]))
    return np.asarray(
        sum(np.sin(2 * np.pi * mains * n * time) / n for n in (1, 2, 3, 5)) + 0.1 * _noise(seconds, rng, smooth=0.9)
    )


def hiss(seconds: float, rng: np.random.Generator) -> Sound:
    return _noise(seconds, rng, smooth=float(rng.uniform(0, 0.95)))


def bursts(seconds: float, rng: np.random.Generator) -> Sound:
    """Claps, knocks, keys."""
    whole = np.zeros(round(seconds * SAMPLE_RATE_HZ))
    for at_s in np.cumsum(rng.exponential(float(rng.uniform(0.03, 0.5)), size=300)):
        part = _noise(0.2, rng, smooth=float(rng.uniform(0, 0.8))) * np.exp(-_clock(0.2) * rng.uniform(20, 90))
        _add(whole, part, float(at_s))
    return whole


def chords(seconds: float, rng: np.random.Generator) -> Sound:
    """Held chords, one after the other, as of an organ or strings."""
    whole, root_hz, at_s = np.zeros(round(seconds * SAMPLE_RATE_HZ)), float(rng.uniform(110, 260)), 0.0
    while at_s < seconds:
        length_s, lowest = float(rng.uniform(1, 3)), int(rng.integers(0, 7))
        for step in (lowest, lowest + 2, lowest + 4, lowest + 7):
            _add(whole, _note(_pitch(step, root_hz), length_s, 0.6, 0.3), at_s)
        at_s += length_s
    return whole


def arpeggio(seconds: float, rng: np.random.Generator) -> Sound:
    whole, root_hz = np.zeros(round(seconds * SAMPLE_RATE_HZ)), float(rng.uniform(180, 500))
    beat_s = float(rng.uniform(0.1, 0.3))
    for index in range(int(seconds / beat_s)):
        step = int(rng.choice([0, 2, 4, 7, 9, 4, 2]))
        _add(whole, _note(_pitch(step, root_hz), 0.6, 0.5, 5), index * beat_s)
    return whole


def drums(seconds: float, rng: np.random.Generator) -> Sound:
    """Kick, snare and hat in four."""
    whole, beat_s = np.zeros(round(seconds * SAMPLE_RATE_HZ)), float(rng.uniform(0.3, 0.6))
    time = _clock(0.3)
    kick = 3 * np.sin(2 * np.pi * (50 * time + 5 * (1 - np.exp(-30 * time)))) * np.exp(-12 * time)
    for index in range(int(2 * seconds / beat_s)):
        at_s = index * beat_s / 2
        _add(whole, 0.3 * _noise(0.05, rng) * np.exp(-80 * _clock(0.05)), at_s)
        if index % 4 == 0:
            _add(whole, kick, at_s)
        if index % 4 == 2:
            _add(whole, _noise(0.2, rng, smooth=0.3) * np.exp(-18 * _clock(0.2)), at_s)
    return whole


def band(seconds: float, rng: np.random.Generator) -> Sound:
    return sum((_loud(make(seconds, rng), 1.0) for make in (drums, chords, arpeggio)), np.zeros(()))


def singing(seconds: float, rng: np.random.Generator) -> Sound:
    """Vowels on a melody, with vibrato and breath between the phrases."""
    time, root_hz = _clock(seconds), float(rng.uniform(110, 300))
    pitch, vowel, breath = np.zeros_like(time), np.zeros((time.size, 3)), np.zeros_like(time)
    at = 0
    while at < time.size:
        length = round(float(rng.uniform(0.25, 1.4)) * SAMPLE_RATE_HZ)
        part = slice(at, min(at + length, time.size))
        pitch[part], vowel[part] = _pitch(int(rng.integers(0, 9)), root_hz), VOWELS[rng.integers(len(VOWELS))]
        breath[part] = np.sin(np.pi * np.arange(part.stop - at) / length) ** 0.4 * (rng.random() > 0.15)
        at += length
    pitch = np.asarray(lfilter([0.002], [1, -0.998], pitch)) + 0.5 * root_hz * np.exp(-time * 30)
    vowel = np.asarray(lfilter([0.004], [1, -0.996], vowel, axis=0)) + 1e-3
    return _voice(pitch * (1 + 0.02 * np.sin(2 * np.pi * float(rng.uniform(4.5, 6.5)) * time)), vowel, breath)


def chanting(seconds: float, rng: np.random.Generator) -> Sound:
    """Syllables on few notes, as of la la la."""
    time = _clock(seconds)
    length_s = float(rng.uniform(0.18, 0.45))
    syllable = (time / length_s).astype(int)
    count = int(syllable[-1]) + 1
    steps = np.array([_pitch(step, float(rng.uniform(100, 240))) for step in (0, 1, 2, 4)])
    pitch = np.asarray(lfilter([0.005], [1, -0.995], steps[rng.integers(4, size=count)][syllable])) + 1.0
    vowel = VOWELS[rng.integers(len(VOWELS), size=count)][syllable]
    vibrato = 1 + 0.015 * np.sin(2 * np.pi * float(rng.uniform(4.5, 6.5)) * time)
    return _voice(pitch * vibrato, vowel, 0.15 + 0.85 * np.abs(np.sin(np.pi * time / length_s)) ** 0.7)


def chorus(seconds: float, rng: np.random.Generator) -> Sound:
    return _loud(chanting(seconds, rng), 1.0) + float(rng.uniform(0.2, 0.8)) * _loud(band(seconds, rng), 1.0)


def song(seconds: float, rng: np.random.Generator) -> Sound:
    return _loud(singing(seconds, rng), 1.0) + float(rng.uniform(0.3, 1.0)) * _loud(band(seconds, rng), 1.0)


def humming(seconds: float, rng: np.random.Generator) -> Sound:
    """A tune with the mouth shut: pitch glides, nothing above the nose's first formant."""
    return np.asarray(lfilter([0.12], [1, -0.88], singing(seconds, rng)))


def crowd(seconds: float, rng: np.random.Generator) -> Sound:
    """Many voices at once, none of which says a word, over the roar of a hall."""
    whole = 0.3 * _loud(_noise(seconds, rng, smooth=0.85), 1.0)
    for _ in range(int(rng.integers(8, 14))):
        whole += float(rng.uniform(0.1, 0.5)) * _loud(babble(seconds, rng), 1.0)
    return whole


def babble(seconds: float, rng: np.random.Generator) -> Sound:
    """One voice that forms syllables and no words."""
    time = _clock(seconds)
    syllable = (time / float(rng.uniform(0.15, 0.3))).astype(int)
    vowel = VOWELS[rng.integers(len(VOWELS), size=syllable[-1] + 1)][syllable]
    pitch = float(rng.uniform(90, 250)) * (1 + 0.15 * np.sin(2 * np.pi * float(rng.uniform(0.2, 1)) * time))
    loud = (rng.random(size=syllable[-1] + 1) > 0.3)[syllable]
    return _voice(pitch, vowel, np.asarray(lfilter([0.01], [1, -0.99], loud.astype(float))))


def cheering(seconds: float, rng: np.random.Generator) -> Sound:
    """Long vowels of many throats that rise and fall together, and clapping."""
    time = _clock(seconds)
    swell = 0.2 + np.sin(np.pi * time / seconds * float(rng.uniform(1, 3))) ** 2
    whole = _loud(bursts(seconds, rng), 0.5)
    for _ in range(8):
        pitch = float(rng.uniform(180, 500)) * (1 + 0.2 * swell + 0.01 * np.sin(2 * np.pi * 5 * time))
        whole += 0.3 * _loud(_voice(pitch, np.tile(VOWELS[int(rng.integers(2)) * 3], (time.size, 1)), swell), 1.0)
    return whole + 0.5 * _loud(_noise(seconds, rng, smooth=0.6), 1.0) * swell


def beeps(seconds: float, rng: np.random.Generator) -> Sound:
    """A game: square waves that hop and sweep, coins, shots."""
    whole, at_s = np.zeros(round(seconds * SAMPLE_RATE_HZ)), 0.0
    while at_s < seconds:
        time = _clock(float(rng.uniform(0.05, 0.5)))
        sweep = float(rng.choice([-1200.0, 0.0, 0.0, 1500.0]))
        tone = np.sign(np.sin(2 * np.pi * (float(rng.uniform(200, 2000)) * time + sweep * time**2)))
        part = tone if rng.random() > 0.2 else _noise(time.size / SAMPLE_RATE_HZ, rng, smooth=0.4)
        _add(whole, part * np.exp(-6 * time), at_s)
        at_s += float(rng.exponential(0.25))
    return whole


def engine(seconds: float, rng: np.random.Generator) -> Sound:
    """A motor that revs: low harmonics with a wandering pitch, and rumble."""
    time = _clock(seconds)
    pitch = float(rng.uniform(40, 120)) * (1 + 0.5 * np.sin(2 * np.pi * float(rng.uniform(0.1, 0.4)) * time) ** 2)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE_HZ
    tones = sum(np.sin(n * phase) / n**0.7 for n in range(1, 20))
    return np.asarray(tones + _loud(_noise(seconds, rng, smooth=0.97), 1.0))


def whistling(seconds: float, rng: np.random.Generator) -> Sound:
    time = _clock(seconds)
    wander = np.asarray(lfilter([2e-4], [1, -0.9998], rng.normal(size=time.size))) * 40
    phase = 2 * np.pi * np.cumsum(float(rng.uniform(700, 1500)) * (1 + 0.2 * np.clip(wander, -1, 1))) / SAMPLE_RATE_HZ
    return np.sin(phase) * (np.sin(2 * np.pi * 0.6 * time) > -0.6) + 0.05 * _noise(seconds, rng)


KINDS: Mapping[str, Maker] = {
    maker.__name__: maker
    for maker in (
        silence,
        hum,
        hiss,
        bursts,
        chords,
        arpeggio,
        drums,
        band,
        singing,
        chanting,
        chorus,
        song,
        humming,
        crowd,
        babble,
        cheering,
        beeps,
        engine,
        whistling,
    )
}


def _loud(sound: Sound, peak: float) -> Sound:
    return sound * (peak / max(1e-9, float(np.abs(sound).max())))


def wordless(segments: int, *, seconds: float = 10.0, seed: int = 0) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """So many segments in turn of every kind, each at a loudness of its own; silence stays silent."""
    names = list(KINDS)
    for index in range(segments):
        rng = np.random.default_rng((seed, index))
        name = names[index % len(names)]
        sound = KINDS[name](seconds, rng)
        yield name, np.asarray(sound if name == "silence" else _loud(sound, float(rng.uniform(0.05, 0.9))), np.float32)
