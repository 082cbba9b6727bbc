"""Names for users of the chat: a keyed hash (HMAC-SHA-256, RFC 2104) of the platform's id.

The same user has the same name wherever the key is the same, so that distinct users can be counted and one can be found
again; without the key nobody can try ids until one fits.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.segment import Segment
from workers.config import Config, ConfigError

KEY_FILE = "user-ids.key"
SHORTEST_KEY = 16
MARK = "u-"
DIGITS = 20
"""Eighty bits: among a thousand million users two share a name once in a million such pools."""


@dataclass(frozen=True, slots=True, repr=False)
class Pseudonyms:
    """`key` None: users keep the platform's ids."""

    key: bytes | None

    @classmethod
    def of(cls, config: Config) -> Pseudonyms:
        """As configured; makes the key's file where there is none. `ConfigError` when there is no key to be had."""
        if config.privacy.user_ids == "plain":
            return cls(None)
        if config.privacy.user_key is not None:
            return cls(_long_enough(config.privacy.user_key.get_secret_value().encode(), "privacy.user_key"))
        path = config.privacy.user_key_file
        return cls(_from_file(path) if path else _made(config.state_directory / KEY_FILE))

    def name(self, user: str) -> str:
        """What records call this user."""
        if self.key is None:
            return user
        return MARK + hmac.new(self.key, user.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:DIGITS]

    def applied(self, segment: Segment) -> Segment:
        """The segment with its chat under these names."""
        if self.key is None or not segment.chat:
            return segment
        names = {user: self.name(user) for user in {line.user for line in segment.chat}}
        chat = tuple(line.model_copy(update={"user": names[line.user]}) for line in segment.chat)
        return replace(segment, chat=chat)


def _from_file(path: Path) -> bytes:
    try:
        return _long_enough(path.read_bytes().strip(), str(path))
    except OSError as error:
        raise ConfigError(f"privacy.user_key_file: {path} cannot be read ({type(error).__name__})") from None


def _made(path: Path) -> bytes:
    """The key of this state directory. Of several that make it at once one wins, and all read the winner's."""
    if not path.exists():
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = path.with_name(f"{path.name}.{os.getpid()}")
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
            with suppress(FileExistsError):
                os.link(partial, path)
            partial.unlink()
        except OSError as error:
            raise ConfigError(
                f"no key for user ids, and {path} cannot be made ({type(error).__name__}): set "
                "LIVERISK__PRIVACY__USER_KEY, the same on every host, or LIVERISK__PRIVACY__USER_IDS=plain"
            ) from None
    return _from_file(path)


def _long_enough(key: bytes, source: str) -> bytes:
    if len(key) < SHORTEST_KEY:
        raise ConfigError(f"{source}: {len(key)} bytes are too few for a key; take {SHORTEST_KEY} or more, at random")
    return key
