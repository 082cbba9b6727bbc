"""Checks that settings, policies, cards and lexicons can be used, before a process of the pool takes any work."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.cards import Card, CardError, read_cards
from pipelines.policies import Policies, PolicyError, read_policies
from pipelines.text.lexicon_file import LexiconError, LexiconFile, read_files
from workers.config import Config, ConfigError
from workers.engine.address import engine_address, engine_key


def check_lexicons(config: Config) -> tuple[LexiconFile, ...]:
    """The lexicons of the deployment; `ConfigError` names the file and the term that keep them from being used."""
    try:
        return read_files(config.lexicons_directory)
    except LexiconError as error:
        raise ConfigError(f"lexicons: {error}") from None


def check_deployment(config: Config) -> tuple[Policies, Mapping[str, Card]]:
    """Policies and cards of the deployment; `ConfigError` says in one line what does not fit."""
    try:
        policies = read_policies(config.policies_file)
        cards = read_cards(config.cards_directory)
    except (PolicyError, CardError) as error:
        raise ConfigError(str(error)) from None
    engine_key(config, engine_address(config))
    for name, slot in config.slots.items():
        for key, checkpoint in slot.checkpoints.items():
            if checkpoint not in cards:
                raise ConfigError(f"slots.{name}.{key}: no card named {checkpoint} in {config.cards_directory}")
            if name not in cards[checkpoint].fields.slots:
                raise ConfigError(f"slots.{name}.{key}: the card {checkpoint} does not fill this slot")
    return policies, cards
