"""The S3-compatible store: bytes by key, whole or by range, written once where a promise needs it."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import botocore.session
from boto3.exceptions import S3UploadFailedError
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import parse_timestamp

from workers import config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class StorageError(Exception):
    """The store did not do what was asked; one line with the operation and the error code. Worth a retry."""


class ObjectMissing(StorageError):
    """There is no object under this key. Not worth a retry."""

    def __init__(self, key: str) -> None:
        super().__init__(f"no object {key}")
        self.key = key


class BucketMissing(StorageError):
    """There is no such bucket; somebody may make it yet."""


class OutOfRange(StorageError):
    """The object is shorter than the asked range. Not worth a retry."""


class ObjectTooLarge(StorageError):
    """The object, or the part of it that was asked for, exceeds what the asker takes. Not worth a retry."""

    def __init__(self, key: str, size: int, max_bytes: int) -> None:
        super().__init__(f"{key}: {size} bytes, more than {max_bytes}")


class AlreadyThere(StorageError):
    """Somebody else's object or bucket has the name."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One object, by the listing."""

    key: str
    size: int
    written_at: datetime


_MISSING = ("NoSuchKey", "NotFound", "404", "NoSuchLifecycleConfiguration")
_OUT_OF_RANGE = ("InvalidRange", "416")
_ALREADY_THERE = (
    *("PreconditionFailed", "412", "ConditionalRequestConflict", "409"),
    *("BucketAlreadyOwnedByYou", "BucketAlreadyExists"),
)
"""Error codes: services spell the same refusal in several ways, and answers without a body by status alone."""


