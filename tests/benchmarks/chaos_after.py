"""What became of everything that was sent into a pool that broke, and what lies about that should not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pipelines.coverage import HARMLESS
from pipelines.record import Record
from tests.benchmarks.chaos_segments import SAID, Sent
from tests.poisoned_worker import DEEDS
from workers import quarantine
from workers.quarantine import Entry
from workers.records import PREFIX, RecordError, read_record
from workers.storage import Storage


@dataclass
class Found:
    """`records` and `entries` are those of the segments that were sent, by name; `strangers` are keys of nobody's.

    `said`: what records say was not examined, as it was not there to be; `unexamined`: what was there.
    """

    records: dict[str, Record] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)
    unexamined: Counter[str] = field(default_factory=Counter)

    @property
    def reasons(self) -> Counter[str]:
        return Counter(entry.reason for entry in self.entries.values())


def found(storage: Storage, sent: Mapping[str, Sent]) -> Found:
    """Every record and every entry of quarantine that the store has, and whose it is."""
    seen = Found()
    recorded = {one.record: one for one in sent.values() if one.record is not None}
    for key in storage.keys(PREFIX):
        if key not in recorded:
            seen.strangers.append(key)
            continue
        try:
            seen.records[recorded[key].name] = read_record(storage, key)
        except RecordError as error:
            seen.unreadable.append(str(error))
    for name, entry in quarantine.entries(storage):
        if name in sent:
            seen.entries[name] = entry
        else:
            seen.strangers.append(f"{quarantine.PREFIX}{name}.json")
    for name, record in seen.records.items():
        meant = SAID.get(sent[name].kind, frozenset())
        for modality, coverage in record.observations.coverage.items():
            if coverage.status != "examined" and coverage.reason not in HARMLESS:
                counted = seen.said if coverage.reason in meant else seen.unexamined
                counted[f"{modality} {coverage.reason}"] += 1
    return seen


def wrong(seen: Found, sent: Mapping[str, Sent], most_starts: int) -> Iterator[str]:
    """Everything that is not one record, or one entry of quarantine with the right reason."""
    for name, one in sent.items():
        record, entry = seen.records.get(name), seen.entries.get(name)
        if record is None and entry is None:
            yield f"{name} ({one.kind}) is lost"
        elif record is not None and entry is not None:
            yield f"{name} ({one.kind}) has a record and is in quarantine: {entry.reason}"
        elif record is not None and one.record is None:
            yield f"{name} ({one.kind}) has a record"
        elif entry is not None:
            yield from _wrong_entry(one, entry, most_starts)
    for key in (*seen.strangers, *seen.unreadable):
        yield f"nobody sent, or nobody can read: {key}"
    for what, times in seen.unexamined.items():
        yield f"{times} records say of what could be examined: {what}"


def _wrong_entry(one: Sent, entry: Entry, most_starts: int) -> Iterator[str]:
    if one.record is not None:
        yield f"{one.name} ({one.kind}) harms nobody and is in quarantine: {entry.reason}, {entry.detail}"
    elif entry.reason != one.reason:
        yield f"{one.name} ({one.kind}) is in quarantine for another reason: {entry.reason}, {entry.detail}"
    elif one.kind in DEEDS and entry.attempts < most_starts:
        yield f"{one.name} ({one.kind}) was given up after {entry.attempts} starts"
