"""What swapping a checkpoint under load promises, shown on a pool of its own; ends with 3 when it does not hold.

    python -m tests.benchmarks.prove_swap --rounds 10 --pause 10 --parts refusals,canary,shadow,rounds,deaths,compare

refusals  a damaged, unsafe or useless checkpoint is refused with one line each, and the old one serves
canary    10 % of 2,000 streams, the same ones in every engine
shadow    records are the same with and without shadows, but for the shadows' own block
rounds    a text and a vision checkpoint promoted and rolled back under full load: nothing lost, failed or mixed;
          throughput around a swap, time to the first record with the new digest, memory after every round
deaths    the engine is killed in the middle of every step and comes up with what the registry says
compare   two text checkpoints that really differ, and the page that shows where

The other checkpoints are the shipped ones with their last bias shifted: as large, as slow, and of another opinion.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.cards import read_card
from pipelines.checkpoints import ensure
from tests.benchmarks import compare_page
from tests.benchmarks.bench import Bench, conclude, place, running, settings
from tests.benchmarks.changed_checkpoints import with_other
from tests.benchmarks.swap_deaths import prove_deaths
from tests.benchmarks.swap_refusals import LIMIT_MB, prove_refusals
from tests.benchmarks.swap_rounds import prove_rounds
from tests.benchmarks.swap_streams import prove_canary, prove_shadow
from workers.config import Config

PARTS = ("refusals", "canary", "shadow", "rounds", "deaths", "compare")
TEXT, VISION = "text.risk", "vision.nudity"
PATIENCE_S = 250.0
"""Lanes that are never empty, and an engine that is killed, have segments wait: that thins them is another's proof."""


def prepared(directory: Path) -> tuple[Config, dict[str, str]]:
    """Settings with the shipped checkpoints in the slots and another of each at hand; slot -> the other."""
    shipped = settings(directory)
    both = with_other(with_other(shipped, TEXT, directory / "text"), VISION, directory / "both")
    for filling in shipped.slots.values():
        folder = both.models / filling.checkpoint
        if not folder.exists():
            card = read_card(shipped.cards_directory / filling.checkpoint)
            folder.symlink_to(ensure(card, shipped.models).folder)
    others = {slot: both.slots[slot].checkpoint for slot in (TEXT, VISION)}
    engine = shipped.engine.model_copy(update={"memory_limit_mb": LIMIT_MB})
    overload = shipped.overload.model_copy(update={"thin_after_s": PATIENCE_S})
    return both.model_copy(update={"slots": shipped.slots, "engine": engine, "overload": overload}), others


def prove(options: argparse.Namespace, directory: Path) -> Iterator[str]:
    """Prints what is measured and yields what is not as it must be."""
    parts = frozenset(options.parts.split(","))
    config, others = prepared(directory)
    if parts - {"compare"}:
        with running(config, concurrency=options.concurrency) as bench:
            yield from _on_a_pool(bench, others, parts, options)
    if "compare" in parts:
        yield from compare_page.run(settings(directory), options.out)


def _on_a_pool(
    bench: Bench, others: dict[str, str], parts: frozenset[str], options: argparse.Namespace
) -> Iterator[str]:
    if "refusals" in parts:
        yield from prove_refusals(bench)
    if "canary" in parts:
        yield from prove_canary(bench, TEXT, others[TEXT])
    if not parts & {"shadow", "rounds", "deaths"}:
        return
    corpus = bench.corpus(limit=options.corpus)
    if "shadow" in parts:
        yield from prove_shadow(bench, corpus, others)
    if "rounds" in parts:
        yield from prove_rounds(bench, corpus, others, rounds=options.rounds, pause_s=options.pause)
    if "deaths" in parts:
        yield from prove_deaths(bench, corpus, TEXT, others[TEXT])


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="of two promotions and two rollbacks")
    parser.add_argument("--pause", type=float, default=10, help="seconds between one swap's ten and the next's")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--corpus", type=int, default=30, help="segments of the bundled stream")
    parser.add_argument("--concurrency", type=int, default=2)
    out = Path(tempfile.gettempdir()) / "liverisk-compare"
    parser.add_argument("--out", type=Path, default=out, help="where the comparison's page goes")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts.split(",")) - set(PARTS):
        parser.error(f"no part {sorted(unknown)[0]}; there are {', '.join(PARTS)}")
    return options


def main() -> None:
    options = _options()
    with place("swap") as directory:
        wrong = list(prove(options, directory))
    conclude(wrong)


if __name__ == "__main__":
    main()
