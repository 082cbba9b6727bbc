"""`liverisk rescan`: look again at what is recorded, with today's policies and models, and say what that changes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from workers.cli.asking import asking, on_record
from workers.cli.config import configured
from workers.cli.main import CommandError
from workers.cli.moment import Moment
from workers.cli.rescan_runs import SUBCOMMANDS, refusals, show_until_over

if TYPE_CHECKING:
    from pipelines.policies import Policies
    from workers.config import Config
    from workers.records import Progress as Told
    from workers.runs.planning import RescanOrder
    from workers.storage import Storage

SELECTING = ("where", "stream", "since", "until", "policy", "region", "language", "checkpoint", "segments", "run")


@click.group(invoke_without_command=True)
@click.option("--where", metavar="SQL", help="A condition over a verdict and its segment: the columns of both tables.")
@click.option("--stream", multiple=True, metavar="ID", help="Only this stream; may be given several times.")
@click.option("--since", type=Moment(), help="2026-03-10T20:00 (UTC), or how long ago: 90m, 2h, 3d.")
@click.option("--until", type=Moment(), help="Segments that start before this.")
@click.option("--policy", multiple=True, metavar="ID", help="Only where this policy was flagged, or one of several.")
@click.option("--region", help="As the platform declared it.")
@click.option("--language", help="As the platform declared it, or as heard.")
@click.option(
    "--checkpoint", metavar="DIGEST", help="Examined by this checkpoint: a digest, or id@digest; a start will do."
)
@click.option("--segments", type=click.File("rb"), help="Only the segments listed in a file; - reads standard input.")
@click.option("--run", metavar="RUN", help="Start from this run's records instead of the current ones.")
@click.option("--policies", type=click.Path(path_type=Path), help="Another policies.yaml than the configuration's.")
@click.option("--full", is_flag=True, help="Every stage again, whatever changed.")
@click.option("--reuse", is_flag=True, help="No stage again: stored observations are only fused anew.")
@click.option(
    "--dry-run", is_flag=True, help="Say what would be done, what it costs and what would change; do nothing."
)
@click.option("--sample", type=click.IntRange(0, 1000), default=20, show_default=True, help="Segments a dry run tries.")
@click.option("--urgent", is_flag=True, help="Ride in the review lane, before other rescans.")
@click.option("--apply", is_flag=True, help="Make its verdicts the current ones when it has finished.")
@click.option("--reason", default="", help="Kept with the run, for whoever reads it later.")
@click.option("--detach", is_flag=True, help="Start it and return; `rescan status` shows how it comes on.")
@click.option("--yes", is_flag=True, help="Do not ask before starting.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def rescan(context: click.Context, /, **given: Any) -> None:
    """Look again at recorded segments; live records stay as they are.

    Only what changed runs again: after a change of policies nothing, after one of a checkpoint its stage. The new
    records belong to a run of their own, which ends in a diff. All conditions must hold.
    """
    if context.invoked_subcommand is not None:
        if any(context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE for name in given):
            raise CommandError(f"options of a new rescan do not go with `{context.invoked_subcommand}`", exit_code=2)
        return
    if not any(given[name] is not None and given[name] != () for name in SELECTING):
        raise CommandError(
            "say which segments: --stream, --since, --where …; `--where true` is all of them", exit_code=2
        )
    config = configured(context.obj)
    with refusals():
        order = _order(given)
        if given["dry_run"]:
            _foretell(config, _store(config), order, given["sample"], as_json=given["as_json"])
        else:
            _start(config, _store(config), order, given)


def _foretell(config: Config, storage: Storage, order: RescanOrder, sample: int, *, as_json: bool) -> None:
    from workers.cli.rescan_words import forecast_lines
    from workers.runs.dry_run import forecast

    found = forecast(config, storage, order, sample=sample, tell=_tell(), say=_say)
    click.echo(found.model_dump_json() if as_json else "\n".join(forecast_lines(found)))
    _warn(found.left_out)


def _start(config: Config, storage: Storage, order: RescanOrder, given: dict[str, Any]) -> None:
    from workers.cli.rescan_words import plan_lines
    from workers.runs.hold import wake
    from workers.runs.planning import drop_plan, prepare_rescan
    from workers.runs.store import Runs

    plan = prepare_rescan(config, storage, order, tell=_tell(), say=_say)
    as_json, detach = given["as_json"], given["detach"]
    if not as_json:
        click.echo("\n".join(plan_lines(plan)))
    _warn([plan.selection[name] for name in ("unreadable", "absent") if name in plan.selection])
    if not (given["yes"] or as_json) and sys.stdin.isatty() and not _agreed():
        drop_plan(storage, plan)
        raise CommandError("not started", exit_code=1)
    with on_record(storage, plan.run, reason=plan.reason, apply=order.apply, policies=plan.policies.digest) as result:
        Runs(storage).put_plan(plan)
        result["segments"] = plan.selected
    wake(config)
    if not detach:
        show_until_over(config, storage, plan.run, as_json=as_json)
    elif as_json:
        click.echo(plan.model_dump_json(by_alias=True, exclude={"policies"}))
    else:
        click.echo(f"see it: liverisk rescan status {plan.run}")


def _agreed() -> bool:
    """Ctrl-C is no."""
    try:
        return click.confirm("start?", err=True)
    except click.Abort:
        click.echo(err=True)
        return False


def _order(given: dict[str, Any]) -> RescanOrder:
    from workers.runs.listed import read_segments
    from workers.runs.planning import RescanOrder
    from workers.runs.selection import Selection

    listing: BinaryIO | None = given["segments"]
    _known_policies(given["policy"])
    selection = Selection(
        where=given["where"],
        streams=tuple(dict.fromkeys(given["stream"])),
        since=given["since"],
        until=given["until"],
        policies=given["policy"],
        region=given["region"],
        language=given["language"],
        checkpoint=given["checkpoint"],
        segments=None if listing is None else read_segments(getattr(listing, "name", "<stdin>"), listing.read()),
        run=None if given["run"] == "current" else given["run"],
    )
    return RescanOrder(
        selection=selection,
        policies=_policies(given["policies"]),
        by=asking(),
        **{name: given[name] for name in ("full", "reuse", "urgent", "apply", "reason")},
    )


def _known_policies(names: Iterable[str]) -> None:
    from pipelines.policies import POLICY_IDS

    unknown = [name for name in names if name not in POLICY_IDS]
    if unknown:
        raise CommandError(f"no policy {', '.join(unknown)}; there are {', '.join(POLICY_IDS)}", exit_code=2)


def _policies(path: Path | None) -> Policies | None:
    from pipelines.policies import read_policies

    return None if path is None else read_policies(path)


def _store(config: Config) -> Storage:
    from workers.storage import Storage

    return Storage(config.store)


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(f"liverisk: not in the selection: {line}", err=True)


def _say(line: str) -> None:
    click.echo(f"liverisk: {line}", err=True)


def _tell() -> Told | None:
    """Counts on one line of a terminal; a log is spared."""
    if not sys.stderr.isatty():
        return None
    return lambda done: click.echo(f"{done} records read\r", nl=False, err=True)


for command in SUBCOMMANDS:
    rescan.add_command(command)
