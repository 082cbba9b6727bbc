"""`liverisk models eval`: a checkpoint against the active one of its slot; what is worse is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli.compare import told, write_page
from workers.cli.config import configured
from workers.cli.main import CommandError
from workers.config import Config

if TYPE_CHECKING:
    from pipelines.comparison.evaluation import Evaluation, Tolerance
    from workers.comparison.asked import Asking
    from workers.registry.store import State

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("checkpoint")
@click.option("--slot", required=True, help="The slot it is to fill.")
@click.option("--data", type=_FILE, help="JSON Lines of `text` or `image`, `policies` and, if not all, `judged`.")
@click.option("--golden", type=_FILE, help="Golden examples, if not the golden.jsonl beside the card.")
@click.option("--against", help="Compare with this checkpoint, not with the active one.")
@click.option("--tolerance", default=0.02, show_default=True, type=click.FloatRange(0, 1), help="For quality.")
@click.option("--slower", default=2.0, show_default=True, type=click.FloatRange(min=1), help="Times the latency.")
@click.option("--larger", default=2.0, show_default=True, type=click.FloatRange(min=1), help="Times the memory.")
@click.option("--force", metavar="REASON", help="Let it pass all the same; the reason stands in the result.")
@click.option("--dry-run", is_flag=True, help="Say what would be held against what, and run nothing.")
@click.option("--with-text", is_flag=True, help="Show the texts of the examples, not only where they are.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the page with plots there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def evaluate(
    chosen: Path | None,
    checkpoint: str,
    slot: str,
    data: Path | None,
    golden: Path | None,
    against: str | None,
    tolerance: float,
    slower: float,
    larger: float,
    force: str | None,
    dry_run: bool,
    with_text: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """Judge CHECKPOINT by its golden examples and by labelled data, beside the slot's active one.

    The result is stored: `models canary` and `models promote` ask for it. Refused, with exit code 3 and a line for each
    regression: worse by more than the tolerance in average precision, recall at 1 % false alarms or calibration, slower
    or larger, or a policy it no longer speaks for.
    """
    config = configured(chosen)
    if force is not None and not force.strip():
        raise CommandError("--force wants a reason", exit_code=2)
    with told():
        from pipelines.comparison.evaluation import Tolerance
        from workers.comparison.asked import of_lines
        from workers.comparison.comparing import How
        from workers.comparison.comparing import evaluate as hold

        state = _state(config) if against is None else _nothing_said()
        asking = None if data is None else of_lines(data, slot)
        if dry_run:
            click.echo(_plan(config, state, slot, checkpoint, against, asking))
            return
        how = How(against, golden, Tolerance(tolerance, slower, larger), force, with_text)
        found = hold(config, state, slot, checkpoint, asking, partial(click.echo, err=True), how)
    _keep(config, found, how.tolerance)
    _show(found, html, as_json=as_json)


def _keep(config: Config, found: Evaluation, tolerance: Tolerance) -> None:
    """Stores the result where moves look for it; without a store it is only shown, and that is said."""
    from workers.cli.asking import asking
    from workers.registry.evaluated import keep
    from workers.storage import Storage, StorageError

    try:
        words = f"{tolerance.quality:g}, {tolerance.slower:g} times slower, {tolerance.larger:g} times larger"
        keep(Storage(config.store, patient=False), found, asking(), words)
    except StorageError as error:
        click.echo(f"the result is not stored ({error}): `models promote` will not know of it", err=True)


def _plan(config: Config, state: State, slot: str, checkpoint: str, against: str | None, asking: Asking | None) -> str:
    from workers.comparison.comparing import active_in

    active = against or active_in(config, state, slot)
    return f"would hold {checkpoint} against {active} on {asking.source if asking else 'golden examples'}"


def _show(found: Evaluation, html: Path | None, *, as_json: bool) -> None:
    """The page if asked for, then JSON or the tables; ends with 3 when the checkpoint is refused."""
    from workers.comparison.words import evaluation_lines

    if html is not None:
        from workers.comparison.page import evaluation_page

        write_page(html, evaluation_page(found))
    click.echo(found.model_dump_json(by_alias=True) if as_json else "\n".join(evaluation_lines(found)))
    if not found.passed:
        more = f" (and {len(found.regressions) - 1} more)" if len(found.regressions) > 1 else ""
        refused = f"{found.checkpoint.id} is refused: {found.regressions[0]}{more}"
        raise CommandError(f'{refused}; --force "reason" takes it')


def _state(config: Config) -> State:
    """The registry's; where no store answers, nothing has been moved as far as anyone here can know."""
    from workers.registry.store import read_state
    from workers.storage import Storage, StorageError

    try:
        return read_state(Storage(config.store, patient=False))
    except StorageError as error:
        click.echo(f"the registry could not be asked ({error}): compared with what is configured", err=True)
        return _nothing_said()


def _nothing_said() -> State:
    from workers.registry.store import State

    return State()
