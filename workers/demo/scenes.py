"""The scenes of the bundled livestream: a picture for each moment."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

from PIL import Image

from workers.demo.drawing import (
    GOLD,
    HEIGHT,
    INK,
    LEAF,
    RED,
    SNOW,
    WIDTH,
    Brush,
    Colour,
    banner,
    blend,
    faint,
    gradient,
    sprite,
    stamp,
)
from workers.demo.figures import Mouth, blob, cloud, coin, dragon, pan, panda, steam
from workers.demo.programme import Scene, SceneName

Stage = Callable[[float, Mouth], Image.Image]
BANNER_Y = HEIGHT - 46
NOTE_Y = 30
BLINK_EVERY_S = 3.7
"""No multiple of the sampling interval, so that sampled frames do not all fall on the same pose."""


def picture(scene: Scene, at_s: float, mouth: Mouth) -> Image.Image:
    """The scene at a moment of the stream, RGB, `WIDTH` x `HEIGHT`."""
    drawn = STAGES[scene.scene](at_s, mouth)
    if scene.banner:
        ground: Colour = RED if scene.scene == "offer" else INK
        stamp(drawn, banner(scene.banner, ground, SNOW), WIDTH / 2, BANNER_Y)
    if scene.note is not None and scene.note.from_s <= at_s < scene.note.to_s:
        stamp(drawn, faint(scene.note.text, drawn.getpixel((WIDTH // 2, NOTE_Y))), WIDTH / 2, NOTE_Y)
    return drawn


def _blinking(at_s: float) -> bool:
    return at_s % BLINK_EVERY_S < 0.2


def _backdrop(ground: Image.Image, paint: Callable[[Brush], None]) -> Image.Image:
    stamp(ground, sprite(WIDTH, HEIGHT, paint), WIDTH / 2, HEIGHT / 2)
    return ground


def _opening(at_s: float, mouth: Mouth) -> Image.Image:
    drawn = gradient((120, 190, 240), (214, 238, 250))
    for index in range(4):
        x = (index * 190 + at_s * (9 + 4 * index)) % (WIDTH + 140) - 70
        stamp(drawn, cloud(), x, 60 + 46 * (index % 3))
    stamp(drawn, panda(mouth, chef=False, blinking=_blinking(at_s)), WIDTH / 2, 190)
    return drawn


@cache
def _kitchen_room() -> Image.Image:
    def paint(brush: Brush) -> None:
        for row in range(6):
            for column in range(11):
                tint = 8 * ((row * 3 + column * 5) % 3)
                brush.box(column * 60 + 2, row * 40 + 2, 56, 36, (238 - tint, 228 - tint, 206 - tint), radius=4)
        brush.box(30, 40, 120, 12, (150, 104, 70))
        for x, colour in ((44, RED), (80, GOLD), (116, LEAF)):
            brush.box(x, 10, 24, 30, colour, radius=5)
        brush.ellipse(540, 60, 46, 46, (252, 246, 222))
        brush.line([(540, 60), (540, 30)], INK, 4)
        brush.line([(540, 60), (562, 70)], INK, 4)

    return _backdrop(gradient((226, 214, 190), (226, 214, 190)), paint)


@cache
def _counter() -> Image.Image:
    def paint(brush: Brush) -> None:
        brush.box(0, 250, WIDTH, 110, (178, 126, 84))
        brush.box(0, 244, WIDTH, 16, (206, 156, 110))
        brush.box(330, 232, 240, 16, (96, 100, 110), radius=6)

    return sprite(WIDTH, HEIGHT, paint)


def _kitchen(at_s: float, mouth: Mouth) -> Image.Image:
    drawn = _kitchen_room().copy()
    stamp(drawn, panda(mouth, chef=True, blinking=_blinking(at_s)), 210, 170 + 3 * math.sin(at_s * 1.3))
    stamp(drawn, _counter(), WIDTH / 2, HEIGHT / 2)
    swing = 46 * math.sin(at_s * 1.9)
    for puff in range(3):
        rise = (at_s * 0.45 + puff / 3) % 1
        stamp(drawn, steam(), 420 + swing + 10 * math.sin(at_s * 2 + puff), 170 - 90 * rise)
    stamp(drawn, pan(int(at_s * 8) % 8 if at_s % 5 < 2 else 0), 450 + swing, 190)
    return drawn


@cache
def _recipe_card() -> Image.Image:
    def paint(brush: Brush) -> None:
        brush.box(70, 24, 500, 258, SNOW, radius=18)
        for x in (180, 320, 460):
            brush.ellipse(x, 210, 46, 14, (226, 226, 220))
        for leaf in range(5):
            angle = -0.9 + 0.45 * leaf
            brush.line([(180, 200), (180 + 70 * math.sin(angle), 200 - 90 * math.cos(angle))], LEAF, 5)
            brush.ellipse(180 + 70 * math.sin(angle), 196 - 90 * math.cos(angle), 18, 26, LEAF)
        for x, y in ((298, 170), (344, 170), (320, 190)):
            brush.ellipse(x, y, 22, 28, (240, 204, 164))
        brush.box(434, 118, 52, 88, (196, 220, 236), radius=10)
        brush.box(438, 104, 44, 18, (110, 120, 132), radius=6)

    return _backdrop(gradient((176, 214, 170), (126, 184, 132)), paint)


def _recipe(_at_s: float, _mouth: Mouth) -> Image.Image:
    return _recipe_card().copy()


def _offer(at_s: float, mouth: Mouth) -> Image.Image:
    glow = 0.5 + 0.5 * math.sin(at_s * 0.7)
    drawn = gradient(blend((190, 30, 40), (230, 90, 30), glow), (250, 190, 60))
    for index in range(12):
        fall = (at_s * (0.16 + 0.03 * (index % 4)) + index * 0.37) % 1
        stamp(drawn, coin(), 40 + index * 51, -40 + fall * (HEIGHT + 20))
    stamp(drawn, panda(mouth, chef=False, blinking=_blinking(at_s)), WIDTH / 2, 180)
    return drawn


@cache
def _board() -> Image.Image:
    def paint(brush: Brush) -> None:
        for row in range(5):
            for column in range(9):
                light = (row + column) % 2
                colour: Colour = (130, 186, 226) if light else (108, 164, 208)
                brush.box(32 + column * 48, 20 + row * 52, 46, 50, colour, radius=6)
        brush.box(480, 20, 140, 260, (58, 66, 104), radius=14)

    return _backdrop(gradient((52, 62, 110), (34, 40, 76)), paint)


def _game(at_s: float, mouth: Mouth) -> Image.Image:
    drawn = _board().copy()
    beaten = at_s % 60 > 24
    stamp(drawn, dragon(beaten), 250 + (0 if beaten else 40 * math.sin(at_s * 0.9)), 130)
    for index, colour in enumerate((RED, GOLD, LEAF, (232, 140, 190), (240, 150, 70))):
        angle = at_s * (0.55 + 0.07 * index) + index * 1.26
        stamp(drawn, blob(colour), 250 + 180 * math.cos(angle), 150 + 100 * math.sin(angle * 1.3))
    left = 0.0 if beaten else 1 - (at_s % 60) / 24
    health = sprite(124, 18, lambda brush: _health(brush, left))
    stamp(drawn, health, 550, 48)
    host = panda(mouth, chef=False, blinking=_blinking(at_s)).resize((119, 161), Image.Resampling.LANCZOS)
    stamp(drawn, host, 550, 190)
    return drawn


def _health(brush: Brush, left: float) -> None:
    brush.box(0, 0, 124, 18, INK, radius=9)
    if left > 0.1:
        brush.box(3, 3, 118 * left, 12, RED, radius=6)


@cache
def _pause_card() -> Image.Image:
    def paint(brush: Brush) -> None:
        brush.ellipse(320, 150, 96, 96, (104, 92, 150))
        brush.arc(372, 152, 24, 22, 250, 110, SNOW, 9)
        brush.box(272, 116, 96, 40, SNOW, radius=6)
        brush.ellipse(320, 156, 48, 40, SNOW)
        brush.box(254, 204, 132, 8, SNOW, radius=4)

    return _backdrop(gradient((72, 62, 118), (44, 38, 78)), paint)


def _pause(_at_s: float, _mouth: Mouth) -> Image.Image:
    return _pause_card().copy()


@cache
def _furniture() -> Image.Image:
    def paint(brush: Brush) -> None:
        brush.box(0, 270, WIDTH, 90, (112, 78, 66))
        brush.box(120, 150, 400, 140, (196, 92, 84), radius=36)
        brush.box(96, 200, 72, 100, (176, 76, 72), radius=26)
        brush.box(472, 200, 72, 100, (176, 76, 72), radius=26)
        brush.box(568, 110, 8, 170, (90, 70, 60))
        brush.shape([(536, 120), (608, 120), (592, 60), (552, 60)], GOLD)
        brush.box(40, 216, 34, 60, (214, 150, 96), radius=6)
        for lean in (-26, 0, 26):
            brush.line([(57, 220), (57 + lean, 160)], LEAF, 5)
            brush.ellipse(57 + lean, 152, 14, 24, LEAF)

    return sprite(WIDTH, HEIGHT, paint)


@cache
def _table() -> Image.Image:
    def paint(brush: Brush) -> None:
        brush.box(150, 266, 340, 94, (150, 108, 78), radius=18)
        brush.box(140, 260, 360, 18, (180, 134, 98), radius=9)
        brush.box(424, 228, 40, 36, SNOW, radius=8)
        brush.arc(466, 244, 10, 10, 270, 90, SNOW, 4)

    return sprite(WIDTH, HEIGHT, paint)


def _sofa(at_s: float, mouth: Mouth) -> Image.Image:
    drift = 0.5 + 0.5 * math.sin(at_s * 0.11)
    drawn = gradient(blend((86, 96, 150), (150, 110, 150), drift), blend((210, 190, 200), (240, 214, 180), drift))
    stamp(drawn, _furniture(), WIDTH / 2, HEIGHT / 2)
    stamp(drawn, panda(mouth, chef=False, blinking=_blinking(at_s)), WIDTH / 2, 185 + 2 * math.sin(at_s))
    stamp(drawn, _table(), WIDTH / 2, HEIGHT / 2)
    return drawn


STAGES: dict[SceneName, Stage] = {
    "opening": _opening,
    "kitchen": _kitchen,
    "recipe": _recipe,
    "offer": _offer,
    "game": _game,
    "pause": _pause,
    "sofa": _sofa,
}
