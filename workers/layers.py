"""Where settings come from: YAML files and the environment, laid over one another; secrets also from files.

`LIVERISK__STORE__SECRET_KEY_FILE` names a file that holds what `LIVERISK__STORE__SECRET_KEY` would, as images of
databases take their passwords: for what orchestrators mount. In a settings file it is `store.secret_key_file`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.manifest import as_one_line
from pipelines.yaml_text import YamlError, parse_yaml

ENVIRONMENT_PREFIX = "LIVERISK__"
FROM_FILE = "_file"
SECRETS = (
    *(("broker", "url"), ("state", "url"), ("engine", "key")),
    *(("store", "access_key"), ("store", "secret_key"), ("store", "session_token")),
)
"""Part and name of what may lie in a file instead. `privacy.user_key_file` is read where the key is used or made."""
LONGEST_SECRET = 64 * 1024
_AS_IT_STANDS = ("key", "url", "token")
"""Ends of names whose values are text, whatever YAML would make of them; no text is no value."""


class ConfigError(ValueError):
    """The configuration cannot be used; one line that names the source and the field."""


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` wins, mapping by mapping; lists are replaced whole. A secret displaces the file of one, and vice versa."""
    said = {key for key, value in over.items() if value is not None and _is_secret(key)}
    displaced = {key.removesuffix(FROM_FILE) if key.endswith(FROM_FILE) else f"{key}{FROM_FILE}" for key in said}
    merged = {key: value for key, value in under.items() if key not in displaced}
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def with_secrets(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with each secret that lies in a file in its place. `ConfigError` names a file that is of no use."""
    filled = dict(tree)
    for part, name in SECRETS:
        settings = filled.get(part)
        if not isinstance(settings, Mapping) or (file := settings.get(f"{name}{FROM_FILE}")) is None:
            continue
        field = f"{part}.{name}{FROM_FILE}"
        if settings.get(name) is not None:
            raise ConfigError(f"{field}: {part}.{name} is set too; unset one of them")
        filled[part] = {**settings, name: secret_in(Path(str(file)), field)}
    return filled


def secret_in(path: Path, field: str) -> str:
    """What the file holds, without the white space around it. `ConfigError` names the setting and the file."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_SECRET + 1)
        secret = content.decode().strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{field}: {as_one_line(str(path))} cannot be read ({type(error).__name__})") from None
    if not secret or len(content) > LONGEST_SECRET:
        raise ConfigError(f"{field}: {as_one_line(str(path))} {'is too long' if secret else 'is empty'}")
    return secret


def from_yaml(path: Path) -> dict[str, Any]:
    """One settings file."""
    try:
        content = parse_yaml(path.read_text(encoding="utf-8")) or {}
    except YamlError as error:
        raise ConfigError(f"{path}: unreadable ({error})") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: unreadable ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a mapping")
    return content


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """`LIVERISK__BROKER__URL=x` as `{"broker": {"url": "x"}}`; values are read as YAML scalars, lists or mappings.

    In order of their names: a mapping for a whole part comes before its single settings.
    """
    tree: dict[str, Any] = {}
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        path = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        node = tree
        for depth, part in enumerate(path[:-1], start=1):
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                above = ENVIRONMENT_PREFIX + "__".join(path[:depth]).upper()
                raise ConfigError(f"{name}: {above} is set too, and is no mapping; unset one of them")
        try:
            text = environment[name]
            node[path[-1]] = (text or None) if path[-1].endswith(_AS_IT_STANDS) else parse_yaml(text)
        except YamlError:
            raise ConfigError(f"{name}: not a YAML value") from None
    return tree


def _is_secret(key: object) -> bool:
    """Keys of YAML need be no text; those are refused later."""
    return isinstance(key, str) and any(key.removesuffix(FROM_FILE) == name for _, name in SECRETS)
