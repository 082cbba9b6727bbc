"""The moves of checkpoints in and out of slots, from Python; the command line is a thin layer over these.

Each reads the registry, says what would become of the slot, and, unless it is only tried, writes it and tells the
engines. Each raises `RegistryError` in one line when the move must not be made. `await_engines` says what they make of
it, and `withdraw` undoes what one of them could not take in.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import redis

from workers.config import Config, ConfigError
from workers.registry.evaluated import Evaluated, evaluated, objections
from workers.registry.intake import Intake, nudge, reports
from workers.registry.slots import Move, Named, SlotFilling, Step
from workers.registry.store import RegistryError, State, read_state, write_move
from workers.registry.verified import configured, loading_bytes, lost_policies, verified
from workers.state import connect
from workers.storage import Storage

logger = logging.getLogger(__name__)

LOOK_S = 0.1
COMES_UP_S = 15.0
"""An engine that said nothing when the move was made may be coming up; so long one is waited for."""


class StillMoving(RegistryError):
    """The move before is still being taken in."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who moves (none: this host), why, and how.

    `force`: the reason for which objections are passed over. `drain`: engines without room for two free the old one
    first. `dry_run`: only say what would be.
    """

    why: str = ""
    who: str = ""
    force: str = ""
    drain: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What one engine says of a move. `problem` None: it serves it."""

    engine: str
    problem: str | None = None


def shadow(config: Config, slot: str, checkpoint: str, asked: Asked = Asked()) -> Move:
    """Has the checkpoint score beside the active one, used for nothing."""
    new = verified(config, slot, checkpoint)
    return _move(config, slot, "shadow", asked, lambda now: now.model_copy(update={"shadow": _other(new, now)}))


def canary(config: Config, slot: str, checkpoint: str | None, share: float, asked: Asked = Asked()) -> Move:
    """Has `share` percent of the streams use the checkpoint; without one, that of the canary or shadow there is."""
    if not 0 < share <= 100:
        raise RegistryError(f"a canary takes more than 0 and at most 100 percent of the streams, not {share:g}")
    named = verified(config, slot, checkpoint) if checkpoint else None

    def change(now: SlotFilling) -> SlotFilling:
        return now.model_copy(update={"canary": _other(named or _tried(slot, now), now), "share": share})

    return _move(config, slot, "canary", asked, change)


def promote(config: Config, slot: str, checkpoint: str | None = None, asked: Asked = Asked()) -> Move:
    """Makes the checkpoint the active one; without one, the canary or else the shadow."""
    named = verified(config, slot, checkpoint) if checkpoint else None

    def change(now: SlotFilling) -> SlotFilling:
        return now.promoted(_other(named or _tried(slot, now), now))

    return _move(config, slot, "promote", asked, change)


def rollback(config: Config, slot: str, asked: Asked = Asked()) -> Move:
    """Takes out what came in last: the canary if there is one, else the active one for the one before it.

    Again, and it leads to the one before that.
    """

    def change(now: SlotFilling) -> SlotFilling:
        if now.canary is not None:
            return now.model_copy(update={"canary": None, "share": 0})
        if (before := now.rolled_back()) is None:
            raise RegistryError(f"{slot}: nothing to roll back to; `liverisk models promote {slot} NAME` goes to any")
        return before

    return _move(config, slot, "rollback", asked, change)


def clear(config: Config, slot: str, asked: Asked = Asked()) -> Move:
    """Drops shadow and canary."""

    def change(now: SlotFilling) -> SlotFilling:
        if now.shadow is None and now.canary is None:
            raise RegistryError(f"{slot}: has neither shadow nor canary")
        return now.model_copy(update={"shadow": None, "canary": None, "share": 0})

    return _move(config, slot, "clear", asked, change)


def withdraw(config: Config, move: Move, why: str) -> Move:
    """Undoes the last move. `MovedMeanwhile` or `RegistryError` when it is not the last any more."""
    storage = Storage(config.store)
    state = read_state(storage)
    if state.version != move.version:
        raise RegistryError(f"move {move.version} is not the last any more, so it stands")
    undo = Move(
        version=move.version + 1,
        at=datetime.now(UTC),
        who=move.who,
        why=why[:2000],
        step="withdraw",
        slot=move.slot,
        before=move.after,
        after=move.before,
    )
    write_move(storage, state, undo)
    _tell(config)
    return undo


def engines(config: Config) -> tuple[Intake, ...]:
    """What every engine of this registry lately said; nothing when the broker's store does not answer."""
    return tuple(one for one in all_engines(config) if one.follows in ("", config.store.bucket))


def all_engines(config: Config) -> tuple[Intake, ...]:
    """As `engines`, and those that follow another bucket's registry: no move that is made here reaches them."""
    with suppress(redis.RedisError, ConfigError), connect(config) as client:
        return reports(client)
    return ()


