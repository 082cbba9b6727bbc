"""What a store is asked with: keys out of the settings, out of files that somebody renews, or what botocore finds.

Whoever is refused reads again, so credentials that expire are renewed by replacing a file (or by the platform, in
botocore's own chain: environment, shared files, instance and container roles), and nothing is restarted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.credentials import Credentials

from workers.layers import FROM_FILE, secret_in

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

    from workers.config import Store

REFUSALS = frozenset(
    {
        *("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken"),
        *("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "Forbidden", "403"),
    }
)
"""Error codes of a store that does not accept who asks; an answer without a body has its status alone."""
_RENEWED = "liverisk-renewed"
NAMES = ("access_key", "secret_key", "session_token")


class Renewable:
    """Stands where botocore keeps its `Credentials`, and can be read again. Shared by the threads of one client."""

    method = "liverisk"

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._held = _given(store) if store.access_key else _found()

    def get_frozen_credentials(self) -> ReadOnlyCredentials | None:
        """What the next request is signed with; None when there is nothing to sign with."""
        held = self._held
        return held.get_frozen_credentials() if held is not None else None

    def get_deferred_property(self, property_name: str) -> Callable[[], Any]:
        return lambda: getattr(self._held, property_name, None)

    def renew(self) -> None:
        """Reads them anew. `ConfigError` when a file cannot be read; settings without files stay what they are."""
        with self._lock:
            if not self._store.access_key:
                self._held = _found()
            elif fresh := _read(self._store):
                self._held = _given(self._store, fresh)

    def again_when_refused(
        self, response: tuple[Any, Mapping[str, Any]] | None, request_dict: Mapping[str, Any], **_: object
    ) -> int | None:
        """Botocore's `needs-retry`: a refused request is sent once more, at once, with what is there now."""
        code = str(response[1].get("Error", {}).get("Code", "")) if response else ""
        context = request_dict["context"]
        if code not in REFUSALS or context.get(_RENEWED):
            return None
        context[_RENEWED] = True
        self.renew()
        return 0


class Provider:
    """Stands where botocore keeps its chain of providers."""

    def __init__(self, credentials: Renewable) -> None:
        self._credentials = credentials

    def load_credentials(self) -> Renewable:
        return self._credentials


def _read(store: Store) -> dict[str, str]:
    """What the files hold now."""
    files = {name: getattr(store, f"{name}{FROM_FILE}") for name in NAMES}
    return {name: secret_in(path, f"store.{name}{FROM_FILE}") for name, path in files.items() if path is not None}


def _given(store: Store, fresh: Mapping[str, str] | None = None) -> Credentials:
    """The settings' keys, where `fresh` has none."""
    settings = {name: secret.get_secret_value() for name in NAMES if (secret := getattr(store, name))}
    keys = {**settings, **(fresh or {})}
    return Credentials(keys["access_key"], keys["secret_key"], keys.get("session_token"))


def _found() -> Credentials | None:
    """A session of its own, as one keeps what it once found."""
    return botocore.session.get_session().get_credentials()
