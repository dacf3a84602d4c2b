"""Where recorded prompts are: a JSONL file, or objects under an S3 prefix, whichever ``recorded_prompts`` names."""

import gzip
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.errors import RefusedError, RolloutError
from rollout.failures import plain
from rollout.prompt_records import Recorded, read_records

KEY = "rollout.gates.recorded_prompts"
# The newest of what is there; gateways write more than a check can use.
MOST_BYTES = 32 * 2**20


@dataclass(frozen=True, kw_only=True)
class RecordedPrompts:
    """Reads the newest part of the records."""

    source: str
    work_dir: Path
    s3: Callable[[], Any]
    """Makes a client of S3, when one is needed."""

    def read(self) -> list[Recorded]:
        """Read the requests, oldest first as far as their places tell.

        Raises:
            RefusedError: the source cannot be read, or holds no request.
        """
        try:
            lines = list(self._lines())
        except RolloutError:
            raise
        except Exception as error:  # whatever the source fails with
            raise RefusedError(f"{KEY}: {self.source} cannot be read: {plain(error)}") from error
        records, bad = read_records(lines)
        if not records:
            told = f"{bad} lines that are no OpenAI request" if bad else "nothing"
            raise RefusedError(f"{KEY}: {self.source} holds {told}; see docs/shadow.md for the format")
        return records

    def _lines(self) -> Iterator[str]:
        if not self.source.startswith("s3://"):
            yield from _tail(self.work_dir / self.source)
            return
        bucket, _, prefix = self.source.removeprefix("s3://").partition("/")
        client = self.s3()
        found: list[Any] = []
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            found += page.get("Contents", [])
        read, bodies = 0, list[bytes]()
        for one in sorted(found, key=lambda one: one["LastModified"], reverse=True):
            if read >= MOST_BYTES:
                break
            body = client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
            read += len(body)
            bodies.append(gzip.decompress(body) if one["Key"].endswith(".gz") else body)
        for body in reversed(bodies):
            yield from body.decode("utf-8", "replace").splitlines()


def _tail(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MOST_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    # A line that is cut at its beginning, or still being written, is no request, and left out as such.
    yield from lines
