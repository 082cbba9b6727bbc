"""Frames of a generated stream: a camera that pans over a drawn scene, moving figures, captions, sensor noise."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 1280, 720
JPEG_QUALITY = 85
"""What the sampler stores frames with."""
ROOM = 1.6
"""The scene is so much larger than the frame, so that the camera has something to pan over."""
GRAIN = 3.0
"""Standard deviation of the sensor's noise in grey levels."""
FIGURES = 6

Pixels = NDArray[np.uint8]


def frame(seed: int, at_s: float, *, moves: bool, caption: str = "") -> bytes:
    """A JPEG of `WIDTH` x `HEIGHT`; the same arguments give the same bytes. Without `moves` only the noise differs."""
    moment = at_s if moves else 0.0
    picture = _window(seed, moment)
    if moves:
        _draw_figures(picture, seed, moment)
    if caption:
        _draw_caption(picture, caption)
    grain = np.random.default_rng((seed, round(at_s * 1000))).normal(0, GRAIN, (HEIGHT // 2, WIDTH // 2, 1))
    noise = cv2.resize(grain.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)[..., None]
    noisy = np.clip(picture.astype(np.float32) + noise, 0, 255).astype(np.uint8)
    written, buffer = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not written:
        raise ValueError("OpenCV wrote no JPEG")
    return buffer.tobytes()


def _window(seed: int, at_s: float) -> Pixels:
    """What the camera sees of the scene at that moment."""
    scene = _scene(seed)
    room_y, room_x = scene.shape[0] - HEIGHT, scene.shape[1] - WIDTH
    x = round(room_x * (0.5 + 0.5 * math.sin(0.31 * at_s + seed)))
    y = round(room_y * (0.5 + 0.5 * math.cos(0.23 * at_s + seed)))
    return scene[y : y + HEIGHT, x : x + WIDTH].copy()


@lru_cache(maxsize=4)
def _scene(seed: int) -> Pixels:
    """Coloured noise in octaves, from walls and furniture down to texture."""
    rng = np.random.default_rng((seed, 1))
    height, width = round(HEIGHT * ROOM), round(WIDTH * ROOM)
    scene = np.zeros((height, width, 3), dtype=np.float32)
    for octave, weight in ((4, 90.0), (9, 60.0), (40, 30.0), (160, 16.0)):
        coarse = rng.uniform(-1, 1, (octave, octave * 16 // 9, 3)).astype(np.float32)
        scene += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(scene + 128, 0, 255).astype(np.uint8)


def _draw_figures(picture: Pixels, seed: int, at_s: float) -> None:
    """Round shapes that wander about, as people and game figures do."""
    rng = np.random.default_rng((seed, 2))
    for _ in range(FIGURES):
        size = int(rng.integers(30, 110))
        colour = tuple(int(level) for level in rng.integers(30, 226, 3))
        phase, speed = rng.uniform(0, 6.28, 2), rng.uniform(0.2, 1.4, 2)
        x = round(WIDTH * (0.5 + 0.45 * math.sin(phase[0] + speed[0] * at_s)))
        y = round(HEIGHT * (0.5 + 0.4 * math.cos(phase[1] + speed[1] * at_s)))
        cv2.ellipse(picture, (x, y), (size, round(size * 1.3)), 20.0 * at_s, 0, 360, colour, -1, cv2.LINE_AA)
        cv2.circle(picture, (x - size // 3, y - size // 3), max(3, size // 8), (20, 20, 20), -1, cv2.LINE_AA)


def _draw_caption(picture: Pixels, caption: str) -> None:
    cv2.rectangle(picture, (60, HEIGHT - 110), (WIDTH - 60, HEIGHT - 40), (30, 30, 36), -1)
    place, ink = (84, HEIGHT - 62), (245, 245, 245)
    cv2.putText(picture, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 1.3, ink, 3, cv2.LINE_AA)
