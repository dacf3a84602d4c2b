"""The newest version of the changelog gets its tag, once."""

import shutil
from pathlib import Path

import pytest

from tests.workflows.workflow import ROOT, Runner, clone_of, git, origin_of

CHANGELOG = """# Changelog

## [Unreleased]

### Added

- What is not out yet.

## [1.10.0]

### Added

- A better $(rollback) of `all` "streams".

### Fixed

- A gap.

## [1.9.0]

- The first version.
"""


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A runner in a fresh clone of a repository with the real workflow."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / ".github", source / ".github")
    (source / "CHANGELOG.md").write_text(CHANGELOG)
    (source / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1.10.0"\n')
    origin = origin_of(source, tmp_path / "origin.git")
    (tmp_path / "runner").mkdir()
    environment = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    return Runner(clone_of(origin, tmp_path / "clone"), environment, tmp_path / "runner")


def origin(runner: Runner) -> Path:
    return runner.checkout.parent / "origin.git"


def tag(runner: Runner, status: int = 0) -> str:
    done = runner.run("tag", "Tag the version")
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout.strip()


def test_the_newest_version_is_tagged_with_its_changes(runner: Runner) -> None:
    assert tag(runner) == "v1.10.0 is tagged"
    assert git(origin(runner), "tag", "--list") == "v1.10.0"
    assert git(origin(runner), "rev-parse", "v1.10.0^{commit}") == git(runner.checkout, "rev-parse", "HEAD")
    message = git(origin(runner), "tag", "--list", "--format=%(contents)", "v1.10.0")
    assert message.startswith('Version 1.10.0\n\n### Added\n\n- A better $(rollback) of `all` "streams".\n\n### Fixed')
    assert "not out yet" not in message
    assert "first version" not in message


def test_a_version_that_has_its_tag_is_left_alone(runner: Runner, tmp_path: Path) -> None:
    tag(runner)
    before = git(origin(runner), "rev-parse", "v1.10.0")
    again = Runner(clone_of(origin(runner), tmp_path / "again"), runner.environment, runner.folder)
    assert tag(again) == "v1.10.0 exists"
    assert git(origin(runner), "rev-parse", "v1.10.0") == before


def test_a_version_that_the_project_does_not_have_is_refused(runner: Runner) -> None:
    (runner.checkout / "pyproject.toml").write_text('[project]\nversion = "1.9.0"\n')
    assert tag(runner, status=1) == (
        "::error file=pyproject.toml::its version is not 1.10.0, the newest in CHANGELOG.md. Set it to 1.10.0"
    )
    assert git(origin(runner), "tag", "--list") == ""


def test_a_changelog_without_a_version_gets_no_tag(runner: Runner) -> None:
    (runner.checkout / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    assert tag(runner) == "CHANGELOG.md has no version yet"
    assert git(origin(runner), "tag", "--list") == ""
