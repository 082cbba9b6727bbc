"""Breaks a pool again and again under load, and counts what became of every segment; ends with 3 when one is lost.

    python -m tests.benchmarks.prove_chaos --minutes 30 --seed 7 --broker valkey

Children, workers, engine, broker and store are killed, the network between them is cut, parted and made mute, workers
are paused; meanwhile segments come twice, late and out of order, and some of them are poison. Afterwards every segment
must have one record, or one entry in quarantine with the right reason, poison alone may be there, and no process,
message or file may be left. The same seed draws the same segments and the same faults, which are printed beforehand.
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.benchmarks import chaos_after
from tests.benchmarks.bench import conclude, place, say
from tests.benchmarks.chaos_after import Found
from tests.benchmarks.chaos_faults import KINDS, OFTEN, RABBIT_KINDS, Fault, Faults, drawn
from tests.benchmarks.chaos_load import Load
from tests.benchmarks.chaos_pool import ChaosPool, chaos_pool
from tests.benchmarks.chaos_segments import Sent
from tests.conftest import wait_for
from tests.rabbitmq import RabbitMQ
from workers.broker.connecting import AWAY, BrokerError
from workers.stack.services import Services

STEP_S = 0.1
TELL_S = 30.0
QUIET_S = 8.0
"""What has not ended when the broker has had nothing for so long is lost."""
CALM_S = 900.0
"""A pool that has not come to rest by then never does."""


@dataclass(frozen=True)
class Outcome:
    """What is to be told after a run. `left` are messages, by where; `orphans` and `files` what their names say."""

    sent: Mapping[str, Sent]
    messages: int
    refused: Counter[str]
    faults: Counter[str]
    ended: Counter[str]
    found: Found
    calm_s: float
    left: Mapping[str, int]
    orphans: Sequence[str]
    files: Sequence[str]

    def wrong(self, most_starts: int) -> Iterator[str]:
        """Everything that is not as it must be, a line each."""
        yield from chaos_after.wrong(self.found, self.sent, most_starts)
        yield from (f"orphan process {orphan}" for orphan in self.orphans)
        yield from (f"{count} messages left in {name}" for name, count in self.left.items())
        yield from (f"file left: {name}" for name in self.files)


def prove(pool: ChaosPool, faults: Sequence[Fault], load: Load) -> Outcome:
    """Sends and breaks until both are over, lets the pool come to rest, stops it, and looks at what there is."""
    before = pool.files()
    acting = Faults(pool, faults)
    load.start()
    try:
        _break(pool, acting, load)
    finally:
        acting.end()
        load.stop()
    calm_s = _calm(pool, load)
    load.close()
    left, orphans = pool.messages(), pool.orphans()
    found = chaos_after.found(pool.storage, load.sent)
    pool.stop()
    with suppress(AssertionError):
        wait_for(lambda: not pool.processes(), "no process is left")
    orphans += [f"{process.pid}, which outlives the pool" for process in pool.processes()]
    files = sorted(pool.files() - before)
    return Outcome(load.sent, load.messages, load.refused, acting.done, pool.ended, found, calm_s, left, orphans, files)


def _break(pool: ChaosPool, acting: Faults, load: Load) -> None:
    began = told = time.monotonic()
    while not acting.over() or (load.limited and not load.over()):
        acting.step()
        pool.tend()
        if time.monotonic() - told > TELL_S:
            told = time.monotonic()
            say(f"  {told - began:7.1f} s  {len(load.sent)} segments sent, {len(load.open)} of them under way")
        load.check()
        time.sleep(STEP_S)


def _calm(pool: ChaosPool, load: Load) -> float:
    """Seconds until every segment has ended and no message is left, or the rest is lost."""
    began = busy_at = time.monotonic()
    while True:
        pool.tend()
        now, idle = time.monotonic(), load.over() and _settled(pool)
        if not idle:
            busy_at = now
        if (idle and not load.open) or now - busy_at > QUIET_S or now - began > CALM_S:
            return now - began
        load.check()
        time.sleep(STEP_S)


def _settled(pool: ChaosPool) -> bool:
    with suppress(redis.RedisError, BrokerError, *AWAY):
        return pool.settled()
    return False


def report(outcome: Outcome) -> None:
    """The counts."""
    found, kinds = outcome.found, Counter(one.kind for one in outcome.sent.values())
    starts = Counter(f"by start {record.processing.attempt}" for record in found.records.values())
    say(f"segments   {len(outcome.sent)} sent in {outcome.messages} messages: {_told(kinds)}")
    say(f"           refused while something was away, and sent again: {_told(outcome.refused)}")
    say(f"faults     {outcome.faults.total()}: {_told(outcome.faults)}")
    say(f"workers    ended by themselves: {_told(outcome.ended)}")
    say(f"records    {len(found.records)}: {_told(starts)}")
    say(f"           not examined, as it was not there to be: {_told(found.said)}")
    say(f"           not examined, although it was there: {_told(found.unexamined)}")
    say(f"quarantine {len(found.entries)}: {_told(found.reasons)}")
    say(f"rest       {outcome.calm_s:.0f} s after the last fault; left: {sum(outcome.left.values())} messages,")
    say(f"           {len(outcome.orphans)} orphan processes, {len(outcome.files)} files")


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in sorted(counts)) or "none"


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="so long things go wrong")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--every", type=float, default=8, help="seconds between two faults, on average")
    parser.add_argument("--outstanding", type=int, default=16, help="segments under way at a time")
    parser.add_argument("--deadline", type=int, default=20, help="of a segment, in seconds; other limits follow it")
    parser.add_argument("--broker", choices=("valkey", "rabbitmq"), default="valkey")
    parser.add_argument("--directory", type=Path, help="where logs and state stay; default: a temporary one")
    return parser.parse_args(arguments)


def main() -> None:
    options = _options()
    rabbit = options.broker == "rabbitmq"
    kinds = (*(RABBIT_KINDS if rabbit else KINDS), *OFTEN)
    faults = drawn(options.seed, kinds, every_s=options.every, length_s=60 * options.minutes)
    say(f"seed {options.seed}, {options.broker}: {len(faults)} faults")
    for fault in faults:
        say(f"  {fault}")
    with ExitStack() as stack:
        directory = options.directory or stack.enter_context(place("chaos"))
        services = stack.enter_context(Services(directory / "services"))
        rabbitmq = _rabbitmq(stack, directory / "rabbitmq") if rabbit else None
        pool = stack.enter_context(chaos_pool(services, directory / "pool", rabbitmq, deadline_s=options.deadline))
        outcome = prove(pool, faults, Load(pool, options.seed, outstanding=options.outstanding))
    report(outcome)
    conclude(list(outcome.wrong(pool.config.worker.max_attempts)))


def _rabbitmq(stack: ExitStack, directory: Path) -> RabbitMQ:
    server = RabbitMQ(directory, password=uuid.uuid4().hex)
    stack.callback(server.stop)
    server.start()
    return server


if __name__ == "__main__":
    main()
