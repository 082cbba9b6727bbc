"""`liverisk enqueue`: queue ready-made segment manifests, after all of them have been checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import click

from pipelines.manifest import ManifestError, SegmentManifest, parse_manifest
from workers.cli.config import configured
from workers.cli.main import CommandError
from workers.config import Config
from workers.fetch import OutsideMedia, check_reach, media_keys
from workers.lanes import LANES, Lane
from workers.publish import Publisher, PublishError
from workers.storage import Storage, StorageError

LOOKUPS = 8
"""Objects looked up in the store at the same time."""


@dataclass(frozen=True, slots=True)
class Found:
    """One manifest where it stood, as `file:line`."""

    place: str
    manifest: SegmentManifest


@dataclass(frozen=True, slots=True)
class Refused:
    """Why the manifest at this place is not sent; names the field, quotes no content."""

    place: str
    reason: str


def read(name: str, content: bytes) -> Iterator[Found | Refused]:
    """The manifests of one file: a single JSON object, or JSON Lines."""
    for number, raw in _pieces(content):
        place = f"{name}:{number}"
        try:
            yield Found(place, parse_manifest(raw))
        except ManifestError as error:
            yield Refused(place, str(error))


def _pieces(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Line numbers and JSON texts: JSON Lines when the whole is no object but a line without indentation is."""
    lines = [(number, line) for number, line in enumerate(content.split(b"\n"), start=1) if line.strip()]
    if len(lines) > 1 and not _is_object(content.strip()) and any(_is_object(line) for _, line in lines):
        yield from lines
    else:
        yield (lines[0][0] if lines else 1), content.strip()


def _is_object(text: bytes) -> bool:
    if not text.startswith(b"{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def misplaced(found: Found, media_prefix: str) -> Refused | None:
    """A manifest may name only objects below the media prefix, or it could have anything in the store read."""
    try:
        check_reach(found.manifest, media_prefix)
    except OutsideMedia as error:
        return Refused(found.place, str(error))
    return None


def missing(found: Found, absent: frozenset[str]) -> Refused | None:
    for key in sorted(media_keys(found.manifest) & absent):
        return Refused(found.place, f"no object {key} in the store; upload media first, or pass --no-check-media")
    return None


def absent_objects(found: Iterable[Found], storage: Storage) -> frozenset[str]:
    """The named objects that the store does not have; each is looked up once."""
    keys = sorted({key for one in found for key in media_keys(one.manifest)})
    with ThreadPoolExecutor(LOOKUPS) as pool:
        return frozenset(key for key, there in zip(keys, pool.map(storage.exists, keys), strict=True) if not there)


def checked(files: Iterable[BinaryIO], config: Config, *, check_media: bool) -> tuple[list[Found], list[Refused]]:
    """What can be sent and what cannot, in the order of the files; `StorageError` when the store does not answer."""
    findings = [finding for file in files for finding in read(file.name, file.read())]
    findings = [
        (misplaced(one, config.store.media_prefix) or one) if isinstance(one, Found) else one for one in findings
    ]
    if check_media:
        absent = absent_objects((one for one in findings if isinstance(one, Found)), Storage(config.store))
        findings = [(missing(one, absent) or one) if isinstance(one, Found) else one for one in findings]
    return [one for one in findings if isinstance(one, Found)], [one for one in findings if isinstance(one, Refused)]


@click.command()
@click.argument("manifests", nargs=-1, required=True, type=click.File("rb"))
@click.option("--lane", type=click.Choice(LANES), default="live", show_default=True)
@click.option("--check-media/--no-check-media", default=True, help="Look every named object up first.")
@click.option("--keep-going", is_flag=True, help="Queue the good ones although some are bad.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def enqueue(
    chosen: Path | None,
    manifests: tuple[BinaryIO, ...],
    lane: Lane,
    check_media: bool,
    keep_going: bool,
    as_json: bool,
) -> None:
    """Queue MANIFESTS: files of one JSON manifest or of JSON Lines; - reads standard input.

    All are checked before the first is queued; a bad one is told as file:line and field.
    """
    config = configured(chosen)
    queued = 0
    try:
        with Publisher(config) as publisher:
            good, bad = checked(manifests, config, check_media=check_media)
            for refused in bad:
                click.echo(f"{refused.place}: {refused.reason}", err=True)
            if not bad or keep_going:
                for found in good:
                    publisher.send(found.manifest, lane)
                    queued += 1
    except (PublishError, StorageError) as error:
        raise CommandError(f"{error}; {queued} were queued before" if queued else str(error)) from None
    if as_json:
        refusals = [{"place": refused.place, "reason": refused.reason} for refused in bad]
        click.echo(json.dumps({"queued": queued, "refused": refusals}))
    else:
        click.echo(f"{queued} queued to {lane}")
    if bad:
        raise CommandError(f"{len(bad)} of {len(good) + len(bad)} manifests are bad", exit_code=2)
