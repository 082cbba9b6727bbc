"""Takes a stream, or one user's words, out of reviews and rescans: outcomes, receipts, and the reports made of them.

A run that is not over still writes: it is named and left. Its reports are removed and made again at the end, out of
receipts and records that no longer have what was removed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from workers.privacy.erasing import REMOVED, observations_without
from workers.privacy.purging import Purge
from workers.records import place_of
from workers.runs.run import Named, Outcome, Plan, Receipt
from workers.runs.store import OPEN_PREFIX, PREFIX, RunError, Runs, body_of, outcome_key

SegmentName = tuple[str, str]
"""Stream and segment."""
REPORTS = ("diff.json", "diff.csv", "diff.html", "not-examined.csv", "packet.json", "packet.html")


def purge_runs_of_stream(purge: Purge, stream_id: str) -> None:
    """Removes runs of this stream alone, and the stream from those of several."""
    runs = Runs(purge.storage)
    for run in list(runs.ids()):
        try:
            _stream_of_run(purge, runs, run, stream_id)
        except RunError as error:
            purge.left(f"{run} was not looked at further: {error}")


def purge_runs_of_user(purge: Purge, names: Collection[str], texts: Mapping[SegmentName, frozenset[str]]) -> None:
    """Takes the user, and `texts` that were only theirs by segment, out of every run that looked at those segments."""
    runs = Runs(purge.storage)
    for run in list(runs.ids()) if texts else ():
        try:
            _user_of_run(purge, runs, run, names, texts)
        except RunError as error:
            purge.left(f"{run} was not looked at further: {error}")


def remake_reports(purge: Purge) -> None:
    """Writes the report of every finished run that has none, be it that a purge before this one died."""
    runs = Runs(purge.storage)
    for run in list(runs.ids()) if not purge.dry_run else ():
        try:
            plan = runs.find_plan(run)
            if plan is not None and runs.state(run) == "finished" and not _has_report(purge, plan):
                _write_report(runs, plan, purge)
        except RunError as error:
            purge.left(f"the report of {run} could not be made again: {error}")


def _stream_of_run(purge: Purge, runs: Runs, run: str, stream_id: str) -> None:
    request, plan = runs.request(run), runs.find_plan(run)
    touched = list(_items(runs, plan, {stream_id})) if plan else []
    alone = (request is not None and request.stream_id == stream_id) or (plan and len(touched) == plan.selected)
    if not touched and not alone:
        return
    if _goes_on(purge, runs, run):
        return
    if alone or plan is None:
        purge.removed("runs", 1)
        for key in list(purge.storage.keys(f"{PREFIX}{run}/")):
            purge.delete(key, "objects of runs")
        if not purge.dry_run:
            purge.storage.delete(f"{OPEN_PREFIX}{run}")
        return
    for number, index, _ in touched:
        if runs.has_outcome(run, number, index):
            purge.delete(outcome_key(run, number, index), "objects of runs")
    for number in sorted({number for number, _, _ in touched}):
        receipt = runs.receipt(run, number)
        if receipt is not None:
            _put_receipt(purge, run, receipt, _without_stream(receipt, stream_id))
    _drop_reports(purge, run)
    purge.left(f"the plan of {run} still lists {len(touched)} of its segments, by their ids")


def _user_of_run(
    purge: Purge, runs: Runs, run: str, names: Collection[str], texts: Mapping[SegmentName, frozenset[str]]
) -> None:
    plan = runs.find_plan(run)
    touched = [one for one in _items(runs, plan, {stream for stream, _ in texts}) if one[2] in texts] if plan else []
    if not touched or _goes_on(purge, runs, run):
        return
    for number, index, _ in touched:
        outcome = runs.outcome(run, number, index)
        after = _outcome_without(outcome, names)
        if after is not None:
            purge.replace(outcome_key(run, number, index), body_of(after), "objects of runs")
    for number in sorted({number for number, _, _ in touched}):
        receipt = runs.receipt(run, number)
        if receipt is not None:
            _put_receipt(purge, run, receipt, _without_texts(receipt, texts))
    _drop_reports(purge, run)


def _goes_on(purge: Purge, runs: Runs, run: str) -> bool:
    state = runs.state(run)
    if state in ("finished", "cancelled"):
        return False
    purge.left(f"{run} is {state}: cancel it or let it finish, and purge again")
    return True


def _items(runs: Runs, plan: Plan, streams: Collection[str]) -> Iterator[tuple[int, int, SegmentName]]:
    """Batch, index and segment of every item of these streams."""
    for number in range(1, len(plan.batches) + 1):
        for index, item in enumerate(runs.batch(plan.run, number).items):
            place = place_of(item.source)
            if place is not None and place.stream_id in streams:
                yield number, index, (place.stream_id, place.segment_id)


def _outcome_without(outcome: Outcome | None, names: Collection[str]) -> Outcome | None:
    """None when there is nothing to change."""
    if outcome is None or outcome.observations is None:
        return None
    observations = observations_without(outcome.observations, names)
    return None if observations is None else outcome.model_copy(update={"observations": observations})


def _without_stream(receipt: Receipt, stream_id: str) -> Receipt:
    """Counts stay as they were: segments that were named become nameless."""

    def named(those: tuple[Named, ...]) -> tuple[Named, ...]:
        return tuple(
            one.model_copy(update={"stream_id": REMOVED, "segment_id": REMOVED}) if one.stream_id == stream_id else one
            for one in those
        )

    changes = tuple(change for change in receipt.changes if change.stream_id != stream_id)
    return receipt.model_copy(
        update={"changes": changes, "unexaminable": named(receipt.unexaminable), "kept": named(receipt.kept)}
    )


def _without_texts(receipt: Receipt, texts: Mapping[SegmentName, frozenset[str]]) -> Receipt:
    changes = tuple(
        change.model_copy(update={"text": REMOVED})
        if change.text in texts.get((change.stream_id, change.segment_id), ())
        else change
        for change in receipt.changes
    )
    return receipt.model_copy(update={"changes": changes})


def _put_receipt(purge: Purge, run: str, before: Receipt, after: Receipt) -> None:
    if after != before:
        purge.replace(f"{PREFIX}{run}/receipts/{after.batch:06d}.json", body_of(after), "objects of runs")


def _drop_reports(purge: Purge, run: str) -> None:
    for name in REPORTS:
        if purge.storage.exists(f"{PREFIX}{run}/{name}"):
            purge.changed("reports", 1)
            if not purge.dry_run:
                purge.storage.delete(f"{PREFIX}{run}/{name}")


def _has_report(purge: Purge, plan: Plan) -> bool:
    name = "diff.json" if plan.kind == "rescan" else "packet.json"
    return purge.storage.exists(f"{PREFIX}{plan.run}/{name}")


def _write_report(runs: Runs, plan: Plan, purge: Purge) -> None:
    if plan.kind == "rescan":
        from workers.runs.diff import write_diff

        write_diff(runs, plan)
    else:
        from workers.runs.packet import write_packet

        write_packet(runs, plan, cards=purge.config.cards_directory)
