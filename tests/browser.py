"""A real browser for tests of pages: what a page asked for, what it complained about, and its barriers."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def started_browser() -> Generator[Browser]:
    """Start Chromium for the length of the block, or skip the test."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        # In a container there is no user namespace for the browser's sandbox; the pages are our own.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Opened:
    """A page with everything that it asked for or complained about."""

    def __init__(self, browser: Browser, *, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        chosen: Literal["light", "dark"] = "dark" if scheme == "dark" else "light"
        self._context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=chosen)
        self.page = self._context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.close()


def barriers(page: Page) -> list[tuple[str, str]]:
    """Return the rules of axe that a page breaks seriously, each with its first element."""
    found: Any = Axe().run(page).response
    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    return [(one["id"], one["nodes"][0]["html"]) for one in serious]
