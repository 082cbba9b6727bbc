"""Plans a rescan: which segments, which of their stages run again, what it may cost. Then it can be fed."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from pipelines.policies import Policies, read_policies
from pipelines.record import LEXICON, STAGES, Stage
from pipelines.reexamine import stage_of
from pipelines.strict import Sha256
from pipelines.text.lexicon import Lexicon
from workers.config import Config
from workers.records import Progress
from workers.runs.condition import WrongSelection
from workers.runs.hold import wake
from workers.runs.run import BATCH_SEGMENTS, Batch, Estimate, Item, Plan, new_run_id
from workers.runs.selection import Chosen, Found, Say, Selection, chosen, silent, why_nothing
from workers.runs.store import PREFIX, Runs
from workers.runs.today import todays_digests, todays_lexicon
from workers.storage import Storage

CONCLUDE_S: Final = 0.025
"""Fusing one segment anew and writing its record, in seconds of one worker."""
NAMED: Final = 10
"""Segments that a plan names at most, of those it leaves out."""
_MEASURED_AS: Final[Mapping[Stage, str]] = {"frames": "frames", "speech": "speech", "screen": "screen", "text": "chat"}
"""Stage -> the stage of a first examination that costs as much."""


@dataclass(frozen=True, slots=True)
class RescanOrder:
    """What somebody wants looked at again, and how. `policies` None: those of the configuration.

    `full` runs every stage that had input, `reuse` none at all: stored observations are only fused anew.
    """

    selection: Selection = field(default_factory=Selection)
    policies: Policies | None = None
    full: bool = False
    reuse: bool = False
    urgent: bool = False
    apply: bool = False
    reason: str = ""
    by: str = "liverisk"


@dataclass(frozen=True, slots=True)
class Target:
    """What the selected segments would be examined and concluded with today: slot -> digest, and the policies.

    `deep` has the digests of what deep reviews ask instead: what they said is not rescanned for having said it.
    `lexicon` is the one whose digest is among them.
    """

    policies: Policies
    digests: Mapping[str, Sha256]
    deep: Mapping[str, Sha256] = field(default_factory=dict)
    full: bool = False
    reuse: bool = False
    screen_text: bool = True
    lexicon: Lexicon | None = None

    def slots(self, stages: Iterable[Stage]) -> frozenset[str]:
        """The slots that these stages ask, and the lexicon; what is newly heard or read is scored as text, too."""
        wanted = set(stages)
        if wanted & {"speech", "screen"}:
            wanted.add("text")
        return frozenset(slot for slot in self.digests if stage_of(slot) in wanted)


def target_of(config: Config, order: RescanOrder) -> Target:
    """Raises `WrongSelection`, `PolicyError`, or `RunError` when today's checkpoints are not known here."""
    if order.full and order.reuse:
        raise WrongSelection("give --full or --reuse, not both: everything again, or nothing")
    lexicon = None if order.reuse else todays_lexicon(config)
    return Target(
        policies=order.policies or read_policies(config.policies_file),
        digests={} if lexicon is None else {**todays_digests(config), LEXICON: lexicon.digest},
        deep={} if order.reuse else todays_digests(config, deep=True),
        full=order.full,
        reuse=order.reuse,
        screen_text=config.examination.screen_text,
        lexicon=lexicon,
    )


def stages_of(one: Chosen, target: Target) -> tuple[Stage, ...]:
    """The stages that must run again: cut short the last time, or with a slot that is new or changed its checkpoint."""

    def due(stage: Stage) -> bool:
        if not _has_input(one, stage, target):
            return False
        own = [slot for slot in target.digests if stage_of(slot) == stage]
        changed = any(
            one.checkpoints.get(slot) not in (target.digests[slot], target.deep.get(slot, "")) for slot in own
        )
        return bool(own) and (target.full or stage in one.cut_short or changed)

    return () if target.reuse else tuple(stage for stage in STAGES if due(stage))


def _has_input(one: Chosen, stage: Stage, target: Target) -> bool:
    match stage:
        case "text":
            return one.has_texts
        case "screen":
            return target.screen_text and not {"frames", "screen"} & one.without_input
        case _:
            return stage not in one.without_input


@dataclass(slots=True)
class Tally:
    """What has been counted of a selection so far. Costs are those that the records measured, in milliseconds."""

    segments: int = 0
    again: int = 0
    unchanged: int = 0
    stages: Counter[Stage] = field(default_factory=Counter)
    with_input: Counter[Stage] = field(default_factory=Counter)
    streams: Counter[str] = field(default_factory=Counter)
    _ms: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _measured: Counter[str] = field(default_factory=Counter)

    def add(self, one: Chosen, stages: tuple[Stage, ...], target: Target) -> None:
        self.segments += 1
        self.again += bool(stages)
        self.unchanged += not stages and one.policy_digest == target.policies.digest
        self.stages.update(stages)
        self.with_input.update(stage for stage in STAGES if _has_input(one, stage, target))
        self.streams[one.stream_id] += 1
        for name in ("fetch", *_MEASURED_AS.values()):
            if name in one.stage_ms:
                self._ms[name] += one.stage_ms[name]
                self._measured[name] += 1

    def estimate(self, config: Config) -> Estimate | None:
        """From what the records' own stages took; None when too few of them say."""
        names = [_MEASURED_AS[stage] for stage in self.stages]
        if not all(self._measured[name] for name in names):
            return None
        engine_s = sum(count * self._mean_s(_MEASURED_AS[stage]) for stage, count in self.stages.items())
        slots = config.worker.concurrency
        examined_s = (engine_s + self.again * self._mean_s("fetch")) / slots
        sampled = min((self._measured[name] for name in names), default=self.segments)
        wall_s = examined_s + self.segments * CONCLUDE_S
        return Estimate(sampled=sampled, engine_s=round(engine_s, 2), wall_s=round(wall_s, 2))

    def _mean_s(self, name: str) -> float:
        return self._ms[name] / max(1, self._measured[name]) / 1000


