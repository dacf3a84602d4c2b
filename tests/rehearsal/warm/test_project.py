"""A project's own modules in the warm process: imported once, and again for a run that would find others."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rehearsal.warm import launch
from rehearsal.warm.server import warm_process

IN_ADVANCE = "in advance"
AGAIN = "again"
SCRIPT = "import shop.prices\nprint(shop.prices.IMPORTED_BY, shop.prices.PRICE)\n"
PRICES = "import os\nIMPORTED_BY = os.getpid()\nPRICE = 2\n"


class Shop:
    """A project with a module of its own, and a warm process that has imported it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.prices = self.write("shop/prices.py", PRICES)
        self.write("shop/more/table.txt", "bread 2\n")
        self.socket = folder / "warm.sock"
        self.pid = 0

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def run(self, *words: str, folder: Path | None = None) -> tuple[str, int]:
        """Return whether the module was imported in advance, and its price."""
        environment = {**os.environ, launch.SOCKET_VARIABLE: str(self.socket)}
        environment["PYTHONPATH"] = str(folder or self.folder)
        command = [sys.executable, "-I", "-S", launch.__file__, *words]
        run = subprocess.run(
            command, cwd=folder or self.folder, env=environment, capture_output=True, text=True, check=True
        )
        process, price = run.stdout.split()
        return (IN_ADVANCE if int(process) == self.pid else AGAIN), int(price)

    @contextmanager
    def open(self) -> Generator[None]:
        """Run the warm process for the length of the block."""
        with warm_process(self.socket, [], ["--project", self.folder, "--own", "shop.prices"]) as process:
            self.pid = process.pid
            yield


@pytest.fixture
def shop(tmp_path: Path) -> Generator[Shop]:
    made = Shop(tmp_path)
    with made.open():
        yield made


def test_runs_in_the_project_get_its_modules_until_a_file_of_them_changes(shop: Shop) -> None:
    script = str(shop.write("buy.py", SCRIPT))
    assert shop.run(script) == (IN_ADVANCE, 2)
    shop.write("till/buy.py", SCRIPT)
    shop.write("till/__init__.py", "")
    assert shop.run("-m", "till.buy") == (IN_ADVANCE, 2)
    shop.prices.write_text(PRICES.replace("2", "3000"))
    assert shop.run(script) == (AGAIN, 3000)
    shop.prices.write_text(PRICES)
    assert shop.run(script) == (AGAIN, 2)


@pytest.mark.parametrize("change", ["new", "gone", "data"])
def test_any_file_of_the_modules_packages_counts(shop: Shop, change: str) -> None:
    script = str(shop.write("buy.py", SCRIPT))
    assert shop.run(script) == (IN_ADVANCE, 2)
    match change:
        case "new":
            shop.write("shop/more/__init__.py", "")
        case "gone":
            (shop.folder / "shop/more/table.txt").unlink()
        case _:
            shop.write("shop/more/table.txt", "bread 4000\n")
    assert shop.run(script) == (AGAIN, 2)


def test_with_modules_that_cannot_be_imported_runs_import_them_and_say_why(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    script = str(shop.write("buy.py", SCRIPT))
    shop.prices.write_text(PRICES + "import shop.missing\n")
    with shop.open():
        with pytest.raises(subprocess.CalledProcessError) as failed:
            shop.run(script)
        assert failed.value.stderr.endswith("No module named 'shop.missing'\n")
        shop.prices.write_text(PRICES)
        assert shop.run(script) == (AGAIN, 2)


def test_other_folders_and_the_rehearsals_own_programs_have_their_own_modules(shop: Shop, tmp_path: Path) -> None:
    other = Shop(tmp_path / "other")
    other.prices.write_text(PRICES.replace("2", "5"))
    assert shop.run(str(other.write("buy.py", SCRIPT)), folder=other.folder) == (AGAIN, 5)
    shop.write("rehearsal/__init__.py", "")
    shop.write("rehearsal/buy.py", SCRIPT)
    assert shop.run("-m", "rehearsal.buy") == (AGAIN, 2)
