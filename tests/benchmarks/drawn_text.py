"""How well a text reader reads drawn text, by the way it is drawn: character error rates for its card.

    python -m tests.benchmarks.drawn_text pp-ocrv6 --chinese FONT --latin FONT

Each of eight texts is drawn in every style on a gradient and on two photographs, 640 x 360. Drawn text is easier than
what cameras and encoders leave of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
from jiwer import cer
from PIL import Image, ImageDraw, ImageFont

from pipelines.cards import CARDS_DIRECTORY, read_card
from pipelines.checkpoints import ensure
from pipelines.items import Picture, ScreenText
from pipelines.kinds import load
from workers.config import load_config

CHINESE = (
    "加微信领红包",
    "全场五折包邮",
    "每天稳赚三千元",
    "代开发票联系老板",
    "今晚八点抽奖",
    "关注主播不迷路",
    "新款手机壳",
    "谢谢大家",
)
LATIN = (
    "add me on telegram",
    "WhatsApp 5551234",
    "free spins today",
    "SALE 50% OFF",
    "join my channel",
    "VODKA",
    "welcome",
    "good night all",
)
EDGE = (40, 20, 20)

Draw = Callable[[Image.Image, str, str], None]
"""Onto a picture: a text in a font file."""


def line(picture: Image.Image, text: str, font: str, *, px: int = 36, **style: object) -> None:
    face = ImageFont.truetype(font, px)
    look = {"fill": "white", "stroke_width": 2, "stroke_fill": EDGE, **style}
    ImageDraw.Draw(picture).text((40, 150), text, font=face, **look)  # type: ignore[arg-type]


def column(picture: Image.Image, text: str, font: str, *, px: int = 32, apart: float = 1.1) -> None:
    face = ImageFont.truetype(font, px)
    for number, character in enumerate(text):
        place = (120, 10 + round(number * px * apart))
        ImageDraw.Draw(picture).text(place, character, font=face, fill="white", stroke_width=2, stroke_fill=EDGE)


def turned(picture: Image.Image, text: str, font: str, *, degrees: float) -> None:
    face = ImageFont.truetype(font, 26)
    strip = Image.new("RGBA", (round(face.getlength(text)) + 8, 42))
    ImageDraw.Draw(strip).text((4, 4), text, font=face, fill="white", stroke_width=2, stroke_fill=EDGE)
    strip = strip.rotate(degrees, expand=True, resample=Image.Resampling.BICUBIC)
    picture.paste(strip, (150, 8), strip)


STYLES: dict[str, Draw] = {
    "outlined, 36 px": line,
    "plain, 20 px": lambda picture, text, font: line(picture, text, font, px=20, stroke_width=0),
    "plain, 12 px": lambda picture, text, font: line(picture, text, font, px=12, stroke_width=0),
    "hollow, 36 px": lambda picture, text, font: line(picture, text, font, fill=None, stroke_fill="white"),
    "column": column,
    "column, wide apart": lambda picture, text, font: column(picture, text, font, px=24, apart=1.7),
    "on its side, downwards": lambda picture, text, font: turned(picture, text, font, degrees=-90),
    "on its side, upwards": lambda picture, text, font: turned(picture, text, font, degrees=90),
    "leaning 15 degrees": lambda picture, text, font: turned(picture, text, font, degrees=15),
}


@cache
def grounds() -> tuple[Image.Image, ...]:
    """A gradient, and two photographs at half their brightness: white letters on a white sky are nobody's to read."""
    from sklearn.datasets import load_sample_images

    gradient = Image.linear_gradient("L").resize((640, 360)).point(lambda grey: 40 + grey // 3).convert("RGB")
    photographs = [Image.fromarray(pixels // 2).resize((640, 360)) for pixels in load_sample_images().images]
    return gradient, *photographs


def drawn(draw: Draw, texts: tuple[str, ...], font: str) -> Iterator[tuple[str, Picture]]:
    for ground in grounds():
        for text in texts:
            picture = ground.copy()
            draw(picture, text, font)
            yield text, Picture(np.asarray(picture))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--chinese", required=True)
    parser.add_argument("--latin", required=True)
    given = parser.parse_args()
    card = read_card(CARDS_DIRECTORY / given.checkpoint)
    model = load(card, ensure(card, load_config().models).folder, session="onnx", device="cpu", threads=1)
    print(f"{'style':26} {'Chinese':>12} {'Latin':>12}   character error rate (texts read exactly)")
    for name, draw in STYLES.items():
        cells = []
        for texts, font in ((CHINESE, given.chinese), (LATIN, given.latin)):
            pairs = []
            for text, picture in drawn(draw, fitting(texts, name), font):
                (found,) = model.predict([picture])
                lines = found.lines if isinstance(found, ScreenText) else ()
                pairs.append((bare(text), bare("".join(one.text for one in lines))))
            exact = sum(said == heard for said, heard in pairs)
            rate = cer([said for said, _ in pairs], [heard for _, heard in pairs])
            cells.append(f"{rate:.3f} ({exact}/{len(pairs)})")
        print(f"{name:26} {cells[0]:>12} {cells[1]:>12}", flush=True)


def fitting(texts: Sequence[str], style: str) -> tuple[str, ...]:
    """Columns hold eight characters."""
    return tuple(text[:8].strip() if style.startswith("column") else text for text in texts)


def bare(text: str) -> str:
    """Without spaces and case, which say little of a reader and much of a font."""
    return "".join(text.split()).casefold()


if __name__ == "__main__":
    main()
