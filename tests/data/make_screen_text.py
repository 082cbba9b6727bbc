"""Draws what scam text on a stream looks like, for the tests of the text reader.

    python tests/data/make_screen_text.py CHINESE_FONT LATIN_FONT

Both are TrueType fonts, the first with Chinese characters. The pictures are committed, so that the tests need no font.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

LINES = ("加微信领红包", "每天赚三千元", "Telegram 8888")
COLUMN, HOLLOW, STACKED, UPWARDS = "加微信领红包", "全场五折", "VX688", "add me on telegram"
TICKER = "本直播间只送不卖关注主播加微信领取红包福利先到先得明天继续"
EDGE = (40, 20, 20)
"""Of white letters: what keeps them legible on any ground."""


def ground() -> Image.Image:
    """A soft gradient, 640 x 360."""
    return Image.linear_gradient("L").resize((640, 360)).point(lambda grey: 40 + grey // 3).convert("RGB")


def lines(chinese: str) -> Image.Image:
    """White letters with a dark edge."""
    picture, font = ground(), ImageFont.truetype(chinese, 44)
    drawing = ImageDraw.Draw(picture)
    for number, line in enumerate(LINES):
        drawing.text((60, 50 + 90 * number), line, font=font, fill="white", stroke_width=3, stroke_fill=EDGE)
    return picture


def columns(chinese: str, latin: str) -> Image.Image:
    """A column with space between its characters, Latin letters on one another, a line that runs upwards, and a
    line of outlines with nothing in them."""
    picture = ground()
    drawing = ImageDraw.Draw(picture)
    font = ImageFont.truetype(chinese, 30)
    for number, character in enumerate(COLUMN):
        drawing.text((60, 30 + 44 * number), character, font=font, fill="white", stroke_width=2, stroke_fill=EDGE)
    for number, letter in enumerate(STACKED):
        drawing.text((200, 30 + 42 * number), letter, font=ImageFont.truetype(latin, 36), fill="white")
    font = ImageFont.truetype(latin, 24)
    strip = Image.new("RGBA", (round(font.getlength(UPWARDS)) + 8, 40))
    ImageDraw.Draw(strip).text((4, 4), UPWARDS, font=font, fill="white", stroke_width=2, stroke_fill=EDGE)
    strip = strip.rotate(90, expand=True)
    picture.paste(strip, (300, 20), strip)
    font = ImageFont.truetype(chinese, 48)
    drawing.text((390, 140), HOLLOW, font=font, fill=(80, 80, 80), stroke_width=2, stroke_fill="white")
    return picture


def ticker(chinese: str) -> Image.Image:
    """A strip as long as its text and two screens; a test shows 640 pixels of it at a time."""
    font = ImageFont.truetype(chinese, 40)
    strip = Image.new("L", (round(font.getlength(TICKER)) + 640, 64), 40)
    ImageDraw.Draw(strip).text((0, 8), TICKER, font=font, fill=240)
    return strip


def main(chinese: str, latin: str) -> None:
    here = Path(__file__)
    lines(chinese).quantize(32).save(here.with_name("screen_text.png"), optimize=True)
    columns(chinese, latin).quantize(32).save(here.with_name("screen_columns.png"), optimize=True)
    ticker(chinese).quantize(8).save(here.with_name("screen_ticker.png"), optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
