"""Pulumi's own lock on a stack, left behind by an update whose process was killed: when it may be cancelled.

Only the holder of our lock asks this, so no update of ours runs that is not our own child, except one that has outlived
the process that began it. Hosts are known by their names, as Pulumi's lock has no more of them.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OURS: Final = "VLLM_BLUE_GREEN_UPDATE"
"""Variable in the environment of every ``pulumi`` that a script starts: the stack's name."""

_CLAIMED: Final = re.compile(r"currently locked by (\d+) lock")
_HOLDER: Final = re.compile(r"created by \S+@(\S+) \(pid (\d+)\)")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What may be done about a lock: nothing, or to end these processes first, and then to cancel it."""

    may_cancel: bool
    orphans: tuple[int, ...] = ()


def judge_lock(
    told: str,
    *,
    here: str,
    ended_hosts: Collection[str],
    is_alive: Callable[[int], bool],
    is_ours: Callable[[int], bool],
) -> Verdict:
    """Judge what Pulumi says of the locks on a stack.

    Args:
        told: its words.
        here: the name of this host.
        ended_hosts: hosts on which a process of ours held our lock until it showed no life any more.
        is_alive: tells whether a process of this host runs.
        is_ours: tells whether it is an update that a script of ours began.

    Returns:
        Nothing may be done unless every holder is known to have ended, or is an update of ours that nobody waits for.
    """
    claimed = _CLAIMED.search(told)
    holders = [(host, int(pid)) for host, pid in _HOLDER.findall(told)]
    if claimed is None or len(holders) != int(claimed[1]):
        return Verdict(may_cancel=False)
    orphans: list[int] = []
    for host, pid in holders:
        if host == here and is_alive(pid):
            if not is_ours(pid):
                return Verdict(may_cancel=False)
            orphans.append(pid)
        elif host != here and host not in ended_hosts:
            return Verdict(may_cancel=False)
    return Verdict(may_cancel=True, orphans=tuple(orphans))


def began_by_us(pid: int, stack: str) -> bool:
    """Tell whether a process of this host is an update of the stack that a script of ours began."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False  # another user's, or no Linux: then nobody can tell
    return f"{OURS}={stack}".encode() in environment
