"""When Pulumi's own lock on a stack may be cancelled, after the process of an update was killed.

Only the holder of our lock asks this. So every running update of the scripts is our own child, except one that outlived
the process that began it. Hosts are identified by name: Pulumi's lock contains nothing else about them.
"""

import json
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OURS: Final = "VLLM_BLUE_GREEN_UPDATE"
"""An environment variable of every ``pulumi`` that a script starts. It contains the stack's bare name."""

# The message of Pulumi Cloud, which names no holder. The CLI passes it on, after `error: `.
# https://github.com/pulumi/pulumi/blob/v3.272.0/sdk/python/lib/pulumi/automation/errors.py
_CONFLICT: Final = "[409] Conflict: Another update is currently in progress"
# Its answer to `pulumi cancel` when that update has ended meanwhile: https://github.com/pulumi/pulumi/issues/5364
_COMPLETED: Final = "The Update has already completed"
_CLAIMED: Final = re.compile(r"currently locked by (\d+) lock")
_HOLDER: Final = re.compile(r"created by \S+@(\S+) \(pid (\d+)\)")


@dataclass(frozen=True, kw_only=True)
class LockDecision:
    """Whether a lock may be cancelled, and which processes must be ended first."""

    may_cancel: bool
    orphans: tuple[int, ...] = ()


def decide_lock(
    message: str,
    *,
    here: str,
    ended_hosts: Collection[str],
    is_alive: Callable[[int], bool],
    is_ours: Callable[[int], bool],
) -> LockDecision:
    """Judge Pulumi's message about the locks on a stack.

    Args:
        message: Pulumi's message.
        here: the name of this host.
        ended_hosts: hosts on which another process held our lock until the lock expired.
        is_alive: returns whether a process of this host is running.
        is_ours: returns whether a process is an update that one of the scripts began.

    Returns:
        That the lock may be cancelled, only if every holder has ended or is an orphaned update of the scripts.
    """
    claimed = _CLAIMED.search(message)
    holders = [(host, int(pid)) for host, pid in _HOLDER.findall(message)]
    if claimed is None or len(holders) != int(claimed[1]):
        return LockDecision(may_cancel=False)
    orphans: list[int] = []
    for host, pid in holders:
        if host == here and is_alive(pid):
            if not is_ours(pid):
                return LockDecision(may_cancel=False)
            orphans.append(pid)
        elif host != here and host not in ended_hosts:
            return LockDecision(may_cancel=False)
    return LockDecision(may_cancel=True, orphans=tuple(orphans))


def is_conflict(message: str) -> bool:
    """Return whether a message is Pulumi Cloud's about another update."""
    return _CONFLICT in message


def has_ended(message: str) -> bool:
    """Return whether a message says that the update that was to be cancelled has ended."""
    return _COMPLETED in message


def decide_conflict(*, running: str | None, unended: Collection[str], orphans: Collection[int]) -> LockDecision:
    """Decide about Pulumi Cloud's lock on a stack, whose message does not say who holds it.

    Args:
        running: the message of the update that runs, by the stack's history. None when none runs, or it is unknown.
        unended: the messages of the updates that the former holder of our lock began and did not end.
        orphans: updates of this stack that a script began on this host, and that still run.

    Returns:
        That the lock may be cancelled, only if the update that runs is one of the former holder's.
    """
    if running is None or running not in unended:
        return LockDecision(may_cancel=False)
    return LockDecision(may_cancel=True, orphans=tuple(orphans))


def running_update(history: str) -> str | None:
    """Return the message of the update that runs, from the output of ``pulumi stack history --json``.

    None when the latest update has ended, or the output is no history.
    https://github.com/pulumi/pulumi/blob/v3.272.0/pkg/backend/updates.go
    """
    try:
        latest = json.loads(history)[0]
        return str(latest["message"]) if latest["result"] == "in-progress" else None
    except (ValueError, LookupError, TypeError):
        return None


def updates_here(stack: str) -> tuple[int, ...]:
    """Return the ids of this host's running updates of a stack that a script began. None are found without /proc."""
    running = (int(folder.name) for folder in Path("/proc").glob("[0-9]*") if b"up" in _words(folder / "cmdline"))
    return tuple(pid for pid in running if _leads_session(pid) and began_by_us(pid, stack))


def _leads_session(pid: int) -> bool:
    """Return whether a process leads a session, as each `pulumi` of a script does. Its plugins inherit its mark."""
    try:
        return os.getsid(pid) == pid
    except OSError:
        return False


def _words(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\0")
    except OSError:
        return []


def began_by_us(pid: int, stack: str) -> bool:
    """Return whether a process of this host is an update of the stack that one of the scripts began."""
    # Another user's process, or one of another system than Linux, cannot be checked.
    return f"{OURS}={stack}".encode() in _words(Path(f"/proc/{pid}/environ"))
