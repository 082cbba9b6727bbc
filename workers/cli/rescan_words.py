"""What `liverisk rescan` prints: a plan, a forecast, a diff in short, and where runs stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.record import STAGES, Stage
from workers.cli.following import in_words, span

if TYPE_CHECKING:
    from workers.runs.diff import Diff
    from workers.runs.dry_run import Forecast
    from workers.runs.run import ChangeKind, Estimate, Plan, Progress
    from workers.runs.tallying import Counts

KINDS: dict[ChangeKind, str] = {
    "flagged": "newly flagged",
    "lifted": "no longer flagged",
    "raised": "raised",
    "lowered": "lowered",
}
STREAMS_SHOWN = 5


def plan_lines(plan: Plan) -> Iterator[str]:
    """What is about to be done."""
    yield (
        f"{plan.run}: {_segments(plan.selected)} in {_many(len(plan.batches), 'batch', 'batches')}, lane {plan.lane}, "
        f"policies {plan.policies.digest[:12]}"
    )
    yield from _stages(plan.stages)
    yield _cost(plan.estimate)
    if plan.apply:
        yield "  its verdicts become the current ones when it has finished"


def forecast_lines(found: Forecast) -> Iterator[str]:
    """What would be done, and what came of it on the sample."""
    yield f"dry run: {_segments(found.selected)} of {_many(found.streams, 'stream')}; nothing is written"
    busiest = [f"{stream} {count}" for stream, count in list(found.busiest.items())[:STREAMS_SHOWN]]
    more = found.streams - len(busiest)
    yield f"  by stream: {', '.join(busiest)}{f', and {more} more' if more > 0 else ''}"
    yield from _stages(found.stages)
    if found.rescored:
        told = [f"{stage} {count}" for stage, count in found.rescored.items()]
        yield f"  re-scored from stored embeddings: {', '.join(told)} of {found.sampled} sampled"
    reused = [f"{stage} {count}" for stage, count in found.reused.items()]
    if reused:
        yield f"  reused: {', '.join(reused)}"
    if found.unchanged:
        yield f"  {_segments(found.unchanged)} of them with these policies and checkpoints already"
    yield _cost(found.estimate)
    yield from _sample(found)
    for problem in found.unknown:
        yield f"  not known: {problem}"


def _sample(found: Forecast) -> Iterator[str]:
    if not found.sampled:
        yield "  what would change was not tried"
        return
    scaled = round(found.segments_changed * found.selected / found.sampled)
    # Where some of the sample could not be tried, the rest of it does not speak for the whole.
    speaks = found.selected > found.sampled and not found.unknown
    of_all = f" (about {scaled} of all {found.selected})" if speaks else ""
    yield f"  of {found.sampled} sampled, {found.segments_changed} would change{of_all}: {_kinds(found.changes)}"
    for policy, changes in found.by_policy.items():
        yield f"    {policy}: {_kinds(changes)}"
    if found.media_expired:
        yield f"  media expired: {found.media_expired} of {found.sampled} sampled would keep what is stored"
    if found.unexaminable:
        yield f"  not examinable: {found.unexaminable} of {found.sampled} sampled"


def diff_lines(found: Diff) -> Iterator[str]:
    """What a run changed, in short."""
    partial = "" if found.state == "finished" else f", {found.state}: so far"
    yield f"{found.run}{partial}: {found.recorded} of {_segments(found.selected)} recorded"
    yield (
        f"  {_kinds(found.total)} in {_segments(found.changed_segments)} of {_many(found.changed_streams, 'stream')}"
    )
    for policy, changes in found.by_policy.items():
        yield f"    {policy}: {_kinds(changes)}"
    for stream in found.streams[:STREAMS_SHOWN]:
        viewers = "" if stream.viewers is None else f", {stream.viewers} viewers"
        told = f"{', '.join(stream.policies)}, {_segments(stream.segments)}, {_kinds(stream.changes)}"
        yield f"  {stream.stream_id}{viewers}: {told}"
    for count, why in ((found.kept, "kept what was stored"), (found.unexaminable, "not examinable")):
        if count.count:
            reasons = ", ".join(f"{reason} {times}" for reason, times in count.why.items())
            yield f"  {why}: {_segments(count.count)} ({reasons})"


def status_lines(found: Progress, estimate: Estimate | None = None) -> Iterator[str]:
    """Where one run stands."""
    from workers.verdicts.show import printable

    yield f"{found.run}: {in_words(found)}"
    reason = f": {printable(found.reason)}" if found.reason else ""
    yield f"  {found.kind} in lane {found.lane}, since {found.created_at:%F %T}Z{reason}"
    yield (
        f"  selected {found.selected} = recorded {found.recorded} + not examinable {found.unexaminable} "
        f"+ examined {found.examined} + waiting {found.waiting}"
    )
    if found.state == "running" and found.eta_s is None and estimate is not None:
        yield f"  planned to take {span(estimate.wall_s)} in all"


def list_lines(runs: Sequence[Progress]) -> Iterator[str]:
    """One line a run, latest last."""
    width = max((len(one.run) for one in runs), default=0)
    for one in runs:
        yield f"{one.run:<{width}}  {in_words(one)}"


def _stages(stages: Mapping[Stage, int]) -> Iterator[str]:
    again = [f"{stage} {stages[stage]}" for stage in STAGES if stages.get(stage)]
    yield f"  runs again: {', '.join(again)}" if again else "  no model runs again: stored observations are fused anew"


def _cost(estimate: Estimate | None) -> str:
    if estimate is None:
        return "  estimate: none, as nothing says what the stages cost"
    measured = f" (measured on {_segments(estimate.sampled)})" if estimate.sampled else ""
    return f"  estimate: {estimate.engine_s:.0f} engine seconds, done in about {span(estimate.wall_s)}{measured}"


def _kinds(counts: Mapping[ChangeKind, int] | Counts) -> str:
    told: dict[str, int] = (
        {kind: counts[kind] for kind in counts} if isinstance(counts, Mapping) else counts.model_dump()
    )
    return ", ".join(f"{told[kind]} {words}" for kind, words in KINDS.items() if told.get(kind)) or "nothing"


def _segments(count: int) -> str:
    return _many(count, "segment")


def _many(count: int, one: str, several: str | None = None) -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"
