"""`liverisk config check`: the merged configuration, with secrets hidden."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import yaml

from pipelines.cards import Card
from pipelines.policies import Policies
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
    click.echo("\n".join((*_lexicons(lexicons), *_registry(settings))))
    if unseen := _unseen(settings, policies, cards):
        rest = "they rest on speech, chat and on-screen text"
        click.echo(f"# no vision label speaks for: {', '.join(unseen)}; {rest}")
    click.echo(f"# ok: {len(policies.policies)} policies ({policies.digest[:12]}), {len(cards)} cards")


def _unseen(settings: Config, policies: Policies, cards: Mapping[str, Card]) -> list[str]:
    """The policies that no checkpoint of a vision slot has a label for: frames are looked at, and not for them."""
    used = [slot.checkpoint for name, slot in settings.slots.items() if name.startswith("vision.")]
    seen = {policy for name in used for label in cards[name].fields.labels.values() for policy in label.policies}
    return [policy for policy in policies.policies if policy not in seen]


def _registry(settings: Config) -> Iterator[str]:
    """Where the registry of checkpoints overrules these settings. A store that is not configured is not asked."""
    if settings.store.endpoint_url is None and settings.store.access_key is None:
        return
    from workers.cli.slots import slot_lines
    from workers.registry.store import RegistryError, read_state
    from workers.storage import Storage, StorageError

    try:
        registry = read_state(Storage(settings.store, patient=False)).registry
    except (RegistryError, StorageError) as error:
        yield f"# registry: not read ({error}); it may overrule these slots"
        return
    if registry is not None:
        configured = {name: slot.checkpoint for name, slot in settings.slots.items()}
        yield from (f"# registry: {line}" for line in slot_lines(configured, registry))


def _lexicons(files: Sequence[LexiconFile]) -> Iterator[str]:
    """Terms by policy and language, those that expired and those that soon will, and the digest of all in force."""
    today = datetime.now(UTC).date()
    for one in survey(files, today):
        expired = f", {one.expired} expired" if one.expired else ""
        yield f"# lexicon {one.policy} {one.language}: {_terms(one.terms)}{expired}"
        yield from (f"#   expires on {day}: {term}" for term, day in one.expiring)
    content = in_force(files, today)
    yield f"# lexicons: {_terms(len(content.entries))} in force ({content.digest[:12]})"


def _terms(count: int) -> str:
    return "1 term" if count == 1 else f"{count} terms"
