"""The store of a stack's records: small documents by key. A write succeeds only if nobody else has written in between.

If the answer to a conditional write is lost, the write is sent again and then finds its own content. So a writer that
must know whether a document is its own puts a unique name into it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from mimetypes import guess_type
from pathlib import Path
from typing import IO, Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from rollout.model.errors import RolloutError
from rollout.system.failures import describe_error
from rollout.system.waits import longest_call_seconds, name_calls

# Short enough that whoever waits for a record soon learns that it cannot be written.
S3_ATTEMPTS: Final = 4
S3_CONNECT_TIMEOUT_SECONDS: Final = 2
S3_READ_TIMEOUT_SECONDS: Final = 5

_GUARD: Final = ".writing"
_MOST_ATTEMPTS: Final = 1000
"""How often a folder may vanish while a writer makes it. Each attempt takes a moment."""
_CHANGED: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_MISSING: Final = frozenset({"NoSuchKey", "NotFound", "404"})
# S3 answers 409 to one of two simultaneous writes. Either may be sent again.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_WRITE_ATTEMPTS: Final = 5


class StoreError(RolloutError):
    """The store cannot be read or written. The message says where and why."""


class StoreConflictError(StoreError):
    """A document does not have the version that the writer knew: somebody else has written it."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A document, and the version that a replacement must name."""

    content: bytes
    version: str


class Store(Protocol):
    """Documents by key. Keys are names with slashes."""

    def read(self, key: str) -> Stored | None:
        """Return a document. None when there is no document."""
        ...

    def create(self, key: str, content: bytes) -> str:
        """Create a document, and return its version.

        Raises:
            StoreConflictError: the document exists already, with other content.
        """
        ...

    def replace(self, key: str, content: bytes, version: str) -> str:
        """Replace this version of a document, and return the new version.

        Raises:
            StoreConflictError: the document has another version by now, or does not exist.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove a document if it exists."""
        ...

    def withdraw(self, key: str, version: str) -> None:
        """Remove this version of a document if nothing else is stored, so that nothing is left of the first writer."""
        ...

    def keys(self, prefix: str, after: str = "") -> Sequence[str]:
        """List the keys with this prefix in order, but only those after ``after``."""
        ...


