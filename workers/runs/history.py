"""What a stream's earlier segments said, as a run needs it: by the run's own policies, by its own records first.

The state of the live lane cannot serve: it is of other policies, and forgotten after an hour. So it is made again
from the records, and every segment is fused with exactly what an in-order pass over its stream would give it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

from pipelines.fusion import evidence_of, fuse, instants
from pipelines.fusion.evidence import LabelsByCheckpoint, UnknownCheckpoint
from pipelines.manifest import segment_id_at
from pipelines.policies import Policies
from pipelines.record import Record
from workers.records import PREFIX, Place, RecordError, may_start_within, place_of, read_records, tells_its_time
from workers.runs.applied import LIVE, applied
from workers.runs.run import Plan
from workers.storage import Storage

CURRENT = "current"
"""As `selection["run"]`: whichever record of a segment is the current one."""
Instants = dict[float, dict[str, float]]
"""Segment start in epoch seconds -> policy -> probability of that segment alone."""

PAGE = 1000
"""Keys of one listing. A stream with fewer in a day is looked through whole."""
AFTER_CLOCK = "3"
"""Sorts after all ids of the sampler, which begin with the year."""
SLACK = timedelta(milliseconds=2)


@dataclass(frozen=True)
class Fuser:
    """What segments are fused with in one run; the digest is told once, not for every segment."""

    policies: Policies
    labels: LabelsByCheckpoint
    digest: str

    @classmethod
    def of(cls, policies: Policies, labels: LabelsByCheckpoint) -> Fuser:
        return cls(policies, labels, policies.digest)

    def instants(self, record: Record) -> dict[str, float]:
        """What the record adds to its stream's history. By the policies it was fused with, if no other way is left."""
        if record.policy_digest == self.digest:
            return instants(record.verdicts)
        seen, at = record.observations, record.captured_at.timestamp()
        try:
            evidence = evidence_of(seen, self.labels, self.policies)
            return instants(fuse(evidence, seen.coverage, self.policies, at=at, history={}))
        except UnknownCheckpoint:
            return instants(record.verdicts)


def speaking(storage: Storage, plan: Plan, sources: Iterable[str] = ()) -> tuple[str, ...]:
    """Whose record of a segment speaks for it in this run's history, first one first.

    The run's own; then of the run it was told to start from, or else of those in force; then the live one, and
    those that `sources`, keys of records, come from.
    """
    named = plan.selection.get("run", CURRENT)
    chosen = applied(storage) if named == CURRENT else (named,)
    others = sorted({place.run for place in map(place_of, sources) if place is not None})
    return tuple(dict.fromkeys((plan.run, *chosen, LIVE, *others)))


def stream_history(
    storage: Storage,
    stream_id: str,
    since: datetime,
    until: datetime,
    fuser: Fuser,
    *,
    prefer: Sequence[str],
    without: Collection[str] = (),
) -> Instants:
    """The instants of the stream's segments that start in [since, until), except those whose id is in `without`.

    Of a segment that several runs have recorded, the record of the first of `prefer` that has one speaks; records of
    other runs do not. One that cannot be read says nothing.
    """
    chosen: dict[str, tuple[int, str]] = {}
    for key, place in stream_keys(storage, stream_id, since, until):
        if place.segment_id in without or place.run not in prefer:
            continue
        rank = prefer.index(place.run)
        if place.segment_id not in chosen or rank < chosen[place.segment_id][0]:
            chosen[place.segment_id] = rank, key
    if not chosen:
        return {}
    found = read_records(storage, [key for _, key in chosen.values()])
    records = (record for record in found if not isinstance(record, RecordError))
    return {r.captured_at.timestamp(): fuser.instants(r) for r in records if since <= r.captured_at < until}


def stream_keys(storage: Storage, stream_id: str, since: datetime, until: datetime) -> Iterator[tuple[str, Place]]:
    """Keys of the stream's records, of all runs, that may start in [since, until), and what each says.

    A long day of a stream is not listed whole when it has the sampler's ids, which tell their time.
    """
    day, last = since.astimezone(UTC).date(), until.astimezone(UTC).date()
    while day <= last:
        prefix = f"{PREFIX}date={day.isoformat()}/stream={stream_id}/"
        for key in _all_or_some(storage, prefix, since, until):
            place = place_of(key)
            if place is not None and may_start_within(place.segment_id, since, until):
                yield key, place
        day += timedelta(days=1)


def _all_or_some(storage: Storage, prefix: str, since: datetime, until: datetime) -> Iterator[str]:
    """The day's keys, or, of more than a page, those between the ids of the bounds when the ids are the sampler's.

    They are taken for the sampler's when the whole first page is and nothing sorts after all such ids.
    """
    keys = storage.keys(prefix)
    first = list(islice(keys, PAGE))
    places = [place_of(key) for key in first]
    by_clock = all(place is not None and tells_its_time(place.segment_id) for place in places)
    if len(first) < PAGE or not by_clock or any(storage.keys(prefix, start_after=f"{prefix}{AFTER_CLOCK}")):
        yield from first
        yield from keys
        return
    start, end = (segment_id_at(bound + slack) for bound, slack in ((since, -SLACK), (until, SLACK)))
    yield from takewhile(lambda key: key <= f"{prefix}{end}", storage.keys(prefix, start_after=f"{prefix}{start}"))
