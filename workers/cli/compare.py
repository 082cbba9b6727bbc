"""`liverisk models compare`: where two checkpoints disagree, how their scores moved, what each costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli.config import configured
from workers.cli.main import CommandError
from workers.cli.moment import Moment
from workers.config import Config

if TYPE_CHECKING:
    from pipelines.comparison.report import Comparison
    from workers.comparison.asked import Asking, Stretch

RUN_MOST, READ_MOST = 2_000, 200_000
"""Items of recorded segments unless said otherwise: where models run, and where scores are only read."""

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("old", required=False)
@click.argument("new", required=False)
@click.option("--slot", help="Which slot's settings run them, where both cards fill several.")
@click.option("--lines", type=_FILE, help="JSON Lines of `text` or `image`; with `policies` quality is judged, too.")
@click.option("--images", type=_FOLDER, help="Every image below a folder.")
@click.option("--segments", is_flag=True, help="Texts or frames of recorded segments.")
@click.option("--shadow", metavar="SLOT", help="What the slot's shadow said in recorded segments; runs no model.")
@click.option("--stream", help="Only segments of this stream.")
@click.option("--since", type=Moment(), help="Only segments from then on: 2026-03-10T20:00, 2h, 3d.")
@click.option("--until", type=Moment(), help="Only segments before then.")
@click.option("--most", type=click.IntRange(min=1), help="So many items at most, taken from all over.")
@click.option("--with-text", is_flag=True, help="Show the texts of the examples, not only where they are.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the page with plots there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def compare(
    chosen: Path | None,
    old: str | None,
    new: str | None,
    slot: str | None,
    lines: Path | None,
    images: Path | None,
    segments: bool,
    shadow: str | None,
    stream: str | None,
    since: datetime | None,
    until: datetime | None,
    most: int | None,
    with_text: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """Compare checkpoint NEW with OLD on the same items: run both here, or read what a shadow has said.

    With --shadow both names may be left out. Examples are told by where they are, never by what they say, unless
    --with-text asks for it.
    """
    config = configured(chosen)
    if sum((lines is not None, images is not None, segments, shadow is not None)) != 1:
        raise CommandError("compare takes one of --lines, --images, --segments and --shadow", exit_code=2)
    with told():
        from workers.comparison.asked import Stretch

        stretch = Stretch(stream, since, until)
        if shadow is not None:
            found = _of_shadow(config, shadow, stretch, most or READ_MOST, old, new, with_text)
        else:
            if old is None or new is None:
                raise CommandError("name both checkpoints: liverisk models compare OLD NEW …", exit_code=2)
            found = _side_by_side(config, (old, new), slot, lines, images, stretch, most, with_text)
    show(found, html, as_json=as_json)


@contextmanager
def told() -> Iterator[None]:
    """What can go wrong with checkpoints, items and store, as one line and an exit code."""
    from pipelines.checkpoints import CheckpointError
    from pipelines.policies import PolicyError
    from workers.comparison.asked import NothingThere, WrongInput
    from workers.comparison.running import Unusable
    from workers.registry.store import RegistryError
    from workers.storage import StorageError

    try:
        yield
    except (WrongInput, PolicyError) as error:
        raise CommandError(str(error), exit_code=2) from None
    except NothingThere as error:
        raise CommandError(str(error.args[0]), exit_code=1) from None
    except (CheckpointError, Unusable, StorageError, RegistryError) as error:
        raise CommandError(str(error)) from None


def show(found: Comparison, html: Path | None, *, as_json: bool) -> None:
    """The page if asked for, then JSON or the tables."""
    from workers.comparison.words import comparison_lines

    if html is not None:
        from workers.comparison.page import comparison_page

        write_page(html, comparison_page(found))
    click.echo(found.model_dump_json(by_alias=True) if as_json else "\n".join(comparison_lines(found)))
    if not found.compared:
        raise CommandError("nothing could be compared: no item was answered by both")


def write_page(path: Path, page: str) -> None:
    """A page may name streams and quote texts: only its owner reads it."""
    try:
        path.touch(mode=0o600)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"{path}: cannot be written ({error.strerror or type(error).__name__})", exit_code=2
        ) from None
    click.echo(f"wrote {path}", err=True)


def _of_shadow(
    config: Config, slot: str, stretch: Stretch, most: int, old: str | None, new: str | None, with_text: bool
) -> Comparison:
    from workers.comparison.comparing import of_shadow
    from workers.storage import Storage

    return of_shadow(config, Storage(config.store), slot, stretch, most, old=old, new=new, with_text=with_text)


def _side_by_side(
    config: Config,
    names: tuple[str, str],
    slot: str | None,
    lines: Path | None,
    images: Path | None,
    stretch: Stretch,
    most: int | None,
    with_text: bool,
) -> Comparison:
    from workers.comparison.comparing import side_by_side, slot_for

    slot = slot_for(config, *names, slot)
    asking = _asking(config, slot, lines, images, stretch, most)
    return side_by_side(config, slot, *names, asking, partial(click.echo, err=True), with_text=with_text)


def _asking(
    config: Config, slot: str, lines: Path | None, images: Path | None, stretch: Stretch, most: int | None
) -> Asking:
    from workers.comparison.asked import WrongInput, of_images, of_lines, of_segments, takes_text, thinned
    from workers.storage import Storage

    if lines is not None:
        return thinned(of_lines(lines, slot), most)
    if images is None:
        return of_segments(Storage(config.store), slot, stretch, most or RUN_MOST)
    if takes_text(slot):
        raise WrongInput(f"{slot} reads texts: give --lines or --segments")
    return thinned(of_images(images), most)
