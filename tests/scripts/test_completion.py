"""Completion in a real shell: scripts, options, stacks, files and words."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

from scripts.__main__ import TASKS
from scripts.completion import Shell, completion

NAMES = tuple(name for names in TASKS.values() for name in names)


@cache
def text(shell: Shell) -> str:
    return completion(shell, NAMES)


def completed(folder: Path, *words: str) -> list[str]:
    """Return what bash offers for the last word."""
    line = " ".join(f"'{word}'" for word in words)
    script = f"{text(Shell.BASH)}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}\n"
    script += "_rollout_scripts\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
    done = subprocess.run(["bash", "-uc", script], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("Pulumi.yaml", "Pulumi.prod.yaml", "Pulumi.preview.yaml", "Pulumi.dev.yaml", "release.yaml"):
        (tmp_path / name).write_text("")
    (tmp_path / "releases").mkdir()
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "Pulumi.other.yaml").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("python", "-m", "scripts.r"), ["scripts.ramp", "scripts.rollback", "scripts.reap"]),
        (("python", "-m", "scripts.ramp", "--re"), ["--release", "--resume"]),
        (("python", "-m", "scripts.explain", "--ver"), ["--verify", "--verbose"]),
        (("python", "-m", "scripts.reap", "--stack", ""), ["dev", "preview", "prod"]),
        (("python", "-m", "scripts.reap", "-s", "pr"), ["preview", "prod"]),
        (("python", "-m", "scripts.reap", "--stack", "=", "pro"), ["prod"]),
        (("python", "-m", "scripts.reap", "--stack", "="), ["dev", "preview", "prod"]),
        (("python", "-m", "scripts.reap", "--work-dir", "infra", "--stack", ""), ["other"]),
        (("python", "-m", "scripts.reap", "--work-dir", "=", "infra", "--stack", ""), ["other"]),
        (("python", "-m", "scripts.reap", "--work-dir", "nowhere", "--stack", ""), []),
        (("python", "-m", "scripts.ramp", "--skip", "s"), ["smoke", "shadow"]),
        (("python", "-m", "scripts.ramp", "--release", "rel"), ["release.yaml", "releases"]),
        (("python", "-m", "scripts.ramp", "--work-dir", "rel"), ["releases"]),
        (("python", "program.py", "--st"), []),
        (("python", "-m", "http.server", "--"), []),
    ],
)
def test_a_word_is_completed(project: Path, words: tuple[str, ...], offered: list[str]) -> None:
    assert sorted(completed(project, *words)) == sorted(offered)


@pytest.mark.parametrize("name", NAMES)
def test_every_script_offers_its_help_and_its_stack(tmp_path: Path, name: str) -> None:
    offered = completed(tmp_path, "python", "-m", f"scripts.{name}", "--")
    assert {"--help", "--stack", "--service", "--work-dir"} <= set(offered)


def test_zsh_gets_the_same_behind_what_makes_it_understand() -> None:
    assert text(Shell.ZSH).endswith(text(Shell.BASH))
    assert text(Shell.ZSH).startswith("autoload -U +X compinit && compinit\n")
