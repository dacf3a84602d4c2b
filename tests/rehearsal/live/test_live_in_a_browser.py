"""The live page in a real browser: followed as it happens, and played from a recording."""

from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from rehearsal.live.server import served, write_recording
from tests.browser import Opened, barriers, started_browser
from tests.rehearsal.live.test_live import frames_of_a_swap

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with started_browser() as started:
        yield started


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_a_recording_plays_and_can_be_read_by_everybody(
    browser: Browser, tmp_path: Path, width: int, scheme: str
) -> None:
    path = tmp_path / "live.html"
    write_recording(path, frames_of_a_swap())
    with Opened(browser, width=width, scheme=scheme) as opened:
        page = opened.page
        page.goto(path.as_uri())
        page.locator("#speed").select_option("30")
        expect(page.locator("#green .weight")).to_have_text("100 %", timeout=10_000)
        expect(page.locator("#play")).to_have_text("Play again")
        assert page.locator("#finished").inner_text() == "725"
        assert page.locator("#green .pods i.ready").count() == 2
        assert page.locator("#gates tr").inner_text().split("\t")[:2] == ["error_rate", "pass"]
        page.locator("#seek").fill("3")
        expect(page.locator("#green .weight")).to_have_text("15 %")
        assert page.locator("#lines li").count() == 4
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0
        assert barriers(page) == []
        assert opened.complaints == []
        assert opened.requests == [path.as_uri()]


def test_it_follows_a_rehearsal_as_it_happens(browser: Browser) -> None:
    frames = list(frames_of_a_swap())
    growing = frames[:5]
    with Opened(browser) as opened:
        with served(growing) as address:
            opened.page.goto(address)
            expect(opened.page.locator("#green .weight")).to_have_text("20 %")
            growing += frames[5:]
            expect(opened.page.locator("#green .weight")).to_have_text("100 %")
            assert opened.page.locator("#lines li").count() == 30
        expect(opened.page.locator("#scene")).to_contain_text("the rehearsal is over")
        assert opened.complaints == []
        assert {request.split("/")[2] for request in opened.requests} == {address.split("/")[2]}