def prepare_rescan(
    config: Config, storage: Storage, order: RescanOrder, *, tell: Progress | None = None, say: Say = silent
) -> Plan:
    """Writes the batches and returns the plan; nothing starts before `Runs.put_plan`.

    The selection is never in memory as a whole. Raises `NothingSelected`, `WrongSelection`, `RunError`, `PolicyError`,
    `StorageError`.
    """
    target, runs = target_of(config, order), Runs(storage)
    run = new_run_id("rescan", secrets.token_hex(2))
    tally, sizes = Tally(), list[int]()
    try:
        with chosen(storage, order.selection, tell=tell, say=say) as found:
            for items in batches_of(found.segments, target, tally):
                sizes.append(len(items))
                runs.put_batch(run, Batch(number=len(sizes), items=items))
    except BaseException:  # Ctrl-C, too: what nobody will start does not stay
        _drop_batches(storage, run, len(sizes))
        raise
    if not sizes:
        raise why_nothing(storage, order.selection, found.unreadable)
    plan = plan_of(config, order, target, tally, run=run, sizes=sizes, left_out=left_out(found))
    if LEXICON in plan.checkpoints and target.lexicon is not None:
        runs.put_lexicon(run, target.lexicon.content)
    return plan


def plan_of(
    config: Config,
    order: RescanOrder,
    target: Target,
    tally: Tally,
    *,
    run: str,
    sizes: Sequence[int],
    left_out: Mapping[str, str],
) -> Plan:
    """The plan of batches of these sizes, whose segments were counted."""
    return Plan(
        schema="liverisk.plan",
        run=run,
        kind="rescan",
        lane="review" if order.urgent else "rescan",
        profile="live",
        created_at=datetime.now(UTC),
        by=order.by,
        reason=order.reason,
        selection=_asked(order) | dict(left_out),
        policies=target.policies,
        checkpoints={slot: target.digests[slot] for slot in sorted(target.slots(tally.stages))},
        batches=tuple(sizes),
        stages={stage: tally.stages[stage] for stage in STAGES if tally.stages[stage]},
        estimate=tally.estimate(config),
        apply=order.apply,
    )


def plan_rescan(
    config: Config, storage: Storage, order: RescanOrder, *, tell: Progress | None = None, say: Say = silent
) -> Plan:
    """Plans and starts: as `prepare_rescan`, and the feeder takes it from there."""
    plan = prepare_rescan(config, storage, order, tell=tell, say=say)
    Runs(storage).put_plan(plan)
    wake(config)
    return plan


def drop_plan(storage: Storage, plan: Plan) -> None:
    """Takes the batches and the lexicon of a plan away that was never started."""
    _drop_batches(storage, plan.run, len(plan.batches))
    if LEXICON in plan.checkpoints:
        storage.delete(f"{PREFIX}{plan.run}/lexicon.json")


def _drop_batches(storage: Storage, run: str, count: int) -> None:
    for number in range(1, count + 1):
        storage.delete(f"{PREFIX}{run}/batches/{number:06d}.json")


def left_out(found: Found) -> dict[str, str]:
    """What was asked for, or may have been, and is not in the selection; once its segments were taken."""
    missing = sorted(found.absent)
    told = {
        "unreadable": (len(found.unreadable), str(next(iter(found.unreadable), ""))),
        "absent": (len(missing), ", ".join("/".join(names) for names in missing[:NAMED])),
    }
    words = {"unreadable": "records cannot be read, the first: ", "absent": "of the listed segments have no record: "}
    return {name: f"{count} {words[name]}{first}" for name, (count, first) in told.items() if count}


def _asked(order: RescanOrder) -> dict[str, str]:
    flags = {"full": order.full, "reuse": order.reuse, "urgent": order.urgent}
    return order.selection.asked() | {name: "yes" for name, given in flags.items() if given}


def batches_of(segments: Iterable[Chosen], target: Target, tally: Tally) -> Iterator[tuple[Item, ...]]:
    """Batches of at most `BATCH_SEGMENTS`, which end with a stream where that leaves them half full.

    A batch waits for the one before if both hold the same stream; so most streams are concluded side by side.
    """
    items: list[Item] = []
    stream = ""
    for one in segments:
        full = len(items) >= BATCH_SEGMENTS
        if full or (one.stream_id != stream and len(items) >= BATCH_SEGMENTS // 2):
            yield tuple(items)
            items = []
        stages = stages_of(one, target)
        tally.add(one, stages, target)
        items.append(Item(source=one.key, stages=stages))
        stream = one.stream_id
    if items:
        yield tuple(items)
