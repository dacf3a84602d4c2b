"""The report in a real browser: it draws, asks for nothing, can be read by everybody, and fits on two sheets."""

import re
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from rollout.report.explanation import explain
from rollout.report.files import page as report_page
from rollout.report.read import report_of
from tests.rollout.fakes import World
from tests.rollout.report.test_read import ramp

SIZES = {"desk": (1280, 900), "phone": (390, 844)}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        # In a container there is no user namespace for the browser's sandbox; the page is our own.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = World()
    count = world.clock.on_sleep

    def slow_later() -> None:
        count()
        if world.weights["green"] >= 25:
            world.ttft_bucket["green"] = "2.5"

    world.clock.on_sleep = slow_later
    ramp(world)
    found = report_of(world.journal.kept)
    assert found is not None
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_page(found, explain(found, "prod")))
    return path


class Opened:
    """A page with everything that it asked for or complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture(params=[f"{size} {scheme}" for size in SIZES for scheme in ("light", "dark")])
def opened(browser: Browser, file: Path, request: pytest.FixtureRequest) -> Generator[Opened]:
    size, scheme = request.param.split()
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    found = Opened(context.new_page())
    found.page.goto(file.as_uri())
    yield found
    context.close()


def test_it_draws_every_chart_without_complaint_or_request(opened: Opened, file: Path) -> None:
    page = opened.page
    assert page.locator("h1").inner_text().startswith("Release ")
    assert page.locator("figure canvas").count() == page.locator("figure").count() == 8
    drawn = page.evaluate(
        """() => [...document.querySelectorAll("figure canvas")].map(canvas => {
            const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            return new Set(new Uint32Array(pixels.buffer)).size;
        })"""
    )
    assert all(colors > 5 for colors in drawn), drawn
    assert opened.complaints == []
    assert opened.requests == [file.as_uri()]


def test_nothing_is_wider_than_the_screen(opened: Opened) -> None:
    wide = opened.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0


def test_it_has_no_serious_barrier(opened: Opened) -> None:
    found: Any = Axe().run(opened.page).response
    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], one["nodes"][0]["html"]) for one in serious] == []


def test_a_chart_can_be_read_by_keyboard(opened: Opened) -> None:
    page = opened.page
    plot = page.locator("figure", has_text="Time to first token").locator(".plot")
    plot.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    text = page.locator("figure", has_text="Time to first token").locator("output").inner_text()
    assert re.search(r"green 2\.4\d s", text), text
    assert "limit 0.364 s" in text


def test_on_paper_even_a_long_one_takes_two_sheets(browser: Browser, tmp_path: Path) -> None:
    steps = [{"candidate_percent": percent, "hold_seconds": 60} for percent in (1, 25, 75, 100)]
    settings = World().config.read().rollout.model_dump(mode="json", exclude_unset=True)
    found = ramp(World(rollout={**settings, "steps": steps}))
    assert len(found.holds) == 5
    (tmp_path / "report.html").write_text(report_page(found, explain(found, "prod")))
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    paper = page.pdf(format="A4", prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page[^s]", paper)) <= 2
    page.close()
