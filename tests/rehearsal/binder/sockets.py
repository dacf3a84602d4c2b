"""The addresses on which a process listens, from the kernel."""

import contextlib
import re
import socket
from collections.abc import Iterable
from pathlib import Path

_LISTENING = "0A"


def listening(pid: int) -> set[str]:
    """Return the addresses on which a process accepts TCP connections."""
    inodes: set[str] = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # It has been closed meanwhile.
            if match := re.fullmatch(r"socket:\[(\d+)\]", str(path.readlink())):
                inodes.add(match[1])
    return {address for family in (socket.AF_INET, socket.AF_INET6) for address in _listening(family, inodes)}


def _listening(family: socket.AddressFamily, inodes: set[str]) -> Iterable[str]:
    table = Path("/proc/net/tcp6" if family == socket.AF_INET6 else "/proc/net/tcp")
    for line in table.read_text().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == _LISTENING and inode in inodes:
            # The kernel prints each 32-bit word in the machine's byte order.
            words = bytes.fromhex(local.partition(":")[0])
            turned = b"".join(words[start : start + 4][::-1] for start in range(0, len(words), 4))
            yield socket.inet_ntop(family, turned)
