"""The S3-compatible store: bytes by key, whole or by range, written once where a promise needs it."""

from __future__ import annotations

import functools
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from billiard.exceptions import SoftTimeLimitExceeded
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, HTTPClientError
from botocore.utils import parse_timestamp

from workers import config
from workers.credentials import Provider, Renewable
from workers.store_errors import AlreadyThere, Contended, named
from workers.store_errors import BucketMissing as BucketMissing
from workers.store_errors import ObjectMissing as ObjectMissing
from workers.store_errors import ObjectTooLarge as ObjectTooLarge
from workers.store_errors import OutOfRange as OutOfRange
from workers.store_errors import StorageError as StorageError

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Stored:
    """One object, by the listing."""

    key: str
    size: int
    written_at: datetime


ATTEMPTS = 4
"""Of one request that meets a store which fails, throttles or does not answer."""
CONFLICT_ATTEMPTS, CONFLICT_WAIT_S = 6, 0.1
"""A write that met another is to be tried again, says S3; each wait is drawn at random below one that doubles."""


class Storage:
    """One bucket. Safe to share between threads; not between processes: open it after a fork."""

    def __init__(
        self, settings: config.Store, *, connections: int = 16, patient: bool = True, silence_s: float = 10
    ) -> None:
        """`patient` False: an operation is tried once, for asking whether a store is there at all.

        `silence_s`: after so long without a byte a request counts as lost, and is tried again.
        """
        self.bucket = settings.bucket
        self.settings = settings
        self._probe = f"probe/{uuid.uuid4().hex}"
        if bool(settings.access_key) != bool(settings.secret_key):
            raise StorageError("store.access_key and store.secret_key belong together: set both or neither")
        self._credentials = Renewable(settings)
        try:
            self._client: S3Client = _session(self._credentials).client(
                "s3",
                endpoint_url=settings.endpoint_url,
                region_name=settings.region,
                config=ClientConfig(
                    s3={"addressing_style": "path" if settings.endpoint_url else "auto"},
                    # It waits at random between attempts, ever longer, and tries less while everything fails.
                    retries={"mode": "standard", "total_max_attempts": ATTEMPTS if patient else 1},
                    connect_timeout=min(3, silence_s),
                    read_timeout=silence_s,
                    max_pool_connections=connections,
                ),
            )
        except (ValueError, BotoCoreError):
            place = urlsplit(settings.endpoint_url or "").hostname
            raise StorageError(f"store.endpoint_url: {place} is no address of a store") from None
        events = self._client.meta.events
        events.register_first("needs-retry.s3", _end_when_time_is_up)
        events.register_last("needs-retry.s3", self._credentials.again_when_refused)  # type: ignore[arg-type]

    def get(
        self, key: str, *, offset: int | None = None, length: int | None = None, max_bytes: int | None = None
    ) -> bytes:
        """The object, or `length` bytes of it from `offset`; fewer when the object ends before.

        Raises `ObjectMissing` when there is none, `OutOfRange` when it ends before `offset`, and, before it is read,
        `ObjectTooLarge` when it would be more than `max_bytes`.
        """
        part = {} if offset is None or length is None else {"Range": f"bytes={offset}-{offset + length - 1}"}
        return self._got(key, max_bytes, **part)[0]

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        """The object, and what tells it from any other that was ever under this key."""
        return self._got(key, None)

    def _got(self, key: str, max_bytes: int | None, **part: str) -> tuple[bytes, str]:
        """An answer that breaks off is asked for once more: botocore does so only up to its first byte."""
        with named(f"get {key}", key):
            found = self._client.get_object(Bucket=self.bucket, Key=key, **part)  # type: ignore[arg-type]
            if max_bytes is not None and found["ContentLength"] > max_bytes:
                found["Body"].close()
                raise ObjectTooLarge(key, found["ContentLength"], max_bytes)
            try:
                return found["Body"].read(), found["ETag"]
            except BotoCoreError:
                found = self._client.get_object(Bucket=self.bucket, Key=key, **part)  # type: ignore[arg-type]
                return found["Body"].read(), found["ETag"]

    def download(self, key: str, path: Path) -> None:
        """The object into a file, piece by piece, for what is too large to hold in memory."""
        with named(f"get {key}", key, wordless=True):  # it begins with HEAD
            self._client.download_file(self.bucket, key, str(path))

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Writes or replaces the object."""
        with named(f"put {key}", key):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)

    def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        """Writes or replaces the object with a file's bytes, piece by piece."""
        with named(f"put {key}", key):
            self._client.upload_file(str(path), self.bucket, key, ExtraArgs={"ContentType": content_type})

    def put_once(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> bool:
        """Writes the object unless one is there; False when somebody else's already is.

        After a lost answer the store may hold our own bytes: then this was our write, and the answer is True.
        """
        try:
            return self._decided(key, body, ContentType=content_type, IfNoneMatch="*")
        except ObjectMissing:  # it was there, and was removed before it could be compared
            raise Contended(f"put {key}: met a removal") from None

    def replace(self, key: str, body: bytes, *, etag: str, content_type: str = "application/octet-stream") -> bool:
        """Replaces the object if it is still the one with this ETag; False when it is another's, or gone.

        As with `put_once`, our own bytes there mean that an answer was lost.
        """
        try:
            return self._decided(key, body, ContentType=content_type, IfMatch=etag)
        except ObjectMissing:
            return False

    def _decided(self, key: str, body: bytes, **how: str) -> bool:
        """Whether a write on a condition made the object what it is now; one that met another is tried again."""
        for attempt in range(CONFLICT_ATTEMPTS):
            try:
                with named(f"put {key}", key):
                    self._client.put_object(Bucket=self.bucket, Key=key, Body=body, **how)  # type: ignore[arg-type]
            except AlreadyThere:
                return self.get(key) == body
            except Contended:
                time.sleep(random.uniform(0, CONFLICT_WAIT_S * 2**attempt))  # noqa: S311  # spreads writers
            else:
                return True
        raise Contended(f"put {key}: met another write {CONFLICT_ATTEMPTS} times")

    def exists(self, key: str) -> bool:
        try:
            with named(f"head {key}", key, wordless=True):
                self._client.head_object(Bucket=self.bucket, Key=key)
        except ObjectMissing:
            return False
        return True

    def keys(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        """Every key below the prefix, in order; only those that sort after `start_after`, itself a whole key."""
        pages = self._client.get_paginator("list_objects_v2")
        with named(f"list {prefix}", prefix):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, StartAfter=start_after):
                for entry in page.get("Contents", ()):
                    yield entry["Key"]

    def objects(self, prefix: str) -> Iterator[Stored]:
        """Every object below the prefix as the listing tells of it, in the order of their keys."""
        pages = self._client.get_paginator("list_objects_v2")
        with named(f"list {prefix}", prefix):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield Stored(entry["Key"], entry["Size"], entry["LastModified"])

    def credentials(self) -> ReadOnlyCredentials | None:
        """What requests are signed with now, for another client of the same store; None when there is nothing."""
        return self._credentials.get_frozen_credentials()

    @contextmanager
    def calling(self, operation: str) -> Iterator[S3Client]:
        """The client itself, what it raises turned into ours: for what one module alone asks of a store."""
        with named(operation, self.bucket):
            yield self._client

    def holds(self, prefix: str) -> bool:
        """Whether there is any key below the prefix."""
        with named(f"list {prefix}", prefix):
            return self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, MaxKeys=1)["KeyCount"] > 0

    def folders(self, prefix: str) -> Iterator[str]:
        """What the keys below the prefix begin with, up to and with the next slash; each once, in order."""
        pages = self._client.get_paginator("list_objects_v2")
        with named(f"list {prefix}", prefix):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/"):
                for entry in page.get("CommonPrefixes", ()):
                    yield entry["Prefix"]

    def delete(self, key: str) -> None:
        """Removes the object if it is there."""
        with named(f"delete {key}", key):
            self._client.delete_object(Bucket=self.bucket, Key=key)

    def make_bucket(self) -> None:
        """Creates the bucket unless it is there: where it is, nobody needs the right to create one."""
        try:
            with named(f"bucket {self.bucket}", self.bucket, wordless=True):
                self._client.head_bucket(Bucket=self.bucket)
        except ObjectMissing:
            with suppress(AlreadyThere), named(f"create bucket {self.bucket}", self.bucket):
                self._client.create_bucket(Bucket=self.bucket)

    def check_takes_writes(self) -> None:
        """Proves that what is written can be read; `StorageError` says why not."""
        key, body = self._probe, b"written"
        self.put(key, body)
        if self.get(key) != body:
            raise StorageError(f"get {key}: not what was put there")
        self.delete(key)

    def check_writes_once(self) -> None:
        """Proves that the store honours If-None-Match; records rest on it. `StorageError` when it does not."""
        key = f"probe/{uuid.uuid4().hex}"
        try:
            if not self.put_once(key, b"first") or self.put_once(key, b"second") or self.get(key) != b"first":
                raise StorageError(
                    f"the store behind bucket {self.bucket} ignores If-None-Match: * and would overwrite records; "
                    "use one that honours it"
                )
        finally:
            self.delete(key)


def _session(credentials: Renewable) -> boto3.Session:
    """Listings name a moment for every key, and botocore's parser of moments took more than half of their time."""
    session = botocore.session.get_session()
    session.register_component("data_loader", _descriptions())
    session.register_component("credential_provider", Provider(credentials))
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    return boto3.Session(botocore_session=session)


@functools.cache
def _descriptions() -> Any:
    """What botocore knows of S3, which takes it 100 ms to read: once a process."""
    return botocore.session.get_session().get_component("data_loader")


def _end_when_time_is_up(caught_exception: Exception | None, **_: object) -> None:
    """Botocore takes whatever is raised while it waits for a failure of the network, and would try again."""
    if isinstance(caught_exception, HTTPClientError) and isinstance(
        caught_exception.__context__, SoftTimeLimitExceeded
    ):
        raise caught_exception.__context__


def _moment(value: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):  # as HTTP headers spell it, or in seconds
        return parse_timestamp(value)