def await_engines(
    config: Config, move: Move, timeout_s: float, said: Callable[[str], None] = logger.info
) -> tuple[Answer, ...]:
    """What each engine that runs makes of the move; empty when none runs. `StillMoving` when the time is up.

    `said` is told what is being waited for, when that changes.
    """
    started, doing = time.monotonic(), ""
    while True:
        found = engines(config)
        behind = [one for one in found if one.version is None or one.version < move.version]
        if found and not behind:
            return tuple(Answer(one.engine, one.problems.get(move.slot)) for one in found)
        waited_s = time.monotonic() - started
        if not found and waited_s > min(COMES_UP_S, timeout_s):
            return ()
        if waited_s > timeout_s:
            raise StillMoving(f"{behind[0].engine} is still at it after {timeout_s:g} s; the move stands and goes on")
        now = ", ".join(f"{one.engine}: {one.doing or 'has not looked yet'}" for one in behind) or "no engine answers"
        if now != doing:
            said(doing := now)
        time.sleep(LOOK_S)


def _move(config: Config, slot: str, step: Step, asked: Asked, change: Callable[[SlotFilling], SlotFilling]) -> Move:
    storage = Storage(config.store)
    state = read_state(storage)
    usual = configured(config, slot)
    before = state.filling(slot)
    now = before or SlotFilling(active=usual)
    _refuse_while_moving(config, state, slot, step)
    after = change(now)
    if after == now:
        raise RegistryError(f"{slot}: is so already: {now}")
    known, against = _doubts(config, storage, slot, step, now, after)
    if against and not asked.force:
        more = f" (and {len(against) - 1} more)" if len(against) > 1 else ""
        raise RegistryError(f'{against[0]}{more}; --force "reason" takes it all the same')
    if not asked.drain:
        _refuse_without_room(config, now, after)
    move = Move(
        version=state.version + 1,
        at=datetime.now(UTC),
        who=(asked.who or platform.node())[:256],
        why=asked.why[:2000],
        step=step,
        slot=slot,
        before=before,
        after=after,
        drain=asked.drain,
        evaluation=str(known or ""),
        forced=asked.force[:2000] if against else "",
        objections=against,
    )
    if not asked.dry_run:
        write_move(storage, state, move)
        _tell(config)
    return move


def _refuse_while_moving(config: Config, state: State, slot: str, step: Step) -> None:
    """One move at a time; but what is just being taken in may be rolled back at once."""
    if state.registry is None:
        return
    last = state.registry.last
    if step == "rollback" and last.slot == slot and last.step not in ("rollback", "withdraw"):
        return
    for engine in engines(config):
        if engine.version is not None and engine.version < state.version:
            ago_s = (datetime.now(UTC) - last.at).total_seconds()
            raise StillMoving(
                f"another move is still being taken in: {last} by {last.who}, {ago_s:.0f} s ago; "
                f"{engine.engine} is at it ({engine.doing or 'has not looked yet'})"
            )


def _doubts(
    config: Config, storage: Storage, slot: str, step: Step, now: SlotFilling, after: SlotFilling
) -> tuple[Evaluated | None, tuple[str, ...]]:
    """What is known of the checkpoint that the move puts to use, and a line for each thing that speaks against it.

    It must have been held against the active one, and speak for what that does where nothing else would. Nothing is
    asked of a way back.
    """
    new = {"promote": after.active, "canary": after.canary}.get(step)
    if new is None or new in (now.active, now.canary if step == "canary" else None):
        return None, ()
    lost = lost_policies(config, slot, now.active, new)
    silent = (f"{new.id}: no label of it speaks for {', '.join(lost)}, and {now.active.id} does",) if lost else ()
    known = evaluated(storage, slot, new, now.active)
    return known, (*silent, *objections(known, slot, new, now.active))


def _refuse_without_room(config: Config, now: SlotFilling, after: SlotFilling) -> None:
    """Said before anything is loaded; each engine looks again before it does."""
    for new in after.named:
        if new in (*now.named, now.previous):
            continue
        for engine in engines(config):
            needed = loading_bytes(config, new, engine.holds)
            if engine.free_bytes is not None and needed > engine.free_bytes:
                raise RegistryError(
                    f"{new.id}: takes about {needed >> 20} MiB to load and {engine.engine} has "
                    f"{engine.free_bytes >> 20} MiB free; give more, or free the old one first with --drain"
                )


def _other(new: Named, now: SlotFilling) -> Named:
    if new == now.active:
        raise RegistryError(f"{new} is the active one already")
    return new


def _tried(slot: str, now: SlotFilling) -> Named:
    found = now.canary or now.shadow
    if found is None:
        raise RegistryError(f"{slot}: has neither canary nor shadow; name a checkpoint")
    return found


def _tell(config: Config) -> None:
    """A nudge that is lost costs a few seconds."""
    with suppress(redis.RedisError, ConfigError), connect(config) as client:
        nudge(client)
