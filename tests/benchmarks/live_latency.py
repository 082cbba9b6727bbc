"""How long after a live segment's end its record is there: a pool of its own, one stream at its own speed.

    python -m tests.benchmarks.live_latency --seconds 90

Paces the bundled stream (video, speech, on-screen text, chat) as if it were live and prints what the pool's
records say of themselves. Ends with 3 when the 95th percentile is above the limit.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from pipelines.record import Record
from tests.recordings import ffmpeg
from workers.config import load_config
from workers.demo.programme import CHAT_FILE, STREAM_FILE
from workers.publish import Publisher
from workers.records import read_record, record_keys
from workers.sampler.run import Order, sample
from workers.stack.pool import LocalPool
from workers.storage import Storage
from workers.verdicts.latency import Latency, latency

STREAM_ID = "live-latency"
LIMIT_S = 5.0
PATIENCE_S = 120


def measure(directory: Path, *, seconds: int, concurrency: int) -> list[Record]:
    """The records of one paced stream, in order. `SystemExit` when some are missing long after its end."""
    source = directory / "stream.mp4"
    ffmpeg("-i", STREAM_FILE, "-t", f"{seconds}", "-c", "copy", source)
    config = load_config().model_copy(update={"state_directory": directory / "state"})
    order = Order(str(source), STREAM_ID, follow=True, chat=CHAT_FILE)
    with LocalPool(config, concurrency=concurrency, report=print) as pool, Publisher(pool.config) as publisher:
        storage = Storage(pool.config.store)
        print(f"playing {seconds} s at their own speed; load average {os.getloadavg()[0]:.1f}")
        summary = sample(
            order,
            config=pool.config,
            storage=storage,
            publisher=publisher,
            report=lambda report: print(f"  queued {report.segment_id}"),
            stop=threading.Event(),
        )
        return _records(storage, summary.segments)


def _records(storage: Storage, expected: int) -> list[Record]:
    deadline = time.monotonic() + PATIENCE_S
    while len(keys := list(record_keys(storage, stream_id=STREAM_ID))) < expected:
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(keys)} of {expected} segments have a record {PATIENCE_S} s after the end")
        time.sleep(0.2)
    return [read_record(storage, key) for key in keys]


def report(records: Sequence[Record], found: Latency) -> None:
    """Latency of each segment, both percentiles, and where the time went."""
    for record in records:
        processing = record.processing
        worked_s = (processing.finished_at - processing.started_at).total_seconds()
        lacking = [name for name, seen in record.observations.coverage.items() if seen.status != "examined"]
        print(
            f"  {record.segment_id}  {processing.latency_s:.2f} s after its end, of which {worked_s:.2f} s of work"
            + (f"; not wholly examined: {', '.join(lacking)}" if lacking else "")
        )
    print(f"{len(records)} segments; segment end to record p50 {found.p50:.2f} s, p95 {found.p95:.2f} s")
    stages = {stage for record in records for stage in record.processing.stage_ms}
    means = {stage: mean(record.processing.stage_ms.get(stage, 0.0) for record in records) for stage in stages}
    print(
        "mean ms a segment: "
        + ", ".join(f"{stage} {means[stage]:.0f}" for stage in sorted(means, key=means.__getitem__))
    )
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=90)
    parser.add_argument("--concurrency", type=int, default=2)
    options = parser.parse_args()
    # Not below a deep directory: socket paths must stay short.
    with tempfile.TemporaryDirectory(prefix="liverisk-latency-") as directory:
        records = measure(Path(directory), seconds=options.seconds, concurrency=options.concurrency)
    found = latency(record.processing.latency_s for record in records)
    if found is None:
        raise SystemExit("the stream was too short for a segment")
    report(records, found)
    sys.exit(3 if found.p95 > LIMIT_S else 0)


if __name__ == "__main__":
    main()
