"""What decoding in a helper costs beside decoding in this process: an ordinary segment, side by side.

`python -m tests.benchmarks.decode_cost --rounds 30` prints what both take of the clock and of processors, and ends with
3 when the ratio of processor time is above the bar: on a busy machine the clock says more of the machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil

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


@dataclass
class Side:
    """One way to decode: seconds of each round, and processor time of all in both processes."""

    name: str
    decoder: Decoder
    clock: list[float] = field(default_factory=list)
    processor_s: float = 0.0

    def measure(self, frames: Sequence[bytes], sound: bytes, helper: int) -> None:
        before = _processor_s(helper)
        self.clock.append(segment_s(self.decoder, frames, sound))
        self.processor_s += _processor_s(helper) - before

    def line(self) -> str:
        clock = f"median {1000 * statistics.median(self.clock):6.1f} ms, best {1000 * min(self.clock):6.1f} ms"
        return f"{self.name:<16} {clock}, processor {1000 * self.processor_s / len(self.clock):6.1f} ms a segment\n"


def _processor_s(helper: int) -> float:
    """Of this process and the helper. The kernel counts the helper's by hundredths; over rounds that evens out."""
    there = psutil.Process(helper).cpu_times()
    return time.process_time() + there.user + there.system


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--bar", type=float, default=1.2, help="of the ratio of processor time")
    options = parser.parse_args()
    frames = [hostile.picture() for _ in range(FRAMES)]
    sound = hostile.encoded("flac", "flac", SECONDS, rate=16_000)
    size_kb = (sum(map(len, frames)) + len(sound)) // 1024
    say: Callable[[str], int] = sys.stdout.write
    say(f"{FRAMES} JPEG of 1280 x 720 and {SECONDS:.0f} s of FLAC, {size_kb} KiB, {options.rounds} rounds\n")
    here = InProcess()
    with Contained(DecodeLimits()) as there:
        segment_s(there, frames, sound)  # starts the helper
        sides = Side("in this process", here), Side("in the helper", there)
        for _ in range(options.rounds):
            for side in sides:
                side.measure(frames, sound, there.pid or 0)
    for side in sides:
        say(side.line())
    inside, outside = (statistics.median(side.clock) for side in sides)
    ratio = sides[1].processor_s / sides[0].processor_s
    say(f"ratio of the clock {outside / inside:.2f}, of processor time {ratio:.2f}, bar {options.bar:.2f}\n")
    return 0 if ratio <= options.bar else 3


if __name__ == "__main__":
    sys.exit(main())
