"""The report in a real browser: it draws, asks for nothing, can be read by everybody, and fits on two sheets."""

import re
from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from rollout.report.explanation import explain
from rollout.report.files import page as report_page
from rollout.report.read import report_of
from tests.browser import Opened, barriers, started_browser
from tests.rollout.fakes import World
from tests.rollout.report.test_read import ramp

SIZES = {"desk": (1280, 900), "phone": (390, 844)}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with started_browser() as started:
        yield started


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


@pytest.fixture(params=[f"{size} {scheme}" for size in SIZES for scheme in ("light", "dark")])
def opened(browser: Browser, file: Path, request: pytest.FixtureRequest) -> Generator[Opened]:
    size, scheme = request.param.split()
    width, height = SIZES[size]
    with Opened(browser, width=width, height=height, scheme=scheme) as found:
        found.page.goto(file.as_uri())
        yield found


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
    assert barriers(opened.page) == []


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