class Storage:
    """One bucket. Safe to share between threads; not between processes: open it after a fork."""

    def __init__(self, settings: config.Store, *, connections: int = 16, patient: bool = True) -> None:
        """`patient` False: an operation is tried once, for asking whether a store is there at all."""
        self.bucket = settings.bucket
        self.settings = settings
        try:
            self._client: S3Client = _session().client(
                "s3",
                endpoint_url=settings.endpoint_url,
                region_name=settings.region,
                aws_access_key_id=settings.access_key.get_secret_value() if settings.access_key else None,
                aws_secret_access_key=settings.secret_key.get_secret_value() if settings.secret_key else None,
                config=ClientConfig(
                    s3={"addressing_style": "path" if settings.endpoint_url else "auto"},
                    retries={"mode": "standard", "total_max_attempts": 4 if patient else 1},
                    connect_timeout=3,
                    read_timeout=10,
                    max_pool_connections=connections,
                ),
            )
        except (ValueError, BotoCoreError):
            raise StorageError(f"store.endpoint_url: {settings.endpoint_url} is no address of a store") from None

    def get(
        self, key: str, *, offset: int | None = None, length: int | None = None, max_bytes: int | None = None
    ) -> bytes:
        """The object, or `length` bytes of it from `offset`; fewer when the object ends before.

        Raises `ObjectMissing` when there is none, `OutOfRange` when it ends before `offset`, and, before it is read,
        `ObjectTooLarge` when it would be more than `max_bytes`.
        """
        with _named(f"get {key}", key):
            if offset is None or length is None:
                found = self._client.get_object(Bucket=self.bucket, Key=key)
            else:
                extent = f"bytes={offset}-{offset + length - 1}"
                found = self._client.get_object(Bucket=self.bucket, Key=key, Range=extent)
            if max_bytes is not None and found["ContentLength"] > max_bytes:
                found["Body"].close()
                raise ObjectTooLarge(key, found["ContentLength"], max_bytes)
            return found["Body"].read()

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        """The object, and what tells it from any other that was ever under this key."""
        with _named(f"get {key}", key):
            found = self._client.get_object(Bucket=self.bucket, Key=key)
            return found["Body"].read(), found["ETag"]

    def download(self, key: str, path: Path) -> None:
        """The object into a file, piece by piece, for what is too large to hold in memory."""
        with _named(f"get {key}", key):
            self._client.download_file(self.bucket, key, str(path))

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Writes or replaces the object."""
        with _named(f"put {key}", key):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)

    def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        """Writes or replaces the object with a file's bytes, piece by piece."""
        try:
            with _named(f"put {key}", key):
                self._client.upload_file(str(path), self.bucket, key, ExtraArgs={"ContentType": content_type})
        except S3UploadFailedError as error:
            raise StorageError(f"put {key}: {type(error).__name__}") from None

    def put_once(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> bool:
        """Writes the object unless one is there; False when somebody else's already is.

        After a lost answer the store may hold our own bytes: then this was our write, and the answer is True.
        """
        try:
            with _named(f"put {key}", key):
                self._client.put_object(
                    Bucket=self.bucket, Key=key, Body=body, ContentType=content_type, IfNoneMatch="*"
                )
        except AlreadyThere:
            return self.get(key) == body
        return True

    def replace(self, key: str, body: bytes, *, etag: str, content_type: str = "application/octet-stream") -> bool:
        """Replaces the object if it is still the one with this ETag; False when it is another's, or gone.

        As with `put_once`, our own bytes there mean that an answer was lost.
        """
        try:
            with _named(f"put {key}", key):
                self._client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type, IfMatch=etag)
        except (AlreadyThere, ObjectMissing):
            return self.exists(key) and self.get(key) == body
        return True

    def exists(self, key: str) -> bool:
        try:
            with _named(f"head {key}", key):
                self._client.head_object(Bucket=self.bucket, Key=key)
        except ObjectMissing:
            return False
        return True

    def keys(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        """Every key below the prefix, in order; only those that sort after `start_after`, itself a whole key."""
        pages = self._client.get_paginator("list_objects_v2")
        with _named(f"list {prefix}", prefix):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, StartAfter=start_after):
                for entry in page.get("Contents", ()):
                    yield entry["Key"]

    def objects(self, prefix: str) -> Iterator[Stored]:
        """Every object below the prefix as the listing tells of it, in the order of their keys."""
        pages = self._client.get_paginator("list_objects_v2")
        with _named(f"list {prefix}", prefix):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield Stored(entry["Key"], entry["Size"], entry["LastModified"])

    @contextmanager
    def calling(self, operation: str) -> Iterator[S3Client]:
        """The client itself, what it raises turned into ours: for what one module alone asks of a store."""
        with _named(operation, self.bucket):
            yield self._client

    def holds(self, prefix: str) -> bool:
        """Whether there is any key below the prefix."""
        with _named(f"list {prefix}", prefix):
            return self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, MaxKeys=1)["KeyCount"] > 0

    def folders(self, prefix: str) -> Iterator[str]:
        """What the keys below the prefix begin with, up to and with the next slash; each once, in order."""
        pages = self._client.get_paginator("list_objects_v2")
        with _named(f"list {prefix}", prefix):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/"):
                for entry in page.get("CommonPrefixes", ()):
                    yield entry["Prefix"]

    def delete(self, key: str) -> None:
        """Removes the object if it is there."""
        with _named(f"delete {key}", key):
            self._client.delete_object(Bucket=self.bucket, Key=key)

    def make_bucket(self) -> None:
        """Creates the bucket unless it is there: where it is, nobody needs the right to create one."""
        try:
            with _named(f"bucket {self.bucket}", self.bucket):
                self._client.head_bucket(Bucket=self.bucket)
        except ObjectMissing:
            with suppress(AlreadyThere), _named(f"create bucket {self.bucket}", self.bucket):
                self._client.create_bucket(Bucket=self.bucket)

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


@functools.cache
def _session() -> boto3.Session:
    """Listings name a moment for every key, and botocore's parser of moments took more than half of their time."""
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    return boto3.Session(botocore_session=session)


def _moment(value: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):  # as HTTP headers spell it, or in seconds
        return parse_timestamp(value)


@contextmanager
def _named(operation: str, key: str) -> Iterator[None]:
    """Turns what the client raises into one of ours, in one line, without the address or the request."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if code in _MISSING:
            raise ObjectMissing(key) from None
        if code == "NoSuchBucket":
            raise BucketMissing(f"{operation}: {code}") from None
        if code in _OUT_OF_RANGE:
            raise OutOfRange(f"{operation}: shorter than the range") from None
        if code in _ALREADY_THERE:
            raise AlreadyThere(f"{operation}: {code}") from None
        raise StorageError(f"{operation}: {code}") from None
    except BotoCoreError as error:
        raise StorageError(f"{operation}: {type(error).__name__}") from None
