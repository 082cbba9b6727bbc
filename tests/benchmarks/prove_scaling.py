"""Whether the simulation that docs/scaling.md rests on tells what the real pool does; ends with 3 when it is far off.

    python -m tests.benchmarks.prove_scaling --segments 60 --loads 30,60,85

One real pool examines busy segments one at a time, which gives the simulation what a segment costs; then as fast as it
can, and at three loads. The simulation gets the same segments at the same moments.
"""

from __future__ import annotations

import argparse
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.manifest import SegmentManifest
from pipelines.speech.whisper import side_by_side
from tests.benchmarks.bench import conclude, place, say, settings
from workers.bench.compare import arrivals
from workers.bench.corpus import SEGMENT_S, Corpus, write_corpus
from workers.bench.growth import WARM_UP
from workers.bench.pool import Pool, RunningPool
from workers.bench.report import percentile
from workers.bench.simulation import Demand, Host, fitted, simulate
from workers.bench.tables import table
from workers.fetch import media_keys
from workers.records import canonical

OURS = ("lrange", "info")
"""What looks on sends."""
FAR = 0.3
"""The simulation may be off by so much of what was measured."""


@dataclass(frozen=True)
class Row:
    what: str
    measured: float
    predicted: float

    @property
    def off(self) -> float:
        return self.predicted / self.measured - 1


def copies(corpus: Corpus, count: int) -> list[SegmentManifest]:
    return corpus.copies("busy", count, uuid.uuid4().hex[:8])


def costs(running: RunningPool, corpus: Corpus, host: Host, count: int) -> list[Demand]:
    """Of each distinct segment, from the record that was made of it when it was alone."""
    found = []
    for segment in copies(corpus, count):
        took_s = running.play([segment], [0.0])[0]
        record = running.records([segment])[0]
        found.append(fitted(host, record.processing.stage_ms, took_s))
    return found


def compared(running: RunningPool, corpus: Corpus, host: Host, options: argparse.Namespace) -> Iterator[Row]:
    demands = costs(running, corpus, host, options.distinct)
    count: int = options.segments
    own = [demands[index % len(demands)] for index in range(count)]
    took_s = max(running.play(copies(corpus, count), [0.0] * count))
    predicted_s = max(simulate(host, own, [0.0] * count))
    yield Row("throughput, stream s/s", count * SEGMENT_S / took_s, count * SEGMENT_S / predicted_s)
    for load in map(float, options.loads.split(",")):
        at_s = arrivals(count, took_s / count / (load / 100), (options.seed, round(load)))
        real = late(running.play(copies(corpus, count), at_s), at_s)
        ideal = late(simulate(host, own, at_s), at_s)
        for share in (0.5, 0.95):
            yield Row(f"p{share * 100:.0f} at {load:.0f} % load, s", _reached(real, share), _reached(ideal, share))


def operations(running: RunningPool, corpus: Corpus, count: int) -> Iterator[str]:
    """Commands to the broker, objects and bytes of a segment: what docs/scaling.md multiplies."""
    before = commands(running)
    segments = copies(corpus, count)
    running.play(segments, [0.0] * count)
    sent = {name: number - before.get(name, 0) for name, number in commands(running).items() if name not in OURS}
    yield f"broker: {sum(sent.values()) / count:.1f} commands a segment"
    named = {key for segment in segments for key in media_keys(segment)}
    media = sum(len(corpus.objects[key]) for key in named) / len({segment.segment_id for segment in segments})
    records = sum(len(canonical(record)) for record in running.records(segments)) / count
    yield f"store: {media / 1e6:.2f} MB of media a segment, {records / 1e3:.1f} kB of record"


def commands(running: RunningPool) -> dict[str, int]:
    """How often the broker was sent each command so far."""
    told = running.client.info("commandstats")
    assert isinstance(told, dict)
    return {name.removeprefix("cmdstat_"): int(said["calls"]) for name, said in told.items()}


def late(moments: Sequence[float], at_s: Sequence[float]) -> list[float]:
    return [end - start for end, start in zip(moments, at_s, strict=True)]


def _reached(values: Sequence[float], share: float) -> float:
    reached = percentile(values, share)
    assert reached is not None
    return reached


def report(rows: Sequence[Row]) -> Iterator[str]:
    """Prints the table and yields what is too far off."""
    lines = ([row.what, f"{row.measured:.2f}", f"{row.predicted:.2f}", f"{row.off:+.0%}"] for row in rows)
    for line in table(["", "measured", "predicted", "off"], lines):
        say(line)
    yield from (f"{row.what}: off by {row.off:+.0%}" for row in rows if abs(row.off) > FAR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=60)
    parser.add_argument("--distinct", type=int, default=12)
    parser.add_argument("--loads", default="30,60,85", help="per cent of the throughput that was measured")
    parser.add_argument("--children", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    with place("scaling") as directory:
        corpus = write_corpus(directory / "corpus", options.distinct, options.seed, ("busy",))
        cores = os.cpu_count() or 1
        host = Host(cores=cores, children=options.children, hearing=side_by_side(max(1, cores // 2)))
        with Pool(settings(directory), corpus, options.children, ahead=10**6).start() as running:
            running.play(copies(corpus, WARM_UP), [0.0] * WARM_UP)
            for line in operations(running, corpus, options.distinct):
                say(line)
            rows = list(compared(running, corpus, host, options))
    conclude(list(report(rows)))


if __name__ == "__main__":
    main()
