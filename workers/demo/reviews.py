"""The deep reviews that the demo's findings ask for by themselves: carried to their ends, and what they found.

They are planned once every live record is there: the demo's stream is over long before its segments are examined.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pipelines.record import Record
from workers.broker.queues import open_queues
from workers.config import Config
from workers.records import read_records, record_keys
from workers.runs.feeder import Feeder
from workers.runs.packet import page_key, read_packet
from workers.runs.progress import progress
from workers.runs.reviewed import Packet
from workers.runs.run import Progress
from workers.runs.store import Runs
from workers.storage import Storage

TICK_S = 0.5


class ReviewStalled(Exception):
    """A review does not get on; one line."""


def carry_reviews(
    config: Config, *, tend: Callable[[], None], tell: Callable[[Progress], None], stalled_s: float
) -> tuple[str, ...]:
    """Plans and feeds every review that was asked for, until all are over; their runs, in order.

    `tend` is called again and again meanwhile, `tell` with each that has come further. Raises `ReviewStalled`.
    """
    runs = Runs(Storage(config.store))
    moved, seen = time.monotonic(), dict[str, tuple[str, int]]()
    with _feeder(config) as feeder:
        while feeder.tick() != 0:
            tend()
            for run in runs.open():
                now = progress(runs, run, None)
                came = (now.state, now.done + now.examined)
                if seen.get(run) != came:
                    seen[run], moved = came, time.monotonic()
                    tell(now)
            if time.monotonic() - moved > stalled_s:
                raise ReviewStalled(f"the reviews have not moved for {stalled_s:.0f} s")
            time.sleep(TICK_S)
    return tuple(run for run in runs.ids() if run.startswith("review-"))


def packets(storage: Storage, reviews: tuple[str, ...]) -> tuple[Packet, ...]:
    """Of the reviews that came to their end."""
    runs = Runs(storage)
    return tuple(read_packet(storage, run) for run in reviews if runs.state(run) == "finished")


def save_pages(storage: Storage, found: tuple[Packet, ...], folder: Path) -> Mapping[str, Path]:
    """Run -> where its page lies now."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pages = {packet.run: folder / f"{packet.run}.html" for packet in found}
    for run, path in pages.items():
        path.write_bytes(storage.get(page_key(run)))
    return pages


def deep_records(storage: Storage, reviews: tuple[str, ...]) -> tuple[Record, ...]:
    """What the reviews say of each segment; those that cannot be read are left out."""
    keys = [key for run in reviews for key in record_keys(storage, run=run)]
    return tuple(one for one in read_records(storage, keys) if isinstance(one, Record))


def settled(config: Config) -> bool:
    """Whether no live segment waits or is in work: each of them has asked for its review by then."""
    with open_queues(config) as queues:
        return not queues.waiting("live") and not queues.in_work()


@contextmanager
def _feeder(config: Config) -> Iterator[Feeder]:
    feeder = Feeder(config)
    try:
        yield feeder
    finally:
        feeder.close()
