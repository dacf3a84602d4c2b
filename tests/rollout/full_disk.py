"""A disk on which nothing more fits, as far as this process can tell."""

import resource
import signal
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def no_room(beyond_bytes: int = 0) -> Generator[None]:
    """No file may grow beyond a size: writing fails as on a full disk, with EFBIG in ENOSPC's place."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (beyond_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)
