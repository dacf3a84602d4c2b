"""The remaining time of a terminating container."""

import asyncio
from collections.abc import Awaitable
from typing import Any


class Grace:
    """A deadline. A second deletion of the pod with a shorter grace period moves it forward."""

    def __init__(self, seconds: float) -> None:
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._nearer = asyncio.Event()

    def shorten(self, seconds: float) -> None:
        """Leave at most ``seconds`` from now."""
        deadline = asyncio.get_running_loop().time() + seconds
        if deadline < self._deadline:
            self._deadline = deadline
            self._nearer.set()

    def extend(self, seconds: float) -> None:
        """Leave at least ``seconds`` from now."""
        self._deadline = max(self._deadline, asyncio.get_running_loop().time() + seconds)

    async def wait(self, awaitable: Awaitable[Any]) -> bool:
        """Wait for ``awaitable`` until the deadline and return whether it ended. Cancels it when it did not."""
        task = asyncio.ensure_future(awaitable)
        try:
            while True:
                self._nearer.clear()
                changed = asyncio.ensure_future(self._nearer.wait())
                left = self._deadline - asyncio.get_running_loop().time()
                await asyncio.wait({task, changed}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                if task.done() or left <= 0:
                    return task.done()
        finally:
            task.cancel()
