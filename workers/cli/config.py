"""`liverisk config check`: the merged configuration, with secrets hidden."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import yaml

from pipelines.text.lexicon_file import LexiconFile, in_force, survey
from workers.cli.main import CommandError
from workers.config import Config, ConfigError, load_config
from workers.deployment import check_deployment, check_lexicons


def configured(chosen: Path | None) -> Config:
    """The configuration for a command; a wrong one ends it with exit code 2 and one line."""
    try:
        return load_config(chosen)
    except ConfigError as error:
        raise CommandError(str(error), exit_code=2) from None


@click.group()
def config() -> None:
    """The merged configuration."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def check(chosen: Path | None, as_json: bool) -> None:
    """Check settings, policies, model cards and lexicons, and print the merged settings without secrets."""
    settings = configured(chosen)
    try:
        policies, cards = check_deployment(settings)
        lexicons = check_lexicons(settings)
    except ConfigError as error:
        raise CommandError(str(error), exit_code=2) from None
    if as_json:
        click.echo(settings.model_dump_json())
        return
    click.echo(yaml.safe_dump(settings.model_dump(mode="json"), allow_unicode=True, sort_keys=False), nl=False)
    click.echo("\n".join(_lexicons(lexicons)))
    click.echo(f"# ok: {len(policies.policies)} policies ({policies.digest[:12]}), {len(cards)} cards")


def _lexicons(files: Sequence[LexiconFile]) -> Iterator[str]:
    """Terms by policy and language, those that expired and those that soon will, and the digest of all in force."""
    today = datetime.now(UTC).date()
    for one in survey(files, today):
        expired = f", {one.expired} expired" if one.expired else ""
        yield f"# lexicon {one.policy} {one.language}: {one.terms} terms{expired}"
        yield from (f"#   expires on {day}: {term}" for term, day in one.expiring)
    content = in_force(files, today)
    yield f"# lexicons: {len(content.entries)} terms in force ({content.digest[:12]})"
