"""Recorded prompts, from the JSONL file or the S3 prefix that ``recorded_prompts`` names."""

import gzip
import os
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.checks.log_lines import REPLAYED, NoRequest, RecordedRequest, read_line
from rollout.model.errors import RefusedError, RolloutError
from rollout.system.failures import describe_error

KEY = "rollout.gates.recorded_prompts"
# Only the newest records are read: gateways write more than a check can use.
MOST_BYTES = 32 * 2**20
# The sample is drawn from this many times its size, newest first: old prompts say little about today's users.
WINDOW = 10
# This many lines are named in a message.
MOST_NAMED = 3

Line = tuple[str, str]
"""Where a line stands, and the line."""


@dataclass(frozen=True, kw_only=True)
class RequestLog:
    """What a source contains."""

    requests: Sequence[RecordedRequest]
    """In the order of the source: oldest first."""
    redacted: Sequence[str] = ()
    """Where the lines are whose prompt was replaced by a redaction mark."""
    others: int = 0
    """How many lines are no OpenAI requests."""

    @property
    def distinct(self) -> int:
        """The number of different prompts."""
        return len({one.prompt for one in self.requests})

    @property
    def left_out(self) -> str:
        """Say which lines are not replayed, and why. Empty when all are."""
        parts: list[str] = []
        if self.redacted:
            named = ", ".join(self.redacted[:MOST_NAMED])
            more = f" and {len(self.redacted) - MOST_NAMED} more" if len(self.redacted) > MOST_NAMED else ""
            parts.append(f"{_lines(len(self.redacted))} with {NoRequest.REDACTED} ({named}{more})")
        if self.others:
            parts.append(f"{_lines(self.others)} but {NoRequest.OTHER}")
        return " and ".join(parts)


def read_log(lines: Iterable[Line]) -> RequestLog:
    """Read the lines of a source. Empty lines do not count."""
    requests: list[RecordedRequest] = []
    redacted: list[str] = []
    others = 0
    for where, line in lines:
        if not line.strip():
            continue
        match read_line(line):
            case RecordedRequest() as request:
                requests.append(request)
            case NoRequest.REDACTED:
                redacted.append(where)
            case NoRequest.OTHER:
                others += 1
    return RequestLog(requests=requests, redacted=redacted, others=others)


def newest(records: Sequence[RecordedRequest], count: int, seed: int) -> list[RecordedRequest]:
    """Draw ``count`` of the newest requests, each prompt once. The same records give the same sample.

    Requests without a time are ordered by position: the later, the newer.
    """
    ordered = sorted(enumerate(records), key=lambda one: (one[1].at or 0.0, one[0]), reverse=True)
    distinct: dict[str, RecordedRequest] = {}
    for _, record in ordered:
        distinct.setdefault(record.prompt, record)
    window = list(distinct.values())[: count * WINDOW]
    return random.Random(seed).sample(window, min(count, len(window)))


def frequent(records: Sequence[RecordedRequest], count: int) -> list[RecordedRequest]:
    """Return the newest request of each of the most frequent prefixes, most frequent first."""
    groups: dict[str, list[RecordedRequest]] = {}
    for record in records:
        groups.setdefault(record.prefix, []).append(record)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return [max(enumerate(group), key=lambda one: (one[1].at or 0.0, one[0]))[1] for group in ordered[:count]]


def replayed(record: RecordedRequest, *, max_tokens: int, seed: int, names: Collection[str] = ()) -> dict[str, Any]:
    """Return the request to send: the recorded one, set to be as deterministic as the server allows.

    A field that must agree with one that the replay sets moves with it: vLLM answers 400 to a ``min_tokens`` above
    ``max_tokens``, and to a ``tool_choice`` without tools.
    https://github.com/vllm-project/vllm/blob/main/vllm/sampling_params.py

    Args:
        record: the recorded request.
        max_tokens: the longest answer to request, in tokens.
        seed: the sampling seed.
        names: LoRA adapters that the request may name instead of the service's model.
    """
    recorded = record.body
    body = {key: value for key, value in recorded.items() if key in REPLAYED}
    if not body.get("tools"):
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)
    if (model := recorded.get("model")) in names:
        body["model"] = model
    limit = min(_tokens(recorded, "max_completion_tokens") or _tokens(recorded, "max_tokens") or max_tokens, max_tokens)
    if fewest := _tokens(recorded, "min_tokens"):
        body["min_tokens"] = min(fewest, limit)
    return {**body, "max_tokens": limit, "temperature": 0, "seed": seed}


def _tokens(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


@dataclass(frozen=True, kw_only=True)
class RecordedPrompts:
    """Reads the newest records of a source."""

    source: str
    work_dir: Path
    s3: Callable[[], Any]
    """Returns an S3 client. Called only when one is needed."""

    def read(self) -> RequestLog:
        """Read the requests.

        Raises:
            RefusedError: the source cannot be read or contains no request.
        """
        try:
            log = read_log(self._lines())
        except RolloutError:
            raise
        except Exception as error:  # sources fail with many kinds of errors
            raise RefusedError(f"{KEY}: {self.source} cannot be read: {describe_error(error)}") from error
        if not log.requests:
            fix = "; let the gateway log what users ask, and mask only what is personal" if log.redacted else ""
            raise RefusedError(
                f"{KEY}: {self.source} contains {log.left_out or 'nothing'}; see docs/shadow.md for the format{fix}"
            )
        return log

    def _lines(self) -> Iterator[Line]:
        if not self.source.startswith("s3://"):
            yield from _tail(self.work_dir / self.source)
            return
        bucket, _, prefix = self.source.removeprefix("s3://").partition("/")
        client = self.s3()
        found: list[Any] = []
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            found += page.get("Contents", [])
        read, bodies = 0, list[tuple[str, bytes]]()
        for one in sorted(found, key=lambda one: one["LastModified"], reverse=True):
            if read >= MOST_BYTES:
                break
            body = client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
            read += len(body)
            bodies.append((one["Key"], gzip.decompress(body) if one["Key"].endswith(".gz") else body))
        for name, body in reversed(bodies):
            for number, line in enumerate(_split(body), 1):
                yield f"{name} line {number}", line


def _tail(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MOST_BYTES))
        content = file.read()
    of_what = f" of the last {MOST_BYTES // 2**20} MiB" if size > MOST_BYTES else ""
    # A line that is cut off or still being written is not a valid request, so the reader leaves it out.
    for number, line in enumerate(_split(content), 1):
        yield f"line {number}{of_what}", line


def _lines(count: int) -> str:
    return f"{count} line" if count == 1 else f"{count} lines"


def _split(content: bytes) -> list[str]:
    # Only at line feeds: JSON may contain other characters that Python takes for ends of lines.
    return content.decode("utf-8", "replace").split("\n")
