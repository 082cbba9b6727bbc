"""Which record of a segment is the current one: that of the run applied last that has one, else the live one.

Said twice, for keys and in SQL; both follow `workers.runs.applied.applied`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

from workers.records import record_keys
from workers.runs.applied import LIVE, applied
from workers.storage import Storage
from workers.verdicts.rows import TABLES
from workers.verdicts.sql import listed

CURRENT: Final = "current"
"""Asked for in a run's place."""


def current_keys(
    storage: Storage, *, stream_id: str | None = None, since: datetime | None = None, until: datetime | None = None
) -> Iterator[str]:
    """Keys of the current records, as `record_keys` bounds and orders them."""
    found = record_keys(storage, stream_id=stream_id, since=since, until=until)
    return chosen(found, applied(storage))


def chosen(keys: Iterable[str], in_force: Sequence[str]) -> Iterator[str]:
    """The current one of each segment's keys, which come together; none of a segment that only other runs have."""
    order = {run: place for place, run in enumerate((*in_force, LIVE))}
    for _, of_segment in groupby(keys, key=lambda key: key.rpartition("/")[0]):
        known = [key for key in of_segment if run_of(key) in order]
        if known:
            yield min(known, key=lambda key: order[run_of(key)])


def run_of(key: str) -> str:
    """The run that a record's key names."""
    return key.rpartition("/")[2].removesuffix(".json")


def current_views(in_force: Sequence[str]) -> Iterator[str]:
    """Statements that make `current_verdicts` and its like over the tables of all runs.

    Only the segments of the runs in force are held to tell whose record is superseded; none are when there is no run.
    """
    runs = listed((*in_force, LIVE))
    theirs = f"FROM segments SELECT stream_id, segment_id, list_position({runs}, run) AS place"
    superseded = (
        f"ANTI JOIN ({theirs} WHERE run IN {listed(in_force)}) AS better ON one.stream_id = better.stream_id"
        f" AND one.segment_id = better.segment_id AND better.place < list_position({runs}, one.run)"
    )
    for shape in TABLES:
        source = f"FROM {shape.name} AS one {superseded if in_force else ''}"
        yield f"CREATE VIEW current_{shape.name} AS {source} SELECT one.* WHERE one.run IN {runs}"
