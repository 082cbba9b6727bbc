"""`liverisk status`: one screen of the pool."""

from __future__ import annotations

import sys
import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli.config import configured
from workers.cli.following import span
from workers.cli.main import CommandError
from workers.cli.slots import slot_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workers.config import Config
    from workers.engine.reported import Engine
    from workers.lexicons import Standing
    from workers.recent import Summary
    from workers.runs.run import Progress
    from workers.status import Lane, Status, Worker

EVERY_S = 2.0


@click.command()
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a look.")
@click.pass_obj
def status(chosen: Path | None, watch: bool, as_json: bool) -> None:
    """Print lanes, workers, engines, slots, open runs and coverage. Ends with 3 when broker or store is unreachable."""
    from workers.status import read_status

    config = configured(chosen)
    if watch:
        _watch(config, as_json=as_json)
        return
    found = read_status(config)
    click.echo(_json(found) if as_json else "\n".join(screen(found)))
    if not found.reachable:
        away = [name for name, piece in (("broker", found.broker), ("store", found.store)) if not piece.answers]
        raise CommandError(f"{' and '.join(away)} not answering; is `liverisk up` running?")


def screen(found: Status) -> Iterator[str]:
    """The lines of one screen; whatever does not answer has its line too."""
    yield f"{found.at:%F %T}Z"
    for name, piece in (("broker", found.broker), ("store", found.store)):
        yield f"{name:<8} {'ok' if piece.answers else 'NOT ANSWERING'}  {piece.detail}"
    for lane in found.lanes:
        yield f"{'lane':<8} {_lane(lane)}"
    yield f"{'in work':<8} {_number(found.in_work)} delivered and not yet acknowledged"
    yield from _rows("worker", None if found.workers is None else [_worker(one) for one in found.workers])
    yield from _rows("engine", None if found.engines is None else [_engine(one) for one in found.engines])
    for engine in found.engines or ():
        yield from _slots(engine)
    yield from _registry(found)
    yield from _rows("lexicons", None if found.lexicons is None else list(_lexicons(found.lexicons)))
    yield from _runs(found)
    yield from _recent(found.recent) if found.broker.answers else _rows("recent", None)
    dead = f", and {found.put_aside} that no feeder has brought there yet" if found.put_aside else ""
    yield f"quarantine {_number(found.quarantined)}{dead}"


def _watch(config: Config, *, as_json: bool) -> None:
    """Looks until interrupted. A terminal is redrawn, a log gets one screen after another."""
    from workers.status import read_status

    try:
        while True:
            found = read_status(config)
            if sys.stdout.isatty() and not as_json:
                click.clear()
            click.echo(_json(found) if as_json else "\n".join((*screen(found), "")))
            time.sleep(EVERY_S)
    except KeyboardInterrupt:
        return


def _json(found: Status) -> str:
    from pydantic import TypeAdapter

    from workers.status import Status

    return TypeAdapter(Status).dump_json(found).decode()


def _rows(name: str, lines: list[str] | None) -> Iterator[str]:
    if lines is None:
        yield f"{name:<8} NOT ANSWERING"
    elif not lines:
        yield f"{name:<8} none"
    else:
        yield from (f"{name:<8} {line}" for line in lines)


def _lane(lane: Lane) -> str:
    oldest = "" if lane.oldest_s is None else f", the oldest for {span(lane.oldest_s)}"
    takers = "" if lane.workers is None else f", taken by {lane.workers} workers"
    alarm = "  NOBODY TAKES IT" if lane.workers == 0 and lane.waiting else ""
    return f"{lane.name:<7} {_number(lane.waiting)} waiting{oldest}{takers}{alarm}"


def _worker(worker: Worker) -> str:
    busy = f"{_number(worker.active)} of {_number(worker.concurrency)} busy"
    return f"{worker.name}  pid {_number(worker.pid)}, {busy}, lanes {' '.join(worker.lanes) or 'none'}"


def _engine(engine: Engine) -> str:
    if not engine.readable:
        return f"{engine.host}  reports what this version cannot read"
    memory = "?" if engine.rss_bytes is None else f"{engine.rss_bytes / 2**20:.0f} MiB"
    ready = "ready" if engine.ready else f"NOT READY {engine.progress}".rstrip()
    attached = _number(engine.attached)
    return f"{engine.host}  {ready}, {engine.device}, {memory}, pid {_number(engine.pid)}, {attached} attached"


