"""`liverisk review`: a deep look at a stretch of a stream, and the packet it ends in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli.asking import asking, on_record
from workers.cli.config import configured
from workers.cli.main import CommandError
from workers.cli.moment import Moment
from workers.cli.rescan_runs import refusals

if TYPE_CHECKING:
    from workers.config import Config
    from workers.runs.packet import Packet
    from workers.runs.run import Progress, Request
    from workers.runs.store import Runs

READERS = 8


@click.command()
@click.argument("stream", required=False)
@click.option("--since", type=Moment(), help="2026-03-10T20:00 (UTC), or how long ago: 90m, 2h, 3d.")
@click.option("--until", type=Moment(), help="Segments that start before this.")
@click.option("--reason", default="", help="Kept with the review, for whoever reads it later.")
@click.option("--detach", is_flag=True, help="Ask for it and return; `review --list` shows how it comes on.")
@click.option("--list", "list_all", is_flag=True, help="Every review that was asked for, oldest first.")
@click.option("--show", metavar="RUN", help="The packet of a review that is finished.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the packet's page there.")
@click.option("--originals", is_flag=True, help="That page with frames as they are, not blurred. Needs --output.")
@click.option("--json", "as_json", is_flag=True, help="The packet, or the list, as JSON.")
@click.pass_obj
def review(
    chosen: Path | None,
    stream: str | None,
    since: datetime | None,
    until: datetime | None,
    reason: str,
    detach: bool,
    list_all: bool,
    show: str | None,
    output: Path | None,
    originals: bool,
    as_json: bool,
) -> None:
    """Look at a stream again, as thoroughly as can be, and say what live had missed.

    Every frame, all on-screen text, speech with what was said before and after. Live records stay as they are.
    """
    if sum((stream is not None, list_all, show is not None)) != 1:
        raise CommandError("give a stream to review, --list, or --show RUN", exit_code=2)
    if originals and output is None:
        raise CommandError("--originals needs --output FILE: they are never printed or stored", exit_code=2)
    if output is not None and (detach or list_all):
        raise CommandError("--output needs a finished review: leave --detach and --list out", exit_code=2)
    config = configured(chosen)
    with refusals():
        if list_all:
            _list(config, as_json=as_json)
            return
        if stream is not None:
            request = _ask(config, stream, since, until, reason)
            if detach:
                click.echo(_json(request) if as_json else f"{request.run} is asked for; `review --show` has its packet")
                return
            show = _until_over(config, request.run)
        assert show is not None
        _show(config, show, output, originals=originals, as_json=as_json)


def _ask(config: Config, stream: str, since: datetime | None, until: datetime | None, reason: str) -> Request:
    """Asks, if there is anything to look at."""
    from workers.records import record_keys
    from workers.runs.hold import wake
    from workers.runs.reviews import RequestError, request_review
    from workers.storage import Storage

    storage = Storage(config.store)
    if next(record_keys(storage, stream_id=stream, since=since, until=until, run="live"), None) is None:
        raise CommandError(f"no records of stream {stream}{_bounds(since, until)}", exit_code=1)
    try:
        with on_record(storage, stream, reason=reason) as result:
            request = request_review(storage, stream, since, until, reason, asking())
            result["run"] = request.run
    except RequestError as error:
        raise CommandError(str(error), exit_code=2) from None
    wake(config)
    return request


def _until_over(config: Config, run: str) -> str:
    from workers.cli.following import follow
    from workers.runs.store import Runs
    from workers.storage import Storage

    ended = follow(config, Runs(Storage(config.store)), run)
    if ended.state == "cancelled":
        raise CommandError(f"{run} was cancelled" + ("" if ended.selected else ": its stretch has no readable records"))
    return run


def _show(config: Config, run: str, output: Path | None, *, originals: bool, as_json: bool) -> None:
    from workers.runs.packet import page_key, read_packet
    from workers.runs.packet_page import packet_page
    from workers.runs.store import Runs
    from workers.storage import Storage

    storage = Storage(config.store)
    state = Runs(storage).state(run)
    if state != "finished":
        raise CommandError(
            f"{run} is {state}: it has no packet" + (" yet" if state != "cancelled" else ""), exit_code=1
        )
    packet = read_packet(storage, run)
    click.echo(_json(packet) if as_json else "\n".join(summary(packet)))
    if output is not None:
        page = packet_page(packet, storage, originals=True).encode() if originals else storage.get(page_key(run))
        try:
            output.write_bytes(page)
        except OSError as error:
            raise CommandError(f"{output}: {error.strerror or type(error).__name__}", exit_code=2) from None
        click.echo(f"page: {output}{' (original frames)' if originals else ''}", err=as_json)
    elif not as_json:
        click.echo(f"page: s3://{config.store.bucket}/{page_key(run)}; --show {run} --output FILE.html saves it")


def summary(packet: Packet) -> Iterator[str]:
    """The packet in a few lines."""
    from workers.runs.packet_page import conclusion, found_in_words, many
    from workers.verdicts.show import printable

    yield (
        f"{packet.run} of {packet.stream_id}, {packet.since:%F %T}Z to {packet.until:%F %T}Z: "
        f"{packet.reviewed} of {packet.segments} segments reviewed"
    )
    missed = found_in_words(packet)
    yield f"{conclusion(packet)[0].lower()}{conclusion(packet)[1:]}{':' if missed else ''}"
    yield from (f"  {printable(line)}" for line in missed)
    flagged = [one for one in packet.deep.timeline if one.kind == "flagged"]
    if flagged:
        yield "flagged:"
    for one in flagged:
        title = packet.titles.get(one.policy or "", one.policy or "")
        yield f"  {one.start:%F %T} to {one.end:%T}  {title}: {one.severity}, {one.action}, {one.probability:.2f}"
    if packet.unexaminable:
        yield f"{many(len(packet.unexaminable), 'segment')} could not be reviewed; the page names them"
    if packet.kept:
        yield f"of {many(len(packet.kept), 'segment')} not everything could be looked at again; the page says why"


def _list(config: Config, *, as_json: bool) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from workers.cli.following import in_words
    from workers.runs.store import Runs
    from workers.storage import Storage
    from workers.verdicts.show import printable

    runs = Runs(Storage(config.store))
    with ThreadPoolExecutor(READERS) as pool:
        names = [run for run in runs.ids() if run.startswith("review-")]
        found = [one for one in pool.map(lambda run: _listed(runs, run), names) if one is not None]
    if not found:
        raise CommandError("no review was ever asked for", exit_code=1)
    for stream, progress in sorted(found, key=lambda one: one[1].created_at):
        if as_json:
            click.echo(json.dumps({"stream_id": stream, **progress.model_dump(mode="json")}))
        else:
            reason = f"  ({printable(progress.reason)})" if progress.reason else ""
            click.echo(f"{progress.run}  {stream}  {in_words(progress)}{reason}")


def _listed(runs: Runs, run: str) -> tuple[str, Progress] | None:
    """The stream a review is of, and where it stands; what is no review after all is None."""
    from workers.runs.progress import progress
    from workers.runs.store import NoSuchRun

    with suppress(NoSuchRun):
        request = runs.request(run)
        return request.stream_id if request else "?", progress(runs, run, None)
    return None


def _json(what: Request | Packet) -> str:
    return what.model_dump_json(by_alias=True, exclude_none=True)


def _bounds(since: datetime | None, until: datetime | None) -> str:
    after = f" since {since:%F %T}Z" if since else ""
    return after + (f" until {until:%F %T}Z" if until else "")
