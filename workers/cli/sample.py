"""`liverisk sample`: cut a file or live source into segments and queue them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import click
from pydantic import ValidationError

from pipelines.manifest import Context, one_line
from workers.cli.config import configured
from workers.cli.main import CommandError
from workers.lanes import LANES, Lane
from workers.publish import Publisher, PublishError
from workers.sampler.report import SampleSummary, SegmentReport
from workers.sampler.run import Order, SampleError
from workers.sampler.run import sample as run
from workers.storage import Storage, StorageError

LOOK_S = 0.1


@contextmanager
def stopped_by_signal() -> Iterator[threading.Event]:
    """An event that is set after SIGINT or SIGTERM; a second signal has its usual effect.

    The handler only notes the signal: `Event.set` there could wait for a lock that the code it interrupts holds.
    """
    stop, over = threading.Event(), threading.Event()
    told: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        restore()
        told.append(number)

    def look() -> None:
        while not (told or over.wait(LOOK_S)):
            pass
        if told:
            stop.set()

    looking = threading.Thread(target=look, name="signals", daemon=True)
    looking.start()
    for number in before:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        restore()
        over.set()
        looking.join()


def _line(report: SegmentReport) -> str:
    parts = [report.segment_id, f"{report.frames} frames", f"{report.audio_s:.1f} s audio", f"{report.chat_lines} chat"]
    parts += [f"gap {gap.from_s:.1f}-{gap.to_s:.1f} s ({gap.reason})" for gap in report.gaps]
    if report.chat_bad:
        parts.append(f"unusable chat lines: {', '.join(map(str, report.chat_bad))}")
    return "  ".join(parts)


def _closing(summary: SampleSummary) -> str:
    said = (
        f"{summary.ended}: {summary.segments} segments, {summary.frames} frames, {summary.audio_s:.1f} s audio, "
        f"{summary.chat_lines} chat lines, {summary.gap_s:.1f} s of gaps, {summary.reconnects} reconnects"
    )
    noted = {
        "packets that could not be decoded": summary.undecodable,
        "chat lines that could not be used": summary.chat_bad,
        "chat lines that came after their segment": summary.chat_late,
        "chat lines after the end of the source, not queued": summary.chat_outside,
    }
    lines = [said, *(f"{count} {what}" for what, count in noted.items() if count)]
    if summary.known:
        lines.append(
            f"{summary.known} segments already have a record in run {summary.run} and were not queued; "
            "use --run NAME to examine them again"
        )
    return "\n".join(lines)


@click.command()
@click.argument("source")
@click.option("--stream", "stream_id", required=True, help="The stream's id.")
@click.option("--chat", type=click.Path(path_type=Path), help="JSON Lines: at_s, user, text.")
@click.option("--follow", is_flag=True, help="Play a recording at its own speed, as if it were live; read chat on.")
@click.option("--tier", default="default", show_default=True, help="A tier of sampler.tiers: how densely to sample.")
@click.option("--lane", type=click.Choice(LANES), default="live", show_default=True)
@click.option("--run", "run_name", default="live", show_default=True, help="Another name examines a stream again.")
@click.option("--language", help="As the platform declares it, such as zh.")
@click.option("--region", help="As the platform declares it, such as CN.")
@click.option("--viewers", type=click.IntRange(min=0))
@click.option("--start", help="Wall clock of the first instant, ISO 8601. A file's default is its modification time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a segment, then the summary.")
@click.pass_obj
def sample(
    chosen: Path | None,
    source: str,
    stream_id: str,
    chat: Path | None,
    follow: bool,
    tier: str,
    lane: Lane,
    run_name: str,
    language: str | None,
    region: str | None,
    viewers: int | None,
    start: str | None,
    as_json: bool,
) -> None:
    """Cut SOURCE (a file, an HLS playlist, an RTMP or HTTP stream) into segments and queue them."""
    from workers.logs import set_up_logging

    config = configured(chosen)
    set_up_logging("WARNING", config.log.format)
    context = _context(language, region, viewers)
    order = Order(source, stream_id, tier, lane, run_name, _moment(start), follow, chat, context)

    def tell(report: SegmentReport) -> None:
        click.echo(report.model_dump_json() if as_json else _line(report))

    try:
        with Publisher(config) as publisher, stopped_by_signal() as stop:
            publisher.check()
            summary = run(
                order, config=config, storage=Storage(config.store), publisher=publisher, report=tell, stop=stop
            )
    except (PublishError, StorageError) as error:
        raise CommandError(str(error)) from None
    except SampleError as error:
        raise CommandError(str(error), 2 if error.wrong_input else 3) from None
    click.echo(summary.model_dump_json() if as_json else _closing(summary))
    if not (summary.segments or summary.known):
        raise CommandError("nothing in the source was long enough to be a segment", exit_code=1)


def _context(language: str | None, region: str | None, viewers: int | None) -> Context:
    try:
        return Context(language=language, region=region, viewers=viewers)
    except ValidationError as error:
        raise CommandError(f"--{one_line(error)}", exit_code=2) from None


def _moment(start: str | None) -> datetime | None:
    """A time without a zone is taken as UTC."""
    if start is None:
        return None
    try:
        moment = datetime.fromisoformat(start)
    except ValueError:
        raise CommandError("--start must be ISO 8601, such as 2026-01-31T12:00:00Z", exit_code=2) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
