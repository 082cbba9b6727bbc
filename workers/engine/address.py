"""Where an engine listens: a socket file that only its owner may open, or host:port with a shared key."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from workers.config import Config, ConfigError

MAX_SOCKET_PATH_BYTES = 100
"""The kernel allows 107."""

Address = str | tuple[str, int]


def engine_address(config: Config) -> Address:
    """The configured address, or a socket in the state directory.

    A state directory too deep for a socket's path gets one under the system's temporary directory, named
    after the directory, so that every process of the deployment still finds the same.
    """
    chosen = config.engine.address
    if chosen and ":" in chosen and "/" not in chosen:
        host, _, port = chosen.rpartition(":")
        if not port.isdigit():
            raise ConfigError(f"engine.address: {chosen} is neither a path nor host:port")
        return host, int(port)
    path = Path(chosen) if chosen else config.state_directory.resolve() / "engine.sock"
    if len(bytes(path)) > MAX_SOCKET_PATH_BYTES:
        name = hashlib.sha256(bytes(path)).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"liverisk-{name}" / "engine.sock"
    return str(path)


def engine_key(config: Config, address: Address) -> bytes | None:
    """The shared key of a network engine; a socket file is protected by its directory's mode instead."""
    key = config.engine.key
    if isinstance(address, tuple) and key is None:
        raise ConfigError("engine.key: an engine at host:port needs a shared key (LIVERISK__ENGINE__KEY)")
    return key.get_secret_value().encode() if key else None
