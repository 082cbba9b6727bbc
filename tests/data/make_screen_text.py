"""Draws `screen_text.png`: what a scam banner on a stream looks like, for the test of the text reader.

    python tests/data/make_screen_text.py FONT

FONT is any TrueType font with Chinese characters. The picture is committed, so that the test needs no font.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

LINES = ("加微信领红包", "每天赚三千元", "Telegram 8888")


def main(font_file: str) -> None:
    """White letters with a dark edge on a soft gradient, 640 x 360."""
    picture = Image.linear_gradient("L").resize((640, 360)).point(lambda grey: 40 + grey // 3).convert("RGB")
    font = ImageFont.truetype(font_file, 44)
    drawing = ImageDraw.Draw(picture)
    for number, line in enumerate(LINES):
        drawing.text((60, 50 + 90 * number), line, font=font, fill="white", stroke_width=3, stroke_fill=(40, 20, 20))
    picture.quantize(32).save(Path(__file__).with_name("screen_text.png"), optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
