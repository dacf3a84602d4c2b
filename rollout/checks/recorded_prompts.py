"""Where recorded prompts are: a JSONL file, or objects under an S3 prefix, whichever ``recorded_prompts`` names."""

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
# The newest of what is there; gateways write more than a check can use.
MOST_BYTES = 32 * 2**20
TIMESTAMP = "timestamp"
PREFIX_CHARACTERS = 512
# How many times the sample are drawn from, newest first: old prompts say little about the users of today.
WINDOW = 10
# What a replay chooses itself, and what says how the answer was to be sent, or to whom.
_NOT_REPLAYED = frozenset(
    {TIMESTAMP, "model", "stream", "stream_options", "n", "user", "seed", "temperature", "top_p", "top_k"}
    | {"max_tokens", "max_completion_tokens", "store", "metadata", "service_tier", "request_id", "cache_salt"}
)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One recorded request; ``at`` is seconds since the epoch, none when the line does not say."""

    body: Mapping[str, Any]
    at: float | None = None

    @property
    def prefix(self) -> str:
        """Return what prompts of one kind begin with: the tools, the system prompt, the examples."""
        said = [self.body.get("tools"), self.body.get("messages") or self.body.get("prompt")]
        return json.dumps(said, sort_keys=True, ensure_ascii=False)[:PREFIX_CHARACTERS]


def read_records(lines: Iterable[str]) -> tuple[list[Recorded], int]:
    """Read lines; returns the requests, and how many lines were none."""
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
    """Draw ``count`` of the newest requests, always the same ones of the same records; each prompt once.

    Requests without a time are as old as where they stand: the later, the newer.
    """
    ordered = sorted(enumerate(records), key=lambda one: (one[1].at or 0.0, one[0]), reverse=True)
    distinct: dict[str, Recorded] = {}
    for _, record in ordered:
        distinct.setdefault(json.dumps(record.body, sort_keys=True), record)
    window = list(distinct.values())[: count * WINDOW]
    return random.Random(seed).sample(window, min(count, len(window)))


def frequent(records: Sequence[Recorded], count: int) -> list[Recorded]:
    """Return the newest request of each of the most frequent prefixes, the most frequent first."""
    groups: dict[str, list[Recorded]] = {}
    for record in records:
        groups.setdefault(record.prefix, []).append(record)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return [max(enumerate(group), key=lambda one: (one[1].at or 0.0, one[0]))[1] for group in ordered[:count]]


def replayed(record: Recorded, *, max_tokens: int, seed: int, names: Collection[str] = ()) -> dict[str, Any]:
    """Return the request to send: what was asked, answered as deterministically as the server can.

    Args:
        record: the request.
        max_tokens: longest answer to ask for, in tokens.
        seed: seed of the answer.
        names: models besides the service's own, adapters, that may be asked for.
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
            raise RefusedError(f"{KEY}: {self.source} cannot be read: {describe_error(error)}") from error
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
