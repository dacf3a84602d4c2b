"""Recorded prompts, from the JSONL file or the S3 prefix that ``recorded_prompts`` names."""

import gzip
import json
import os
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from rollout.model.errors import RefusedError, RolloutError
from rollout.system.failures import describe_error

KEY = "rollout.gates.recorded_prompts"
# Only the newest records are read: gateways write more than a check can use.
MOST_BYTES = 32 * 2**20
TIMESTAMP = "timestamp"
PREFIX_CHARACTERS = 512
# The sample is drawn from this many times its size, newest first: old prompts say little about today's users.
WINDOW = 10
# Fields that a replay sets itself, and fields about how or to whom the answer was sent.
_NOT_REPLAYED = frozenset(
    {TIMESTAMP, "model", "stream", "stream_options", "n", "user", "seed", "temperature", "top_p", "top_k"}
    | {"max_tokens", "max_completion_tokens", "store", "metadata", "service_tier", "request_id", "cache_salt"}
)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One recorded request. ``at`` is in seconds since the epoch, or None when the line has no timestamp."""

    body: Mapping[str, Any]
    at: float | None = None

    @property
    def prefix(self) -> str:
        """Return the beginning that prompts of one kind share: the tools, the system prompt, the examples."""
        parts = [self.body.get("tools"), self.body.get("messages") or self.body.get("prompt")]
        return json.dumps(parts, sort_keys=True, ensure_ascii=False)[:PREFIX_CHARACTERS]


def read_records(lines: Iterable[str]) -> tuple[list[Recorded], int]:
    """Read lines, and return the requests and how many lines are not requests."""
    records: list[Recorded] = []
    bad = 0
    for line in lines:
        if not line.strip():
            continue
        record = _read(line)
        if record is None:
            bad += 1
        else:
            records.append(record)
    return records, bad


def newest(records: Sequence[Recorded], count: int, seed: int) -> list[Recorded]:
    """Draw ``count`` of the newest requests, each prompt once. The same records give the same sample.

    Requests without a time are ordered by position: the later, the newer.
    """
    ordered = sorted(enumerate(records), key=lambda one: (one[1].at or 0.0, one[0]), reverse=True)
    distinct: dict[str, Recorded] = {}
    for _, record in ordered:
        distinct.setdefault(json.dumps(record.body, sort_keys=True), record)
    window = list(distinct.values())[: count * WINDOW]
    return random.Random(seed).sample(window, min(count, len(window)))


def frequent(records: Sequence[Recorded], count: int) -> list[Recorded]:
    """Return the newest request of each of the most frequent prefixes, most frequent first."""
    groups: dict[str, list[Recorded]] = {}
    for record in records:
        groups.setdefault(record.prefix, []).append(record)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return [max(enumerate(group), key=lambda one: (one[1].at or 0.0, one[0]))[1] for group in ordered[:count]]


def replayed(record: Recorded, *, max_tokens: int, seed: int, names: Collection[str] = ()) -> dict[str, Any]:
    """Return the request to send: the recorded one, set to be as deterministic as the server allows.

    Args:
        record: the recorded request.
        max_tokens: the longest answer to request, in tokens.
        seed: the sampling seed.
        names: LoRA adapters that the request may name instead of the service's model.
    """
    body = {key: value for key, value in record.body.items() if key not in _NOT_REPLAYED}
    if (model := record.body.get("model")) in names:
        body["model"] = model
    asked = record.body.get("max_completion_tokens") or record.body.get("max_tokens") or max_tokens
    limit = min(asked, max_tokens) if isinstance(asked, int) and asked > 0 else max_tokens
    return {**body, "max_tokens": limit, "temperature": 0, "seed": seed}


def _read(line: str) -> Recorded | None:
    try:
        value: object = json.loads(line)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    body = cast(dict[str, Any], value)
    messages, prompt = body.get("messages"), body.get("prompt")
    if not (isinstance(messages, list) and messages) and not (isinstance(prompt, str) and prompt):
        return None
    at = _seconds(body.get(TIMESTAMP))
    return Recorded(body={key: one for key, one in body.items() if key != TIMESTAMP}, at=at)


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, kw_only=True)
class RecordedPrompts:
    """Reads the newest records of a source."""

    source: str
    work_dir: Path
    s3: Callable[[], Any]
    """Returns an S3 client. Called only when one is needed."""

    def read(self) -> list[Recorded]:
        """Read the requests, in the order of the source: oldest first.

        Raises:
            RefusedError: the source cannot be read or contains no request.
        """
        try:
            lines = list(self._lines())
        except RolloutError:
            raise
        except Exception as error:  # sources fail with many kinds of errors
            raise RefusedError(f"{KEY}: {self.source} cannot be read: {describe_error(error)}") from error
        records, bad = read_records(lines)
        if not records:
            content = f"{bad} lines but no OpenAI request" if bad else "nothing"
            raise RefusedError(f"{KEY}: {self.source} contains {content}; see docs/shadow.md for the format")
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
    # A line that is cut off or still being written is not a valid request, so the reader leaves it out.
    yield from lines
