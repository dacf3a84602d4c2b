"""When Pulumi's own lock on a stack may be cancelled, after the process of an update was killed.

Only the holder of our lock asks this. So every running update of the scripts is our own child, except one that outlived
the process that began it. Hosts are identified by name: Pulumi's lock contains nothing else about them.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OURS: Final = "VLLM_BLUE_GREEN_UPDATE"
"""An environment variable of every ``pulumi`` that a script starts. It contains the stack's name."""

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


def began_by_us(pid: int, stack: str) -> bool:
    """Return whether a process of this host is an update of the stack that one of the scripts began."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False  # another user's process, or not Linux: it cannot be checked
    return f"{OURS}={stack}".encode() in environment
