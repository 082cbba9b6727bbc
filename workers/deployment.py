"""Checks that settings, policies and cards fit together, before a process of the pool takes any work."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.cards import Card, CardError, read_cards
from pipelines.policies import Policies, PolicyError, read_policies
from workers.config import Config, ConfigError
from workers.engine.address import engine_address, engine_key


def check_deployment(config: Config) -> tuple[Policies, Mapping[str, Card]]:
    """Policies and cards of the deployment; `ConfigError` says in one line what does not fit."""
    try:
        policies = read_policies(config.policies_file)
        cards = read_cards(config.cards_directory)
    except (PolicyError, CardError) as error:
        raise ConfigError(str(error)) from None
    engine_key(config, engine_address(config))
    for name, slot in config.slots.items():
        if slot.checkpoint not in cards:
            raise ConfigError(f"slots.{name}: no card named {slot.checkpoint} in {config.cards_directory}")
        if name not in cards[slot.checkpoint].fields.slots:
            raise ConfigError(f"slots.{name}: the card {slot.checkpoint} does not fill this slot")
    return policies, cards
