"""Problems are found before anything is built, and reported with the fix."""

import shutil
from pathlib import Path

import pytest

from rehearsal.world.executables import ExecutableError
from rehearsal.world.preflight import OutFolderError, preflight
from rehearsal.world.settings import RehearsalSettings


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("no-such-server --fast", "there is no executable 'no-such-server'"),
        ("'vllm serve", "No closing quotation"),
        ("  ", "there is no executable ''"),
        ("./server.sh", "pods run in their own folders; write /"),
    ],
)
def test_a_pod_command_that_cannot_start_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server.sh").touch(mode=0o755)
    with pytest.raises(ExecutableError, match=f"REHEARSAL_POD_COMMAND={command}: {problem}"):
        preflight(RehearsalSettings(pod_command=command), tmp_path)


def test_a_folder_that_cannot_be_made_is_named_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutFolderError, match=r"cannot make .*/file/out: Not a directory; set REHEARSAL_OUT"):
        preflight(RehearsalSettings(), tmp_path / "file" / "out")


def test_a_full_disk_is_found_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=3 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)  # pyright: ignore[reportUnknownLambdaType]
    with pytest.raises(OutFolderError, match=r"a world needs \d+ MiB in .*; 3 MiB are free"):
        preflight(RehearsalSettings(), tmp_path)
