"""Where an engine listens: a socket file that only its owner may open, or host:port with a shared key."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from workers.config import Config, ConfigError

MAX_SOCKET_PATH_BYTES = 100
"""The kernel allows 107."""

Address = str | tuple[str, int]


def engine_address(config: Config) -> Address:
    """The configured address, or a socket in the state directory.

    A path too long for a socket gets one under the system's temporary directory, named after the path, so
    that every process of the deployment still finds the same.
    """
    chosen = config.engine.address
    if chosen and ":" in chosen and "/" not in chosen:
        host, _, port = chosen.rpartition(":")
        if not port.isdigit():
            raise ConfigError(f"engine.address: {chosen} is neither a path nor host:port")
        return host, int(port)
    path = Path(chosen) if chosen else config.state_directory.resolve() / "engine.sock"
    if len(bytes(path)) > MAX_SOCKET_PATH_BYTES:
        path = _fallback_directory(path) / path.name
    return str(path)


def engine_key(config: Config, address: Address) -> bytes | None:
    """The shared key of a network engine; a socket file is protected by its directory's mode instead."""
    key = config.engine.key
    if isinstance(address, tuple) and key is None:
        raise ConfigError("engine.key: an engine at host:port needs a shared key (LIVERISK__ENGINE__KEY)")
    return key.get_secret_value().encode() if key else None


def _fallback_directory(path: Path) -> Path:
    """Ours alone, made at once: where everybody may write, what is already there can be somebody else's trap."""
    directory = Path(tempfile.gettempdir()) / f"liverisk-{hashlib.sha256(bytes(path)).hexdigest()[:16]}"
    if len(bytes(directory / path.name)) > MAX_SOCKET_PATH_BYTES:
        raise ConfigError(f"engine.address: {path} is too long for a socket; set a shorter path")
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise ConfigError(f"engine.address: {directory} cannot be made ({type(error).__name__})") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigError(f"engine.address: {directory} is not ours alone; remove it or set a shorter path")
    return directory
