"""The characters and props of the bundled livestream, drawn once and kept."""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

from PIL import Image

from workers.demo.drawing import GOLD, INK, LEAF, RED, SNOW, Brush, Colour, sprite

Mouth = Literal[0, 1, 2]
"""Closed, half open, open."""


@cache
def panda(mouth: Mouth, *, chef: bool, blinking: bool) -> Image.Image:
    """The host, 170 x 230, head at the top."""

    def paint(brush: Brush) -> None:
        coat: Colour = SNOW if chef else (88, 126, 190)
        brush.ellipse(85, 215, 74, 72, coat)
        brush.ellipse(30, 200, 22, 42, INK)
        brush.ellipse(140, 200, 22, 42, INK)
        if chef:
            brush.shape([(60, 158), (110, 158), (85, 182)], RED)
        for x in (38, 132):
            brush.ellipse(x, 62, 22, 22, INK)
        brush.ellipse(85, 105, 64, 56, SNOW)
        if chef:
            brush.box(48, 22, 74, 40, SNOW, radius=8)
            for x in (50, 85, 120):
                brush.ellipse(x, 22, 22, 20, SNOW)
            brush.line([(50, 56), (120, 56)], (214, 214, 210), 3)
        _face(brush, mouth, blinking)

    return sprite(170, 230, paint)


def _face(brush: Brush, mouth: Mouth, blinking: bool) -> None:
    for x, lean in ((60, -4), (110, 4)):
        brush.ellipse(x, 104, 17, 20, INK)
        if blinking:
            brush.line([(x - 9 + lean / 2, 104), (x + 9 + lean / 2, 104)], SNOW, 3)
        else:
            brush.ellipse(x + lean / 2, 102, 8, 9, SNOW)
            brush.ellipse(x + lean / 2, 103, 5, 6, INK)
            brush.ellipse(x + lean / 2 + 2, 100, 2, 2, SNOW)
    brush.ellipse(85, 122, 9, 6, INK)
    if mouth == 0:
        brush.arc(76, 130, 9, 8, 10, 170, INK, 3)
        brush.arc(94, 130, 9, 8, 10, 170, INK, 3)
    else:
        brush.ellipse(85, 138, 13, 5 + 4 * mouth, (150, 44, 52))
        brush.ellipse(85, 140 + 2 * mouth, 8, 2 + mouth, (236, 120, 116))


@cache
def pan(toss: int) -> Image.Image:
    """A frying pan with egg and spinach, 220 x 130; `toss` 0 to 7 lifts the food."""

    def paint(brush: Brush) -> None:
        brush.box(150, 84, 68, 14, (110, 74, 50), radius=7)
        brush.ellipse(84, 92, 80, 26, INK)
        brush.ellipse(84, 87, 72, 20, (84, 84, 92))
        lift = 30 * math.sin(math.pi * toss / 7)
        brush.ellipse(84, 84 - lift * 0.5, 50, 13, GOLD)
        for place in range(7):
            x = 46 + 13 * place
            y = 82 - lift * (0.5 + 0.5 * math.sin(place * 2.1 + toss)) + 4 * math.sin(place * 1.7)
            brush.ellipse(x, y, 10, 5, LEAF if place % 2 else (52, 128, 66))

    return sprite(220, 130, paint)


@cache
def blob(colour: Colour) -> Image.Image:
    """A piece of the board game, 44 x 44."""

    def paint(brush: Brush) -> None:
        brush.ellipse(22, 24, 19, 18, colour)
        for x in (15, 29):
            brush.ellipse(x, 21, 5, 6, SNOW)
            brush.ellipse(x + 1, 22, 2.5, 3, INK)
        brush.arc(22, 27, 7, 6, 20, 160, INK, 2.5)

    return sprite(44, 44, paint)


@cache
def dragon(asleep: bool) -> Image.Image:
    """The boss of the board game, 120 x 110."""

    def paint(brush: Brush) -> None:
        green: Colour = (92, 176, 150)
        brush.shape([(18, 60), (2, 18), (46, 44)], (64, 140, 120))
        brush.shape([(102, 60), (118, 18), (74, 44)], (64, 140, 120))
        brush.ellipse(60, 68, 42, 38, green)
        brush.ellipse(60, 82, 24, 20, (226, 236, 190))
        for x in (44, 76):
            brush.shape([(x - 7, 36), (x, 14), (x + 7, 36)], GOLD)
            if asleep:
                brush.line([(x - 8, 56), (x + 8, 56)], INK, 3)
            else:
                brush.ellipse(x, 56, 8, 9, SNOW)
                brush.ellipse(x, 57, 4, 5, INK)
        brush.arc(60, 74, 14, 8, 20, 160, INK, 3)

    return sprite(120, 110, paint)


@cache
def coin() -> Image.Image:
    """A plain gold coin, 56 x 56."""

    def paint(brush: Brush) -> None:
        brush.ellipse(28, 28, 26, 26, (206, 142, 30))
        brush.ellipse(28, 28, 22, 22, GOLD)
        brush.ellipse(22, 21, 7, 6, (253, 226, 140))

    return sprite(56, 56, paint)


@cache
def cloud() -> Image.Image:
    """A small cloud, 130 x 70."""

    def paint(brush: Brush) -> None:
        for x, y, r in ((34, 44, 22), (64, 32, 28), (96, 44, 22)):
            brush.ellipse(x, y, r, r, SNOW)
        brush.box(30, 44, 72, 22, SNOW, radius=11)

    return sprite(130, 70, paint)


@cache
def steam() -> Image.Image:
    """A puff above the pan, 60 x 40, see-through."""
    return sprite(60, 40, lambda brush: brush.ellipse(30, 20, 16, 9, (255, 255, 255, 90)))
