"""Where a command runs: who started it, on which host, in which CI run, and with which commit of the program."""

import getpass
import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollout.system.waits import waiting

HOST: Final = socket.gethostname()
_GIT_SECONDS: Final = 5


@dataclass(frozen=True, kw_only=True)
class CommandOrigin:
    """Where a command runs. A text is empty when it is not known."""

    user: str
    host: str
    run_url: str
    commit: str
    """The program's commit, with ``+`` behind it when files differ from it."""


def find_origin(work_dir: Path) -> CommandOrigin:
    """Return where this process runs, for the program in ``work_dir``."""
    return CommandOrigin(
        user=current_user(work_dir), host=HOST, run_url=ci_run_url(os.environ), commit=_commit(work_dir)
    )


def current_user(work_dir: Path) -> str:
    """Return the user's name: of a CI run whoever started it, else git's user name or the account on this machine."""
    started_by = os.environ.get("GITHUB_ACTOR") or os.environ.get("GITLAB_USER_LOGIN")
    return started_by or _git(work_dir, "config", "user.name") or _account()


def ci_run_url(environment: Mapping[str, str]) -> str:
    """Return the URL of the CI run that this process is part of: a run of GitHub Actions, or a job of GitLab CI.

    Empty outside of a run.

    https://docs.github.com/en/actions/reference/workflows-and-actions/variables
    https://docs.gitlab.com/ci/variables/predefined_variables/
    """
    parts = [environment.get(f"GITHUB_{name}") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    return f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else environment.get("CI_JOB_URL", "")


def _commit(work_dir: Path) -> str:
    # The rollout itself edits the config files, so they do not count as a difference.
    changed = _git(work_dir, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!Pulumi.*.yaml")
    commit = _git(work_dir, "rev-parse", "--short=12", "HEAD")
    return f"{commit}+" if commit and changed else commit


def _git(work_dir: Path, *words: str) -> str:
    """Return what git prints, or an empty text when it fails: outside of a checkout, or without git."""
    command = ["git", "-C", str(work_dir), *words]
    try:
        with waiting("git", at_most_seconds=_GIT_SECONDS):
            done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return ""