def _slots(engine: Engine) -> Iterator[str]:
    """What fills each slot of an engine, what is tried beside, and what is not as the registry says."""
    for name, active in engine.slots.items():
        roles = (("", active), (" canary", engine.canary.get(name)), (" shadow", engine.shadow.get(name)))
        for role, slot in roles:
            if slot is None:
                continue
            share = f" of {engine.shares.get(name, 0):g} % of streams" if role == " canary" else ""
            ref = slot.checkpoint
            yield (
                f"{'  slot':<8} {name}{role}{share}: {ref.id}@{ref.digest[:12]} {ref.session}, "
                f"{slot.items} items in {slot.batches} batches, {slot.failed} failed, {slot.waiting} waiting"
            )
    for name, problem in engine.problems.items():
        yield f"{'  slot':<8} {name} IS NOT AS THE REGISTRY SAYS: {problem}"


def _registry(found: Status) -> Iterator[str]:
    """Nothing as long as nobody ever moved a checkpoint."""
    if found.registry_problem and found.store.answers:
        yield f"registry NOT READ: {found.registry_problem}"
    if found.registry is not None:
        yield from (f"registry {line}" for line in slot_lines(found.configured, found.registry))
        behind = [one for one in found.engines or () if one.registry not in (None, found.registry.version)]
        yield from (f"registry {one.host} still serves version {one.registry}" for one in behind)


def _lexicons(standing: Sequence[Standing]) -> Iterator[str]:
    """Each lexicon in force, with how many workers have it, and what is broken in whose folder."""
    for digest, same in groupby(sorted(standing, key=lambda one: one.digest), key=lambda one: one.digest):
        those = list(same)
        expired = f", {those[0].expired} expired" if those[0].expired else ""
        workers = "1 worker" if len(those) == 1 else f"{len(those)} workers"
        yield f"{digest[:12]}, {those[0].terms} terms{expired}, of {workers}"
    for problem, several in groupby(sorted(standing, key=_problem), key=_problem):
        if problem:
            names = ", ".join(one.worker for one in several)
            yield f"BROKEN, the last good ones stay in force: {problem} ({names})"


def _problem(standing: Standing) -> str:
    return standing.problem or ""


def _runs(found: Status) -> Iterator[str]:
    """Whoever feeds, then the open runs; an alarm when there are some and nobody feeds them."""
    waits = bool(found.runs or found.runs_unread)
    fed = {True: "running", None: "NOT ANSWERING"}.get(found.feeder, "NONE, RUNS WAIT" if waits else "none")
    yield f"{'feeder':<8} {fed}"
    yield from _rows("run", None if found.runs is None else [_run(one) for one in found.runs])
    yield from (f"{'run':<8} {run}  NOT READ" for run in found.runs_unread)


def _run(one: Progress) -> str:
    counts = f", {one.done} of {one.selected}" if one.selected else ""
    fused = f", {one.examined} more examined" if one.examined else ""
    rate = "" if one.rate_per_s is None else f", {one.rate_per_s:.2g} a second"
    eta = "" if one.eta_s is None else f", {span(one.eta_s)} to go"
    said = f"; {one.detail}" if one.detail else ""
    return f"{one.run}  {one.state}, lane {one.lane}{counts}{fused}{rate}{eta}{said}"


def _recent(summary: Summary | None) -> Iterator[str]:
    if summary is None:
        yield f"{'recent':<8} no segment finished lately"
        return
    after = summary.latency_s
    late = f"; segment end to record p50 {after.p50:.1f} s, p95 {after.p95:.1f} s" if after else ""
    minutes = summary.window_s // 60
    yield f"{'recent':<8} {summary.segments} segments in {minutes} min, {summary.flagged} flagged{late}"
    lacking = ", ".join(f"{what} {count}" for what, count in summary.lacking.items())
    yield f"{'coverage':<8} {summary.whole} of {summary.segments} wholly examined{': ' + lacking if lacking else ''}"


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)
