"""Shapes the scenes are made of: smooth edges by drawing four times too large, text by a CJK font."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from workers.demo.voice import StreamError

WIDTH, HEIGHT = 640, 360
FONT_FILE = Path("/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc")
OVERSAMPLING = 4
LARGEST_TEXT_PX, SMALLEST_TEXT_PX = 38, 28
NOTE_TEXT_PX = 20
NOTE_CONTRAST = 45
"""Grey levels between a note and its ground: legible, and yet less than makes a frame a new one."""

Colour = tuple[int, int, int]
Painter = Callable[["Brush"], None]

INK: Colour = (42, 40, 48)
SNOW: Colour = (250, 250, 246)
RED: Colour = (222, 74, 66)
GOLD: Colour = (247, 196, 62)
LEAF: Colour = (78, 160, 84)


class Brush:
    """Draws in the final picture's pixels on an oversized canvas."""

    def __init__(self, image: Image.Image) -> None:
        self._draw = ImageDraw.Draw(image)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour | tuple[int, int, int, int]) -> None:
        self._draw.ellipse(_scaled(x - rx, y - ry, x + rx, y + ry), fill=fill)

    def box(self, x: float, y: float, w: float, h: float, fill: Colour, radius: float = 0) -> None:
        self._draw.rounded_rectangle(_scaled(x, y, x + w, y + h), radius * OVERSAMPLING, fill=fill)

    def shape(self, points: list[tuple[float, float]], fill: Colour) -> None:
        self._draw.polygon([(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in points], fill=fill)

    def arc(self, x: float, y: float, rx: float, ry: float, start: float, end: float, fill: Colour, px: float) -> None:
        extent = _scaled(x - rx, y - ry, x + rx, y + ry)
        self._draw.arc(extent, start, end, fill=fill, width=round(px * OVERSAMPLING))

    def line(self, points: list[tuple[float, float]], fill: Colour, px: float) -> None:
        scaled = [(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in points]
        self._draw.line(scaled, fill=fill, width=round(px * OVERSAMPLING), joint="curve")


def _scaled(*numbers: float) -> tuple[float, float, float, float]:
    left, top, right, bottom = (number * OVERSAMPLING for number in numbers)
    return left, top, right, bottom


def sprite(width: int, height: int, paint: Painter) -> Image.Image:
    """What `paint` draws, on a transparent ground."""
    large = Image.new("RGBA", (width * OVERSAMPLING, height * OVERSAMPLING))
    paint(Brush(large))
    return large.resize((width, height), Image.Resampling.LANCZOS)


def gradient(top: Colour, bottom: Colour) -> Image.Image:
    """A full picture that runs from one colour to another, top to bottom."""
    share = np.linspace(0, 1, HEIGHT)[:, None, None]
    rows = np.array(top) * (1 - share) + np.array(bottom) * share
    return Image.fromarray(np.broadcast_to(rows, (HEIGHT, WIDTH, 3)).round().astype(np.uint8), "RGB")


def blend(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a * (1 - share) + b * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def stamp(picture: Image.Image, what: Image.Image, x: float, y: float) -> None:
    """Lays a sprite on the picture, centred on (x, y)."""
    picture.paste(what, (round(x - what.width / 2), round(y - what.height / 2)), what)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    if not FONT_FILE.exists():
        raise StreamError(f"no font at {FONT_FILE}; install the package fonts-wqy-zenhei")
    return ImageFont.truetype(str(FONT_FILE), size)


@cache
def banner(text: str, ground: Colour, ink: Colour) -> Image.Image:
    """A strip with one line of text, as large as fits; `StreamError` when it does not fit legibly."""
    for size in range(LARGEST_TEXT_PX, SMALLEST_TEXT_PX - 1, -1):
        left, top, right, bottom = _font(size).getbbox(text)
        if right - left <= WIDTH - 56:
            break
    else:
        raise StreamError(f"a banner of {len(text)} characters does not fit")
    width, height = round(right - left) + 40, 58
    strip = sprite(width, height, lambda brush: brush.box(0, 0, width, height, ground, radius=14))
    ImageDraw.Draw(strip).text(
        ((width - right - left) / 2, (height - bottom - top) / 2), text, font=_font(size), fill=ink
    )
    return strip


@cache
def faint(text: str, ground: Colour) -> Image.Image:
    """One line of small text, a little lighter than its ground."""
    left, top, right, bottom = _font(NOTE_TEXT_PX).getbbox(text)
    red, green, blue = (min(255, level + NOTE_CONTRAST) for level in ground)
    line = Image.new("RGBA", (round(right - left), round(bottom - top)))
    ImageDraw.Draw(line).text((-left, -top), text, font=_font(NOTE_TEXT_PX), fill=(red, green, blue))
    return line
