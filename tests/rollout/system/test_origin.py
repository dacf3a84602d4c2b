"""Where a command runs."""

from pathlib import Path

import pytest

from rollout.system.origin import ci_run_url, current_user

GITHUB = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/models", "GITHUB_RUN_ID": "4711"}
GITLAB = {"CI_JOB_URL": "https://gitlab.com/acme/models/-/jobs/4711"}


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        (GITHUB, "https://github.com/acme/models/actions/runs/4711"),
        (GITLAB, "https://gitlab.com/acme/models/-/jobs/4711"),
        ({**GITHUB, "GITHUB_RUN_ID": ""}, ""),
        ({}, ""),
    ],
)
def test_a_ci_run_has_a_url(environment: dict[str, str], url: str) -> None:
    assert ci_run_url(environment) == url


@pytest.mark.parametrize("variable", ["GITHUB_ACTOR", "GITLAB_USER_LOGIN"])
def test_whoever_started_a_ci_run_is_its_user(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTOR", "GITLAB_USER_LOGIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "ada")
    assert current_user(tmp_path) == "ada"
