"""The review packet: what a person needs to decide about a flagged stream, in one object and one page.

`packet.json` has everything but pictures, which it names; `packet.html` has blurred ones. Both are made of
the run's records and of those it started from, so making them again gives the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from pipelines.cards import CARDS_DIRECTORY, read_cards
from pipelines.record import Record
from workers.records import RecordError, read_records
from workers.runs.packet_page import packet_page
from workers.runs.reviewed import Finding, Packet
from workers.runs.run import Change, Plan, Receipt
from workers.runs.side_by_side import SideBySide
from workers.runs.store import PREFIX, NoSuchRun, RunError, Runs, body_of
from workers.storage import Storage

__all__ = ["Packet", "build_packet", "packet_key", "page_key", "read_packet", "write_packet"]

LEADING: tuple[Literal["flagged", "raised"], ...] = ("flagged", "raised")
"""Changes that deep found and live had missed."""


def packet_key(run: str) -> str:
    return f"{PREFIX}{run}/packet.json"


def page_key(run: str) -> str:
    return f"{PREFIX}{run}/packet.html"


def write_packet(runs: Runs, plan: Plan, cards: Path = CARDS_DIRECTORY) -> Packet:
    """Makes and stores the packet of a review whose batches are all concluded; one that is there stands.

    `cards` say what the scores in the records mean. Raises `RunError`, `StorageError`.
    """
    found = _find(runs.storage, plan.run)
    if found is not None:
        return found
    packet = build_packet(runs, plan, cards)
    page = packet_page(packet, runs.storage).encode()
    # The page first: where there is a packet, both are whole.
    runs.storage.put(page_key(plan.run), page, content_type="text/html; charset=utf-8")
    if not runs.storage.put_once(packet_key(plan.run), body_of(packet), content_type="application/json"):
        return read_packet(runs.storage, plan.run)
    return packet


def read_packet(storage: Storage, run: str) -> Packet:
    """The packet of a finished review; `NoSuchRun` when there is none, `RunError` when it cannot be read."""
    found = _find(storage, run)
    if found is None:
        raise NoSuchRun(f"{run} has no packet; `liverisk review --list` says how far it is")
    return found


def build_packet(runs: Runs, plan: Plan, cards: Path = CARDS_DIRECTORY) -> Packet:
    """The packet out of what is stored; nothing is written."""
    labels = {name: card.fields.labels for name, card in read_cards(cards).items()}
    sides = SideBySide(plan.policies, labels)
    for live, deep in _pairs(runs, plan):
        sides.add(live, deep)
    receipts = list(_receipts(runs, plan))
    changes = tuple(change for receipt in receipts for change in receipt.changes)
    since, until = _bounds(sides, plan)
    texts, left_out = sides.texts()
    return Packet(
        schema="liverisk.packet",
        run=plan.run,
        stream_id=plan.selection.get("stream", ""),
        since=since,
        until=until,
        created_at=max((receipt.at for receipt in receipts), default=plan.created_at),
        by=plan.by,
        reason=plan.reason,
        asked=plan.selection,
        titles={name: policy.title for name, policy in plan.policies.policies.items()},
        profile=plan.profile,
        segments=plan.selected,
        reviewed=sides.deep.segments,
        deep=sides.deep.examined(),
        live=sides.live.examined(),
        found=_findings(changes),
        changes=changes,
        texts=texts,
        texts_left_out=left_out,
        only_live=sides.only_live(),
        pictures=sides.pictures(),
        unexaminable=tuple(one for receipt in receipts for one in receipt.unexaminable),
        kept=tuple(one for receipt in receipts for one in receipt.kept),
    )


def _find(storage: Storage, run: str) -> Packet | None:
    return Runs(storage).read(packet_key(run), Packet)


def _pairs(runs: Runs, plan: Plan) -> Iterator[tuple[Record | None, Record | None]]:
    """Of each segment the record it started from and the review's own, where they can be read."""
    for number in range(1, len(plan.batches) + 1):
        before = [item.source for item in runs.batch(plan.run, number).items]
        after = [f"{source.rpartition('/')[0]}/{plan.run}.json" for source in before]
        found = zip(read_records(runs.storage, before), read_records(runs.storage, after), strict=True)
        yield from ((_readable(live), _readable(deep)) for live, deep in found)


def _readable(found: Record | RecordError) -> Record | None:
    return found if isinstance(found, Record) else None


def _receipts(runs: Runs, plan: Plan) -> Iterator[Receipt]:
    for number in range(1, len(plan.batches) + 1):
        receipt = runs.receipt(plan.run, number)
        if receipt is None:
            raise RunError(f"{plan.run}: batch {number} is not concluded")
        yield receipt


def _bounds(sides: SideBySide, plan: Plan) -> tuple[datetime, datetime]:
    """The ends of what was looked at; of nothing, when the review was planned."""
    found = [bounds for side in (sides.live, sides.deep) if (bounds := side.bounds)]
    if not found:
        return plan.created_at, plan.created_at
    return min(start for start, _ in found), max(end for _, end in found)


def _findings(changes: tuple[Change, ...]) -> tuple[Finding, ...]:
    """Newly flagged policies before those that were only raised, the likeliest first."""
    findings = []
    for kind in LEADING:
        for policy in sorted({change.policy for change in changes if change.kind == kind}):
            those = [change for change in changes if change.kind == kind and change.policy == policy]
            strongest = max(those, key=lambda change: change.after.probability)
            findings.append(
                Finding(
                    kind=kind,
                    policy=policy,
                    segments=len(those),
                    first=min(change.captured_at for change in those),
                    last=max(change.captured_at for change in those),
                    probability=strongest.after.probability,
                    modality=strongest.modality,
                    label=strongest.label,
                    text=strongest.text,
                )
            )
    return tuple(sorted(findings, key=lambda one: (LEADING.index(one.kind), -one.probability)))
