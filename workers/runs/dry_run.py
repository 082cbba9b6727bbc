"""What a rescan would do, without doing it: what runs again, what that costs, what would change.

A sample spread evenly over the selection goes the way of a real segment up to its record, which is not written.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Final

from pipelines.record import STAGES, Record, Stage
from pipelines.reexamine import MEDIA_EXPIRED
from pipelines.strict import Sha256, Strict
from workers.classify import Bench
from workers.config import Config
from workers.engine.errors import EngineUnavailable
from workers.records import Progress, RecordError, canonical, key_of, read_record
from workers.runs.changes import changes_between
from workers.runs.derive import derived, looking_back
from workers.runs.history import Fuser, Instants, speaking, stream_history
from workers.runs.planning import CONCLUDE_S, RescanOrder, Tally, left_out, plan_of, stages_of, target_of
from workers.runs.reexamination import PUT_BACK, outcome_of
from workers.runs.run import BATCH_SEGMENTS, CHANGE_KINDS, Change, ChangeKind, Estimate, Item, Outcome, Plan
from workers.runs.selection import Say, chosen, silent, why_nothing
from workers.runs.served import loaded_digests
from workers.storage import ObjectMissing, Storage

RUN: Final = "rescan-dry-run"
BUSIEST = 10
ENGINE_PATIENCE_S = 2.0
START_S = 1.5
"""Until the feeder has looked and a message has found its worker, and for the diff at the end."""
WRITE_S = 0.006
"""Putting one record into the store."""


class Forecast(Strict):
    """`stages` and `reused` count segments of the selection; everything from `sampled` to `unexaminable` the sample.

    `rescored`: stage -> sampled segments whose stored embeddings were enough, so that no encoder ran. `unknown` says
    what could not be found out, and why. `unchanged` segments have the models and policies that they would get.
    `estimate` is of the whole run, from as many segments as it says.
    """

    selected: int
    streams: int
    busiest: dict[str, int]
    stages: dict[Stage, int]
    reused: dict[Stage, int]
    unchanged: int
    policies: Sha256
    checkpoints: dict[str, Sha256]
    estimate: Estimate | None
    sampled: int
    segments_changed: int
    changes: dict[ChangeKind, int]
    by_policy: dict[str, dict[ChangeKind, int]]
    media_expired: int
    unexaminable: int
    rescored: dict[Stage, int] = {}
    left_out: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class Spread:
    """Keeps one of every so many items of a stream, `size` to twice as many in all, however long it becomes.

    Which one of its neighbours is left to chance, the same at every time, so that no rhythm of the stream is met.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[Item] = []
        self._stride = 1
        self._seen = 0
        self._chance = random.Random(0)  # noqa: S311  # draws a sample, guards nothing

    def add(self, item: Item) -> None:
        place = self._seen % self._stride
        self._seen += 1
        if place == 0 and len(self._kept) == 2 * self._size:
            pairs = zip(self._kept[::2], self._kept[1::2], strict=True)
            self._kept, self._stride = [self._chance.choice(pair) for pair in pairs], 2 * self._stride
        if place == 0 and self._size:
            self._kept.append(item)
        elif self._size and self._chance.random() * (place + 1) < 1:
            self._kept[-1] = item

    def drawn(self) -> list[Item]:
        """At most `size`, in the order of the stream."""
        count = min(self._size, len(self._kept))
        parts = [len(self._kept) * index // max(1, count) for index in range(count + 1)]
        return [self._kept[self._chance.randrange(*part)] for part in pairwise(parts)]


@dataclass(slots=True)
class _Trial:
    """What became of the sample. `examined` segments went through the models in `wall_s`; fusing took `fused_s`."""

    concluded: int = 0
    examined: int = 0
    engine_s: float = 0
    wall_s: float = 0
    fused_s: float = 0
    media_expired: int = 0
    unexaminable: int = 0
    rescored: Counter[Stage] = field(default_factory=Counter)
    changed: list[tuple[Change, ...]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def changes(self) -> list[Change]:
        return [change for changes in self.changed for change in changes]


def forecast(
    config: Config,
    storage: Storage,
    order: RescanOrder,
    *,
    sample: int = 20,
    tell: Progress | None = None,
    say: Say = silent,
) -> Forecast:
    """Counts the selection and tries `sample` of it; writes nothing. Raises as `prepare_rescan`, and `ConfigError`."""
    target, tally, spread = target_of(config, order), Tally(), Spread(sample)
    with chosen(storage, order.selection, tell=tell, say=say) as found:
        for one in found.segments:
            stages = stages_of(one, target)
            tally.add(one, stages, target)
            spread.add(Item(source=one.key, stages=stages))
    if not tally.segments:
        raise why_nothing(storage, order.selection, found.unreadable)
    plan = plan_of(config, order, target, tally, run=RUN, sizes=[tally.segments], left_out=left_out(found))
    trial = _tried(spread.drawn(), plan, config)
    return Forecast(
        selected=tally.segments,
        streams=len(tally.streams),
        busiest=dict(tally.streams.most_common(BUSIEST)),
        stages=plan.stages,
        reused={stage: count for stage in STAGES if (count := tally.with_input[stage] - tally.stages[stage])},
        unchanged=tally.unchanged,
        policies=plan.policies.digest,
        checkpoints=plan.checkpoints,
        estimate=_estimate(tally, trial, plan.estimate, config.worker.concurrency),
        sampled=trial.concluded,
        segments_changed=sum(map(bool, trial.changed)),
        changes=_by_kind(trial.changes),
        by_policy=_by_policy(trial.changes),
        media_expired=trial.media_expired,
        unexaminable=trial.unexaminable,
        rescored={stage: trial.rescored[stage] for stage in STAGES if trial.rescored[stage]},
        left_out=tuple(left_out(found).values()),
        unknown=tuple(trial.unknown),
    )


def _estimate(tally: Tally, trial: _Trial, recorded: Estimate | None, children: int) -> Estimate | None:
    """From the sample where models had to run and did; otherwise from what the records say they took."""
    each_s = CONCLUDE_S if not trial.changed else trial.fused_s / len(trial.changed) + WRITE_S
    side_by_side = min(children, len(tally.streams), -(-tally.segments // BATCH_SEGMENTS))
    concluding_s = START_S + tally.segments * each_s / side_by_side
    if tally.again and not trial.examined:
        return recorded
    times = tally.again / trial.examined if trial.examined else 0.0
    return Estimate(
        sampled=trial.examined if tally.again else len(trial.changed),
        engine_s=round(trial.engine_s * times, 2),
        wall_s=round(trial.wall_s * times + concluding_s, 2),
    )


def _tried(items: Sequence[Item], plan: Plan, config: Config) -> _Trial:
    bench, trial = Bench.open(config), _Trial()
    try:
        outcomes = _examined(items, plan, bench, trial)
        fuser = Fuser.of(plan.policies, bench.labels)
        for item in items:
            outcome = outcomes.get(item.source)
            if outcome is not None:
                trial.media_expired += MEDIA_EXPIRED in outcome.reused.values()
                trial.rescored.update(outcome.rescored)
                _conclude(item, outcome, plan, fuser, bench, trial)
    finally:
        bench.engine.close()
        bench.redis.close()
    return trial


def _examined(items: Sequence[Item], plan: Plan, bench: Bench, trial: _Trial) -> Mapping[str, Outcome]:
    """The outcome of each source that could be tried: as many at a time as a worker has in hand."""
    outcomes = {item.source: Outcome() for item in items if not item.stages}
    due = [item for item in items if item.stages]
    if not due:
        return outcomes
    if problem := _no_engine(plan, bench):
        trial.unknown.append(f"{problem}: what models would find anew, and what they would take, was not tried")
        return outcomes
    before, started = _busy_s(bench), time.monotonic()
    with ThreadPoolExecutor(bench.config.worker.concurrency, thread_name_prefix="sample") as pool:
        found = list(pool.map(partial(_outcome, plan=plan, bench=bench), due))
    trial.wall_s, trial.engine_s = time.monotonic() - started, _busy_s(bench) - before
    done = {item.source: one for item, one in zip(due, found, strict=True) if isinstance(one, Outcome)}
    failures = Counter(one for one in found if isinstance(one, str))
    trial.examined = len(done)
    trial.unknown += [
        f"{count} of {len(due)} sampled segments could not be tried: {name}" for name, count in failures.items()
    ]
    return outcomes | done


def _outcome(item: Item, *, plan: Plan, bench: Bench) -> Outcome | str:
    try:
        return outcome_of(plan, item, bench, last=True)
    except PUT_BACK as error:
        return type(error).__name__


def _no_engine(plan: Plan, bench: Bench) -> str | None:
    """Why the models cannot be asked, if they cannot."""
    try:
        status = bench.engine.status(timeout_s=ENGINE_PATIENCE_S)
    except EngineUnavailable:
        return "no engine answers here"
    if not status.ready:
        return "the engine is not ready"
    said = status.model_dump()
    others = [slot for slot, digest in plan.served.items() if digest not in loaded_digests(said, slot)]
    return (
        f"the engine serves another checkpoint of {', '.join(others)} than the configuration says" if others else None
    )


def _busy_s(bench: Bench) -> float:
    try:
        return sum(slot.bulk_busy_s for slot in bench.engine.status(timeout_s=ENGINE_PATIENCE_S).slots.values())
    except EngineUnavailable:
        return 0.0


def _conclude(item: Item, outcome: Outcome, plan: Plan, fuser: Fuser, bench: Bench, trial: _Trial) -> None:
    """Fuses one segment with what its stream's records say of the time before it; nothing of the run is stored."""
    trial.concluded += 1
    settings = bench.config.examination.for_profile(plan.profile)
    try:
        started = time.monotonic()
        source = read_record(bench.storage, item.source)
        reading_s = time.monotonic() - started
        history = _history(source, plan, fuser, bench)
        started = time.monotonic()
        record = derived(source, item, outcome, plan, fuser, history, settings=settings, worker=bench.worker)
        trial.changed.append(changes_between(source, record))
        canonical(record)
        trial.fused_s += reading_s + time.monotonic() - started
    except (RecordError, ObjectMissing, ArithmeticError, LookupError, TypeError, ValueError):
        trial.unexaminable += 1


def _history(source: Record, plan: Plan, fuser: Fuser, bench: Bench) -> Instants:
    since = source.captured_at - timedelta(seconds=plan.policies.fusion.lookback_s(looking_back(source, plan)))
    prefer = speaking(bench.storage, plan, [key_of(source)])
    return stream_history(bench.storage, source.stream_id, since, source.captured_at, fuser, prefer=prefer)


def _by_kind(changes: Sequence[Change]) -> dict[ChangeKind, int]:
    counts = Counter(change.kind for change in changes)
    return {kind: counts[kind] for kind in CHANGE_KINDS if counts[kind]}


def _by_policy(changes: Sequence[Change]) -> dict[str, dict[ChangeKind, int]]:
    grouped: defaultdict[str, list[Change]] = defaultdict(list)
    for change in changes:
        grouped[change.policy].append(change)
    return {policy: _by_kind(of_policy) for policy, of_policy in sorted(grouped.items())}
