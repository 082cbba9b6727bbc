"""How other processes find a running stack: children by their environment, later commands by a private file."""

from __future__ import annotations

from pathlib import Path

import yaml

from workers.config import CONNECTION_FILE, Config
from workers.layers import ENVIRONMENT_PREFIX, FROM_FILE, SECRETS
from workers.stack.credentials import write_private

SETTINGS_FILE = "settings.yaml"


def environment_of(config: Config) -> dict[str, str]:
    """Environment variables that give a child process these places, whatever its settings files say."""
    assert config.broker.url is not None
    store, state = config.store, config.state.url
    values = {
        "LIVERISK__BROKER__URL": config.broker.url.get_secret_value(),
        "LIVERISK__STATE__URL": state.get_secret_value() if state else None,
        "LIVERISK__STORE__ENDPOINT_URL": store.endpoint_url,
        "LIVERISK__STORE__BUCKET": store.bucket,
        "LIVERISK__STORE__ACCESS_KEY": store.access_key.get_secret_value() if store.access_key else None,
        "LIVERISK__STORE__SECRET_KEY": store.secret_key.get_secret_value() if store.secret_key else None,
        "LIVERISK__STATE_DIRECTORY": str(config.state_directory),
    }
    # Whoever starts the stack may have secrets in its own environment that are of another place.
    others = {f"{ENVIRONMENT_PREFIX}{part}__{name}{FROM_FILE}".upper(): "null" for part, name in SECRETS}
    others["LIVERISK__STORE__SESSION_TOKEN"] = ""
    return {**others, **{name: value for name, value in values.items() if value is not None}}


def write_connection(config: Config) -> Path:
    """Writes broker and store of `config`, secrets included, into its state directory; returns where."""
    assert config.broker.url is not None
    store, state = config.store, config.state.url
    content = {
        "broker": {"url": config.broker.url.get_secret_value()},
        "state": {"url": state.get_secret_value() if state else None},
        "store": {
            "endpoint_url": store.endpoint_url,
            "bucket": store.bucket,
            "access_key": store.access_key.get_secret_value() if store.access_key else None,
            "secret_key": store.secret_key.get_secret_value() if store.secret_key else None,
        },
    }
    path = config.state_directory / CONNECTION_FILE
    write_private(path, yaml.safe_dump(content))
    return path


def write_settings(config: Config) -> Path:
    """Writes all settings but the places of broker and store, for children to load; returns where.

    A parent's settings may come from a file named on its command line, or be its own: neither is inherited.
    """
    content = config.model_dump(mode="json")
    for part, name in SECRETS:
        del content[part][name], content[part][f"{name}{FROM_FILE}"]
    content["engine"]["key"] = config.engine.key.get_secret_value() if config.engine.key else None
    content["privacy"]["user_key"] = config.privacy.user_key.get_secret_value() if config.privacy.user_key else None
    path = config.state_directory / SETTINGS_FILE
    write_private(path, yaml.safe_dump(content))
    return path
