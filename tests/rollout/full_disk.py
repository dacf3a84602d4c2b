"""Simulates a full disk for this process."""

import resource
import signal
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def no_room(beyond_bytes: int = 0) -> Generator[None]:
    """Limit the size of files: writing fails as on a full disk, but with EFBIG instead of ENOSPC."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (beyond_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)
