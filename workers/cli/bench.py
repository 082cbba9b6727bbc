"""`liverisk bench`: the pool beside what else could examine the same segments, measured in one run."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from workers.cli.config import configured
from workers.cli.main import CommandError

CORES = os.cpu_count() or 1


def _listed(_: click.Context, __: click.Parameter, value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


@click.command()
@click.option("--parts", default="compare,stages,savings,growth,help", show_default=True, callback=_listed)
@click.option("--contenders", default="bare,pool,pool-whole,celery,ray", show_default=True, callback=_listed)
@click.option("--shapes", default="busy,quiet,flood", show_default=True, callback=_listed)
@click.option("--segments", default=16, show_default=True, type=click.IntRange(1), help="Of each shape in each block.")
@click.option("--distinct", default=8, show_default=True, type=click.IntRange(4), help="Generated ones of each shape.")
@click.option("--blocks", default=1, show_default=True, type=click.IntRange(1), help="Rounds in changing order.")
@click.option("--warm-up", default=4, show_default=True, type=click.IntRange(0), help="Segments before all measuring.")
@click.option("--alone", default=3, show_default=True, type=click.IntRange(0), help="Segments one after the other.")
@click.option("--loads", default="50,80", show_default=True, callback=_listed, help="Per cent of the own throughput.")
@click.option("--loaded", default="bare,pool", show_default=True, callback=_listed, help="Contenders that are loaded.")
@click.option("--loaded-segments", default=24, show_default=True, type=click.IntRange(0), help="At each load; 0: none.")
@click.option("--children", default=2 * CORES, show_default=True, type=click.IntRange(1), help="Of the pool's worker.")
@click.option("--celery-children", default=4, show_default=True, type=click.IntRange(1))
@click.option(
    "--lanes", default=CORES, show_default=True, type=click.IntRange(1), help="Of bare, each with its models."
)
@click.option("--ahead", default=64, show_default=True, type=click.IntRange(1), help="Segments queued at a time.")
@click.option("--growth", default="60,600", show_default=True, callback=_listed, help="Numbers of segments.")
@click.option("--growth-shape", default="quiet", show_default=True, type=click.Choice(["busy", "quiet", "flood"]))
@click.option("--items", default=16, show_default=True, type=click.IntRange(4), help="Of each single model.")
@click.option("--ray-python", default=sys.executable, help="The interpreter that has Ray.  [default: this one]")
@click.option("--seed", default=7, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Where the report goes.")
@click.pass_obj
def bench(chosen: Path | None, /, json_file: Path | None, **asked: object) -> None:
    """Measure the pool and others on generated segments; ends with 3 when a bar is missed.

    A first look of two minutes: --parts compare,help --contenders bare,pool --shapes busy,quiet --segments 8
    --distinct 4 --alone 2 --loaded-segments 0. Longer and more certain, two hours: --blocks 3 --growth 60,600,6000
    --loaded bare,pool,celery,ray. Services, engine and workers are its own; nothing of a running pool is touched.
    """
    from pydantic import ValidationError

    from pipelines.manifest import one_line
    from workers.bench.contender import ContenderFailed
    from workers.bench.order import Order
    from workers.bench.parts import run
    from workers.bench.report import bars
    from workers.bench.tables import tables
    from workers.stack.processes import StackError
    from workers.storage import StorageError

    settings = configured(chosen)
    try:
        order = Order.model_validate({**asked, "command": shlex.join(["liverisk", *sys.argv[1:]])})
    except ValidationError as error:
        raise CommandError(f"--{one_line(error)}", exit_code=2) from None
    try:
        report = run(order, settings, lambda line: click.echo(line, err=True))
    except (ContenderFailed, StackError, StorageError) as error:
        raise CommandError(str(error)) from None
    if json_file is not None:
        json_file.write_text(report.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8")
    for line in tables(report):
        click.echo(line)
    missed = [bar.what for bar in bars(report) if bar.holds is False]
    if missed:
        raise CommandError(f"{len(missed)} of the bars missed: {'; '.join(missed)}")
