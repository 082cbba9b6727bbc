"""What decoding in a helper costs beside decoding in this process: an ordinary segment, side by side.

`python -m tests.benchmarks.decode_cost --rounds 30` prints both medians and their ratio, and ends with 3 above the bar.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence

from pipelines.decode import InProcess
from pipelines.media import DecodeLimits, Decoder
from tests import hostile
from workers.decoder.contained import Contained

SIDE_PX = 640
FRAMES = 5
SECONDS = 10.0


def segment_s(decoder: Decoder, frames: Sequence[bytes], sound: bytes) -> float:
    """How long the media of the segment take, one after the other."""
    began = time.perf_counter()
    for frame in frames:
        decoder.image(frame, max_side_px=SIDE_PX)
    decoder.audio(sound, max_s=SECONDS + 1)
    return time.perf_counter() - began


def _milliseconds(taken: Sequence[float]) -> str:
    return f"median {1000 * statistics.median(taken):6.1f} ms, best {1000 * min(taken):6.1f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--bar", type=float, default=1.25, help="of the ratio of the medians")
    options = parser.parse_args()
    frames = [hostile.picture() for _ in range(FRAMES)]
    sound = hostile.encoded("flac", "flac", SECONDS, rate=16_000)
    size_kb = (sum(map(len, frames)) + len(sound)) // 1024
    say: Callable[[str], int] = sys.stdout.write
    say(f"{FRAMES} JPEG of 1280 x 720 and {SECONDS:.0f} s of FLAC, {size_kb} KiB, {options.rounds} rounds\n")
    here = InProcess()
    with Contained(DecodeLimits()) as there:
        taken: dict[str, list[float]] = {"in this process": [], "in the helper": []}
        for number in range(options.rounds + 1):
            pair = segment_s(here, frames, sound), segment_s(there, frames, sound)
            if number:  # the first starts the helper
                for times, seconds in zip(taken.values(), pair, strict=True):
                    times.append(seconds)
    for name, times in taken.items():
        say(f"{name:<16} {_milliseconds(times)}\n")
    inside, outside = (statistics.median(times) for times in taken.values())
    say(f"ratio {outside / inside:.2f}, bar {options.bar:.2f}\n")
    return 0 if outside / inside <= options.bar else 3


if __name__ == "__main__":
    sys.exit(main())
