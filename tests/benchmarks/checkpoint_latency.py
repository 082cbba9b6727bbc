"""How long one checkpoint takes on this machine, and what it holds in memory; one row for its card.

    python -m tests.benchmarks.checkpoint_latency open-nsfw --session torch --batch 8 --threads 1
    python -m tests.benchmarks.checkpoint_latency whisper-base --threads 1 --audio jfk.flac

Prints the fastest of several calls (a shared machine only ever adds time) and the process's peak memory.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import cv2

from pipelines.cards import CARDS_DIRECTORY, Card, read_card
from pipelines.checkpoints import ensure
from pipelines.decode import decode_audio
from pipelines.items import SAMPLE_RATE_HZ, Clip, Item, Line, Picture
from pipelines.kinds import load
from workers.config import load_config

AUDIO_S = 10
LINES = ("主播晚上好，今天做什么菜", "hello everyone, nice to see you again", "¿a qué hora empieza el directo?")


def picture(*, with_text: bool) -> Picture:
    """A photograph of 640 x 427, with two lines of Latin text over it if asked."""
    from sklearn.datasets import load_sample_images

    pixels = load_sample_images().images[0].copy()
    if with_text:
        for row, text in enumerate(("WELCOME TO THE SHOW", "order at the counter")):
            cv2.putText(pixels, text, (40, 120 + 90 * row), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (255, 255, 255), 3)
    return Picture(pixels)


def items_for(card: Card, batch: int, audio: Path | None, *, with_text: bool) -> Sequence[Item]:
    match card.fields.kind:
        case "whisper":
            if audio is None:
                raise SystemExit("a speech checkpoint needs --audio FILE")
            samples = decode_audio(audio.read_bytes(), max_s=AUDIO_S + 60)[: AUDIO_S * SAMPLE_RATE_HZ]
            return [Clip(samples)] * batch
        case "image-classification" | "zero-shot-image-classification" | "screen-text":
            return [picture(with_text=with_text)] * batch
        case _:
            return [Line(LINES[index % len(LINES)]) for index in range(batch)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--session", default="auto")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--calls", type=int, default=8)
    parser.add_argument("--audio", type=Path)
    parser.add_argument("--with-text", action="store_true")
    options = parser.parse_args()
    card = read_card(CARDS_DIRECTORY / options.checkpoint)
    model = load(
        card, ensure(card, load_config().models).folder, session=options.session, device="cpu", threads=options.threads
    )
    model.warm_up()
    items = items_for(card, options.batch, options.audio, with_text=options.with_text)
    times = []
    for _ in range(options.calls):
        started = time.perf_counter()
        model.predict(items)
        times.append(time.perf_counter() - started)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{card.id} {options.session} batch {options.batch} threads {options.threads}: "
        f"{min(times) / options.batch * 1000:.0f} ms an item, peak {memory:.0f} MB"
    )


if __name__ == "__main__":
    main()
