"""Processes of this machine, as the kernel knows them."""

from functools import cache
from pathlib import Path


@cache
def this_machine() -> str:
    """Return what tells this boot of this host, and this namespace of processes, from all others; empty if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""  # no Linux


def process_start_time(pid: int) -> str:
    """Return when a process began, in the kernel's count; empty when there is no such process, or it has ended."""
    try:
        # Its name, in brackets, may hold anything, blanks and brackets too.
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if told[0] in "ZX" else told[19]
