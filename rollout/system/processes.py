"""Processes of this machine, as the kernel reports them."""

from functools import cache
from pathlib import Path


@cache
def this_machine() -> str:
    """Return an id of this boot of this host and of this process namespace. Empty if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""  # not Linux


def process_start_time(pid: int) -> str:
    """Return when a process started, in the kernel's clock ticks. Empty when it does not exist or has ended."""
    try:
        # The process name, in parentheses, may contain anything, including spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
