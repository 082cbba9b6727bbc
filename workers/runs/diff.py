"""What a run says otherwise than the records it was made from: for programs, for a spreadsheet, for reading.

runs/<run>/diff.json           counts, the streams that matter first, examples; a `Diff`
runs/<run>/diff.csv            every change, one a row
runs/<run>/not-examined.csv    every segment that could not be examined, or only from what was stored
runs/<run>/diff.html           the JSON as a page

All of it follows from the receipts, which are read a few at a time: memory does not grow with the run.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Protocol

from pydantic import AwareDatetime, Field

from pipelines.manifest import Profile
from pipelines.reexamine import Stage
from pipelines.strict import Identifier, Sha256, Strict
from workers.runs.diff_page import page
from workers.runs.run import Change, Kind, Plan, Reason, Receipt, State
from workers.runs.store import PREFIX, RunError, Runs, body_of
from workers.runs.tallying import Counts, Left, StreamChanges, Tallying, counts, counts_by
from workers.storage import ObjectMissing, Storage
from workers.verdicts.show import printable

COLUMNS = (
    *("kind", "policy", "stream_id", "segment_id", "captured_at", "language", "region", "viewers"),
    *("severity_before", "severity_after", "action_before", "action_after", "probability_before", "probability_after"),
    *("modality", "label", "text"),
)
"""Of diff.csv; in not-examined.csv they are those of `_LEFT`."""
_LEFT = ("outcome", "stream_id", "segment_id", "reason")
READERS = 8
READ_AHEAD = 16


class Diff(Strict):
    """Version 1 of a run's changes, counted. `state` is other than `finished` for what has been concluded so far.

    `kept` segments have a record, but were fused from stored observations where new ones had been asked for.
    """

    schema_id: Literal["liverisk.diff"] = Field(default="liverisk.diff", alias="schema")
    version: Literal[1] = 1
    run: Identifier
    kind: Kind
    state: State
    by: str
    reason: Reason
    selection: dict[str, str]
    profile: Profile
    policy_digest: Sha256
    titles: dict[str, str] = Field(description="policy -> its title")
    checkpoints: dict[str, Sha256] = Field(description="slot -> digest that its reruns came from")
    stages: dict[Stage, int] = Field(description="stage -> segments that ran it again; the others were only fused anew")
    created_at: AwareDatetime
    finished_at: AwareDatetime | None = Field(default=None, description="when the last segment was recorded")
    selected: int
    recorded: int
    unexaminable: Left
    kept: Left
    total: Counts
    changed_segments: int
    changed_streams: int
    by_policy: dict[str, Counts]
    by_language: dict[str, Counts] = Field(description="as heard, or else declared; `none`: neither")
    by_modality: dict[str, Counts] = Field(description="of the strongest evidence; `none`: the segment itself had none")
    streams: tuple[StreamChanges, ...] = Field(description="those that matter first: severity × viewers")
    examples: tuple[Change, ...] = Field(description="the strongest of each policy and kind")

    @property
    def concluded(self) -> int:
        """Segments done: with a record, or named as not examinable."""
        return self.recorded + self.unexaminable.count


def write_diff(runs: Runs, plan: Plan) -> Diff:
    """Writes all four objects, `diff.json` last, from a run whose batches are all concluded; once is enough.

    Raises `RunError` when some batch is not.
    """
    written = _stored(runs.storage, plan.run)
    if written is not None:
        return written
    numbers = runs.receipts(plan.run)
    if len(numbers) < len(plan.batches):
        raise RunError(f"{plan.run} is not finished: {len(numbers)} of {len(plan.batches)} batches are concluded")
    prefix = f"{PREFIX}{plan.run}/"
    with TemporaryDirectory(prefix="liverisk-diff-") as folder:
        changes, left = Path(folder, "diff.csv"), Path(folder, "not-examined.csv")
        diff = _gathered(runs, plan, "finished", changes, left)
        for path in (changes, left):
            runs.storage.put_file(f"{prefix}{path.name}", path, content_type="text/csv; charset=utf-8")
    runs.storage.put(f"{prefix}diff.html", page(diff).encode(), content_type="text/html; charset=utf-8")
    runs.storage.put(f"{prefix}diff.json", body_of(diff), content_type="application/json")
    return diff


def read_diff(storage: Storage, run: str) -> Diff:
    """The run's diff, or of one not finished, that of what has been concluded so far; `NoSuchRun` when there is none.

    Raises `RunError` for a review that is not planned yet.
    """
    return _stored(storage, run) or _gathered(*_asked(storage, run))


def save_changes(storage: Storage, run: str, path: Path) -> None:
    """Every change so far as CSV into a file, as `diff.csv` has it. Raises as `read_diff` does."""
    try:
        storage.download(f"{PREFIX}{run}/diff.csv", path)
    except ObjectMissing:
        _gathered(*_asked(storage, run), changes=path)


def _asked(storage: Storage, run: str) -> tuple[Runs, Plan, State]:
    runs = Runs(storage)
    state = runs.state(run)
    if runs.find_plan(run) is None:
        raise RunError(f"{run} is {state} and not planned yet: there is nothing to compare")
    return runs, runs.plan(run), state


def _stored(storage: Storage, run: str) -> Diff | None:
    return Runs(storage).read(f"{PREFIX}{run}/diff.json", Diff)


def _gathered(runs: Runs, plan: Plan, state: State, changes: Path | None = None, left: Path | None = None) -> Diff:
    """All receipts there are, counted, and on the way written into the files that are asked for."""
    tallying, latest = Tallying(), None
    with ExitStack() as files:
        to_changes, to_left = (_writer(files, path) for path in (changes, left))
        to_changes(COLUMNS)
        to_left(_LEFT)
        for receipt in _receipts(runs, plan.run):
            tallying.add(receipt)
            latest = max(latest, receipt.at) if latest else receipt.at
            for change in receipt.changes:
                to_changes(_row(change))
            for outcome, names in (("not examinable", receipt.unexaminable), ("kept", receipt.kept)):
                for named in names:
                    to_left((outcome, named.stream_id, named.segment_id, _harmless(named.reason)))
    return summed_up(plan, state, tallying, latest if state == "finished" else None)


def summed_up(plan: Plan, state: State, found: Tallying, finished_at: AwareDatetime | None) -> Diff:
    """The diff of a run whose receipts were counted."""
    return Diff(
        schema="liverisk.diff",
        run=plan.run,
        kind=plan.kind,
        state=state,
        by=plan.by,
        reason=plan.reason,
        selection=plan.selection,
        profile=plan.profile,
        policy_digest=plan.policies.digest,
        titles={name: policy.title for name, policy in plan.policies.policies.items()},
        checkpoints=plan.checkpoints,
        stages=plan.stages,
        created_at=plan.created_at,
        finished_at=finished_at,
        selected=plan.selected,
        recorded=found.recorded,
        unexaminable=found.unexaminable.told(),
        kept=found.kept.told(),
        total=counts(found.total),
        changed_segments=found.segments,
        changed_streams=found.streams.count,
        by_policy=counts_by(found.by_policy),
        by_language=counts_by(found.by_language),
        by_modality=counts_by(found.by_modality),
        streams=found.streams.told(),
        examples=tuple(found.examples.told()),
    )


def _receipts(runs: Runs, run: str) -> Iterator[Receipt]:
    """In the order of the batches; a few are read at a time."""
    remaining = iter(sorted(runs.receipts(run)))
    with ThreadPoolExecutor(READERS) as pool:
        while chunk := list(islice(remaining, READ_AHEAD)):
            yield from (receipt for receipt in pool.map(partial(runs.receipt, run), chunk) if receipt is not None)


class _Row(Protocol):
    def __call__(self, row: Sequence[object], /) -> object: ...


def _writer(files: ExitStack, path: Path | None) -> _Row:
    """Writes rows into the file, or nowhere."""
    if path is None:
        return lambda _: None
    return csv.writer(files.enter_context(path.open("w", encoding="utf-8", newline="")), lineterminator="\n").writerow


def _row(change: Change) -> tuple[object, ...]:
    """A change in the order of `COLUMNS`."""
    before, after = change.before, change.after
    return (
        *(change.kind, change.policy, change.stream_id, change.segment_id, change.captured_at.isoformat()),
        *(_harmless(change.language), _harmless(change.region), change.viewers),
        *(before.severity, after.severity, before.action, after.action, before.probability, after.probability),
        *(change.modality, change.label, _harmless(change.text)),
    )


def _harmless(text: str | None) -> str | None:
    """Text on one line that no spreadsheet takes for a formula: one that would be gets an apostrophe before it."""
    if text is None:
        return None
    plain = printable(text)
    return f"'{plain}" if plain.lstrip().startswith(("=", "+", "-", "@")) else plain
