"""What a store may answer instead of doing what was asked, each kind by its name and in one line without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from billiard.exceptions import SoftTimeLimitExceeded
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError, NoCredentialsError

from workers.credentials import REFUSALS
from workers.layers import ConfigError


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


class Contended(StorageError):
    """Somebody else writes or deletes this object just now; which of the two it will be is not yet said."""


class StoreRefuses(StorageError):
    """The store does not accept our credentials, or not for this; somebody may renew them yet."""


class StoreFull(StorageError):
    """The store takes no more bytes; somebody may make room yet."""


OF_ONE_OBJECT = (ObjectMissing, OutOfRange, ObjectTooLarge, AlreadyThere, Contended)
"""What says something of an object; everything else is about the store."""

_MISSING = ("NoSuchKey", "NoSuchLifecycleConfiguration")
_MISSING_WITHOUT_A_WORD = ("404", "NotFound")
_KINDS: dict[type[StorageError], tuple[str, ...]] = {
    BucketMissing: ("NoSuchBucket",),
    OutOfRange: ("InvalidRange", "416"),
    AlreadyThere: ("PreconditionFailed", "412", "BucketAlreadyOwnedByYou", "BucketAlreadyExists"),
    Contended: ("ConditionalRequestConflict", "OperationAborted", "409"),
    # HTTP's word, MinIO's, Ceph's for a quota, Huawei's.
    StoreFull: ("507", "InsufficientStorage", "XMinioStorageFull", "QuotaExceeded", "InsufficientStorageSpace"),
    StoreRefuses: tuple(REFUSALS),
}
"""Error codes: services spell the same refusal in several ways, and answers without a body by status alone."""
_SAID_AS: dict[type[StorageError], str] = {OutOfRange: "shorter than the range"}


@contextmanager
def named(operation: str, key: str, *, wordless: bool = False) -> Iterator[None]:
    """Turns what the client raises into one of ours, in one line, without the address or the request.

    `wordless`: the answer has no body (HEAD), so a bare 404 says that there is no such object. To anything else it is
    what a gateway says while the store behind it is away.
    """
    try:
        yield
    except ClientError as error:
        raise _of(error, operation, key, wordless) from None
    except S3UploadFailedError as error:
        if isinstance(error.__context__, ClientError):
            raise _of(error.__context__, operation, key, wordless) from None
        raise StorageError(f"{operation}: {type(error).__name__}") from None
    except (NoCredentialsError, CredentialRetrievalError) as error:
        raise StoreRefuses(f"{operation}: {type(error).__name__}") from None
    except BotoCoreError as error:
        raise StorageError(f"{operation}: {type(error).__name__}") from None
    except ConfigError as error:  # a file with credentials that was replaced by something else
        raise StoreRefuses(f"{operation}: {error}") from None
    except SoftTimeLimitExceeded:
        raise StorageError(f"{operation}: no answer in time") from None


def _of(error: ClientError, operation: str, key: str, wordless: bool) -> StorageError:
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    if code in _MISSING or (wordless and code in _MISSING_WITHOUT_A_WORD):
        return ObjectMissing(key)
    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 507:
        return StoreFull(f"{operation}: {code}")
    kind = next((kind for kind, codes in _KINDS.items() if code in codes), StorageError)
    return kind(f"{operation}: {_SAID_AS.get(kind, code)}")
