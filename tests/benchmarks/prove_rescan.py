"""What bulk rescans promise, shown on a pool of its own; ends with 3 when one of them does not hold.

    python -m tests.benchmarks.prove_rescan --segments 304 --parts control,apply,kill,growth,costs

control  pausing stops within one segment a slot, cancelling leaves no message
apply    applying a rescan and undoing it change the current verdicts and nothing else
kill     killing feeder, worker and broker loses nothing and does nothing twice
growth   fusing anew costs the same for each of 100, 1,000 and 10,000 segments, and the feeder's memory is flat
costs    what a change of policies, text model or vision model costs beside everything anew, and what dry runs say
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks.bench import Bench, conclude, milder, place, running, settings
from tests.benchmarks.changed_checkpoints import with_other
from tests.benchmarks.corpus import Corpus, slot_of, store
from tests.benchmarks.rescan_control import apply_and_undo, hold_and_cancel
from tests.benchmarks.rescan_costs import Cost, cost, report, shortfalls
from tests.benchmarks.rescan_deaths import survive
from tests.benchmarks.rescan_growth import grow
from workers.runs.planning import RescanOrder
from workers.runs.selection import Selection
from workers.verdicts.tables import compact

PARTS = ("control", "apply", "kill", "growth", "costs")
APPLY_SEGMENTS = 76


class Proof:
    """One pool's state directory, the corpus in it, and what was asked for."""

    def __init__(self, directory: Path, options: argparse.Namespace) -> None:
        self._directory = directory
        self._options = options
        self._config = settings(directory)
        self._parts: frozenset[str] = frozenset(options.parts.split(","))

    def run(self) -> Iterator[str]:
        """Prints what is measured and yields what is not as it must be."""
        with running(self._config, concurrency=self._options.concurrency) as bench:
            corpus = bench.corpus(limit=self._options.corpus)
            for name, part in (("control", self._control), ("apply", self._apply), ("kill", self._kill)):
                if name in self._parts:
                    yield from part(bench, corpus)
            if "growth" in self._parts:
                yield from self._growth(bench, corpus)
            if "costs" in self._parts:
                count = self._options.full_segments or self._options.segments
                full = self._cost(bench, "full", RescanOrder(self._copied(bench, corpus, "full", count), full=True))
                room = self._copied(bench, corpus, "room", self._options.segments)
                costs = [self._cost(bench, "policy", RescanOrder(room, policies=milder(bench.config)))]
        if "costs" in self._parts:
            slots = {kind: slot_of(corpus.records, kind) for kind in ("text", "vision")}
            costs += [self._swapped(kind, slot, room) for kind, slot in slots.items()]
            costs.append(full)
            report(costs)
            yield from shortfalls(costs)

    def _control(self, bench: Bench, corpus: Corpus) -> Iterator[str]:
        """Once where models run for every segment, once where a batch is only fused."""
        text = self._copied(bench, corpus, "hold", self._options.segments, other=slot_of(corpus.records, "text"))
        yield from hold_and_cancel(bench, "text", RescanOrder(text))
        fused = self._copied(bench, corpus, "fuse", 4 * self._options.segments)
        yield from hold_and_cancel(bench, "policy", RescanOrder(fused, policies=milder(bench.config)))

    def _apply(self, bench: Bench, corpus: Corpus) -> Iterator[str]:
        wanted = self._copied(bench, corpus, "apply", APPLY_SEGMENTS)
        yield from apply_and_undo(bench, RescanOrder(wanted, policies=milder(bench.config)))

    def _kill(self, bench: Bench, corpus: Corpus) -> Iterator[str]:
        wanted = self._copied(bench, corpus, "kill", self._options.segments, other=slot_of(corpus.records, "text"))
        yield from survive(bench, RescanOrder(wanted))

    def _growth(self, bench: Bench, corpus: Corpus) -> Iterator[str]:
        def order(size: int) -> RescanOrder:
            return RescanOrder(chosen[size], policies=milder(bench.config))

        sizes = [int(size) for size in self._options.growth.split(",")]
        chosen = {size: self._copied(bench, corpus, f"grow{size}", size) for size in (1, *sizes)}
        yield from grow(bench, sizes, order)

    def _swapped(self, kind: str, slot: str, wanted: Selection) -> Cost:
        """The pool is started anew with another checkpoint in the slot, over the same records."""
        config = with_other(self._config, slot, self._directory / kind)
        with running(config, concurrency=self._options.concurrency) as bench:
            return self._cost(bench, kind, RescanOrder(wanted))

    def _cost(self, bench: Bench, name: str, order: RescanOrder) -> Cost:
        return cost(bench, name, order, sample=self._options.sample)

    def _copied(self, bench: Bench, corpus: Corpus, prefix: str, count: int, *, other: str | None = None) -> Selection:
        """So many segments, stored and in the tables, and how to select them."""
        store(bench.storage, corpus.copies(prefix, count, other=other))
        compact(bench.storage)
        return Selection(streams=corpus.streams(prefix, count))


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=304, help="segments of each rescan")
    parser.add_argument("--full-segments", type=int, help="of the one that runs everything anew; default: as many")
    parser.add_argument("--growth", default="100,1000,10000", help="sizes of the rescans that only fuse anew")
    parser.add_argument("--sample", type=int, default=20, help="segments that a dry run tries")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--corpus", type=int, help="segments of the bundled stream; default: all")
    parser.add_argument("--concurrency", type=int, default=2)
    options = parser.parse_args(arguments)
    if unknown := set(options.parts.split(",")) - set(PARTS):
        parser.error(f"no part {sorted(unknown)[0]}; there are {', '.join(PARTS)}")
    return options


def main() -> None:
    options = _options()
    with place("rescan") as directory:
        wrong = list(Proof(directory, options).run())
    conclude(wrong)


if __name__ == "__main__":
    main()
