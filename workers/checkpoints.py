"""Checkpoints out of the deployment's own store, for hosts that reach neither package index nor hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from workers.config import Store
from workers.storage import ObjectMissing, Storage


def s3_fetcher(settings: Store) -> Callable[[str, Path], None]:
    """What `pipelines.checkpoints.ensure` takes as `fetch_s3`: the store's endpoint and keys, the card's bucket."""

    def fetch(address: str, folder: Path) -> None:
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        prefix = prefix.rstrip("/") + "/"
        storage = Storage(settings.model_copy(update={"bucket": bucket}))
        found = [key for key in storage.keys(prefix) if not key.endswith("/")]
        if not found:
            raise ObjectMissing(prefix)
        for key in found:
            name = PurePosixPath(key.removeprefix(prefix))
            if name.is_absolute() or ".." in name.parts:
                raise ObjectMissing(key)
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            storage.download(key, path)

    return fetch