class FileStore:
    """Documents as files in a folder, for the processes of one machine."""

    def __init__(self, folder: Path) -> None:
        """Store documents in ``folder``. The first write creates it."""
        self._folder = folder
        self._made: tuple[Path, ...] = ()
        """The folders that this process created, the innermost first."""

    def __str__(self) -> str:
        """Return the folder's path, for messages."""
        return str(self._folder)

    def path(self, key: str) -> Path:
        """Return a document's path."""
        return self._folder / key

    def read(self, key: str) -> Stored | None:
        """Return a document. None when there is no document.

        Raises:
            StoreError: the document cannot be read.
        """
        path = self._folder / key
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{path}: cannot be read ({error.strerror})") from error
        return Stored(content=content, version=_version(content))

    def create(self, key: str, content: bytes) -> str:
        """Create a document, and return its version.

        Raises:
            StoreConflictError: the document exists already.
            StoreError: the document cannot be written.
        """
        with self._exclusive(key) as path:
            if path.exists():
                raise StoreConflictError(f"{path}: exists already")
            _write(path, content)
        return _version(content)

    def replace(self, key: str, content: bytes, version: str) -> str:
        """Replace this version of a document, and return the new version.

        Raises:
            StoreConflictError: the document has another version by now, or does not exist.
            StoreError: the document cannot be written, and is unchanged.
        """
        with self._exclusive(key) as path:
            stored = self.read(key)
            if stored is None or stored.version != version:
                raise StoreConflictError(f"{path}: was written by somebody else in the meantime")
            _write(path, content)
        return _version(content)

    def delete(self, key: str) -> None:
        """Remove a document if it exists.

        Raises:
            StoreError: the document cannot be removed.
        """
        with self._exclusive(key) as path:
            path.unlink(missing_ok=True)

    def withdraw(self, key: str, version: str) -> None:
        """Remove this version of a document if nothing else is stored, and with it the folders that were made for it.

        Raises:
            StoreError: the document cannot be removed.
        """
        with self._exclusive(key) as path:
            stored = self.read(key)
            if stored is not None and stored.version == version and self._names() == {path.name, _GUARD}:
                path.unlink()

    def keys(self, prefix: str, after: str = "") -> Sequence[str]:
        """List the keys with this prefix in order, but only those after ``after``."""
        found = (path for path in self._folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        names = (path.relative_to(self._folder).as_posix() for path in found)
        return sorted(name for name in names if name.startswith(prefix) and name > after)

    @contextmanager
    def _exclusive(self, key: str) -> Generator[Path]:
        """Lock out every other writer during the block."""
        path = self._folder / key
        try:
            with self._guard(path.parent):
                try:
                    yield path
                finally:
                    self._remove_if_unused()
        except OSError as error:
            raise StoreError(f"{path}: cannot be written ({error.strerror})") from error

    def _guard(self, folder: Path) -> IO[bytes]:
        """Return the file that writers lock, locked. A process that leaves the store unused removes it."""
        attempts = 0
        while True:
            missing = () if folder.is_dir() else tuple(one for one in (folder, *folder.parents) if not one.exists())
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._made = self._made or missing
                guard = (self._folder / _GUARD).open("ab")
            except (FileExistsError, FileNotFoundError):  # Another process has removed a folder between two steps.
                attempts += 1
                if attempts == _MOST_ATTEMPTS:
                    raise
                continue
            fcntl.flock(guard, fcntl.LOCK_EX)
            try:
                if os.fstat(guard.fileno()).st_ino == (self._folder / _GUARD).stat().st_ino:
                    return guard
            except FileNotFoundError:
                pass
            guard.close()

    def _remove_if_unused(self) -> None:
        """Remove the folders that this process made, if nothing is stored in them."""
        if self._made and self._names() == {_GUARD}:
            (self._folder / _GUARD).unlink()
            with suppress(OSError):  # somebody else uses one of them
                for folder in self._made:
                    folder.rmdir()
            self._made = ()

    def _names(self) -> set[str]:
        return {one.name for one in self._folder.iterdir()}


class S3Store:
    """Documents as objects of a bucket, for processes anywhere. S3 itself checks the condition of every write."""

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:
        """Store documents in ``bucket`` below ``prefix``."""
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/".removeprefix("/")

    def __str__(self) -> str:
        """Return the URL, for messages."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def read(self, key: str) -> Stored | None:
        """Return a document. None when there is no document.

        Raises:
            StoreError: S3 does not answer, or refuses the call.
        """
        try:
            with self._mapped_errors(key, "read"):
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
                return Stored(content=answer["Body"].read(), version=answer["ETag"])
        except _MissingError:
            return None

    def create(self, key: str, content: bytes) -> str:
        """Create a document, and return its version.

        Raises:
            StoreConflictError: the document exists already, with other content.
            StoreError: S3 does not answer, or refuses the call.
        """
        return self._put(key, content, None)

    def replace(self, key: str, content: bytes, version: str) -> str:
        """Replace this version of a document, and return the new version.

        Raises:
            StoreConflictError: the document has another version and other content by now, or does not exist.
            StoreError: S3 does not answer, or refuses the call.
        """
        return self._put(key, content, version)

    def delete(self, key: str) -> None:
        """Remove a document if it exists.

        Raises:
            StoreError: S3 does not answer, or refuses the call.
        """
        with self._mapped_errors(key, "removed"):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def withdraw(self, key: str, version: str) -> None:
        """Leave the document: a bucket has no folders, and the next writer goes on from it."""

    def keys(self, prefix: str, after: str = "") -> Sequence[str]:
        """List the keys with this prefix in order, but only those after ``after``. S3 starts the listing there.

        Raises:
            StoreError: S3 does not answer, or refuses the call.
        """
        start = {"StartAfter": self._prefix + after} if after else {}
        with self._mapped_errors(prefix, "listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix, **start
            )
            return [one["Key"].removeprefix(self._prefix) for page in pages for one in page.get("Contents", ())]

    def _put(self, key: str, content: bytes, version: str | None) -> str:
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        for _ in range(_WRITE_ATTEMPTS):
            try:
                with self._mapped_errors(key, "written"):
                    answer = self._client.put_object(
                        Bucket=self._bucket,
                        Key=self._prefix + key,
                        Body=content,
                        ContentType=guess_type(key)[0] or "application/json",
                        **condition,
                    )
                    return answer["ETag"]
            except (_ChangedError, _MissingError):
                stored = self.read(key)
                if stored is not None and stored.content == content:
                    return stored.version  # from an earlier attempt of ours, whose answer was lost
                if (None if stored is None else stored.version) != version:
                    break
        raise StoreConflictError(f"{self}/{key}: was written by somebody else in the meantime")

    @contextmanager
    def _mapped_errors(self, key: str, what: str) -> Generator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if code in _MISSING:
                raise _MissingError from error
            if code in _CHANGED:
                raise _ChangedError from error
            raise StoreError(f"{self}/{key}: cannot be {what} ({describe_error(error)})") from error
        except BotoCoreError as error:
            raise StoreError(f"{self}/{key}: cannot be {what} ({describe_error(error)})") from error


class _MissingError(Exception):
    """S3 has no such object."""


class _ChangedError(Exception):
    """S3 has another version of the object."""


def open_store(url: str, region: str | None = None) -> FileStore | S3Store:
    """Open the store that a URL names: ``file:///folder`` or ``s3://bucket/prefix``."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FileStore(Path(unquote(parts.path)))
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=S3_CONNECT_TIMEOUT_SECONDS,
        read_timeout=S3_READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": S3_ATTEMPTS},
    )
    client: Any = boto3.client("s3", region_name=region, config=config)  # pyright: ignore[reportUnknownMemberType]
    timeout_seconds = S3_CONNECT_TIMEOUT_SECONDS + S3_READ_TIMEOUT_SECONDS
    name_calls(client, at_most_seconds=longest_call_seconds(attempts=S3_ATTEMPTS, timeout_seconds=timeout_seconds))
    return S3Store(client, parts.netloc, parts.path)


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Replace a file's content in one step. The new content is on disk when this returns."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
