"""The committed workflows and GitLab's jobs; their shell lines are run as the runners of GitHub and GitLab run them."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
CHANGING = ("ramp", "reap", "drill", "watch")
"""The workflows that change a stack."""
SCHEDULED = {"reap": "--if-due", "drill": "--if-warm", "watch": "--if-warm"}
"""The workflows that run by themselves, with the option that lets them be quiet while there is nothing to do."""
NAMES = (*CHANGING, "preview")
"""The workflows for stacks."""
OTHERS = ("tag", "test")
"""The workflows for this repository itself."""
GITLAB = ROOT / "ci" / "gitlab.yml"
CRON_JOB = ROOT / "ci" / "watch-cronjob.yaml"

# How GitHub's runner runs `shell: bash`: the step's lines are in a file.
# https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell
SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail")


def load(name: str) -> dict[str, Any]:
    """A workflow; YAML 1.1 reads its key ``on`` as true."""
    document = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())
    return {("on" if key is True else key): value for key, value in document.items()}


def job(name: str) -> dict[str, Any]:
    """The only job of a workflow."""
    (found,) = load(name)["jobs"].values()
    return found


def steps(name: str) -> dict[str, dict[str, Any]]:
    """A workflow's steps by name."""
    return {step["name"]: step for step in job(name)["steps"]}


def line(workflow: str, step: str) -> str:
    """What a step runs."""
    return steps(workflow)[step]["run"]


@dataclass
class Runner:
    """A runner in a checkout: it runs steps, and passes their outputs to later steps."""

    checkout: Path
    environment: Mapping[str, str]
    folder: Path
    outputs: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def command(self, workflow: str, step: str) -> list[str]:
        script = self.folder / "step.sh"
        script.write_text(line(workflow, step))
        return [*SHELL, str(script)]

    def variables(self, **more: str) -> dict[str, str]:
        return {
            **self.environment,
            "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            "GITHUB_ENV": str(self.folder / "environment"),
            "GITHUB_REF_NAME": "main",
            "GITHUB_RUN_ID": "4711",
            "GITHUB_RUN_ATTEMPT": "1",
            **more,
        }

    def run(self, workflow: str, step: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a step to its end."""
        (self.folder / "output").write_text("")
        done = subprocess.run(
            self.command(workflow, step),
            cwd=self.checkout,
            env=self.variables(**variables),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        self.read_outputs(step)
        return done

    def read_outputs(self, step: str) -> None:
        """Record what a step has written for later steps."""
        lines = (self.folder / "output").read_text().splitlines()
        self.outputs[step] = dict(one.split("=", 1) for one in lines)

    @property
    def summary(self) -> str:
        path = self.folder / "summary"
        return path.read_text() if path.exists() else ""


def gitlab_job(name: str) -> dict[str, Any]:
    """A job of GitLab CI, with what it extends and all lists of lines flat, as GitLab reads it."""
    document = yaml.safe_load(GITLAB.read_text())
    found: dict[str, Any] = document[name]
    while (base := found.pop("extends", None)) is not None:
        inherited: dict[str, Any] = document[base]
        variables = {**inherited.get("variables", {}), **found.get("variables", {})}
        found = {**inherited, **found, "variables": variables, "extends": inherited.get("extends")}
    for part in ("before_script", "script", "after_script"):
        found[part] = list(_flat(found.get(part, [])))
    return found


def _flat(lines: list[Any]) -> Iterator[str]:
    for one in lines:
        yield from _flat(one) if isinstance(one, list) else [one]


@dataclass
class GitLabRunner:
    """A runner of GitLab in a checkout: it runs a job's script, then its after_script in a shell of its own."""

    checkout: Path
    environment: Mapping[str, str]
    folder: Path

    def variables(self, job: str, **more: str) -> dict[str, str]:
        known = {
            **self.environment,
            "GITLAB_CI": "true",
            "CI_PROJECT_DIR": str(self.checkout),
            "CI_COMMIT_BRANCH": "main",
            "CI_JOB_NAME": job,
            "CI_JOB_URL": "https://gitlab.example/acme/models/-/jobs/4711",
            "CI_SERVER_HOST": "gitlab.example",
        }
        own = {
            name: re.sub(r"\$(\w+)", lambda found: known[found[1]], value)
            for name, value in gitlab_job(job)["variables"].items()
        }
        return {**known, **own, **more}

    def command(self, job: str, part: str = "script") -> list[str]:
        script = self.folder / f"{part}.sh"
        script.write_text("\n".join(gitlab_job(job)[part]))
        return ["bash", "-eo", "pipefail", str(script)]

    def run(self, job: str, part: str = "script", **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a part of a job to its end."""
        return subprocess.run(
            self.command(job, part),
            cwd=self.checkout,
            env=self.variables(job, **variables),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    @property
    def summary(self) -> str:
        return (self.checkout / "rollout-summary.md").read_text()


def git(folder: Path, *arguments: str) -> str:
    """Run git with an identity of the test's, and none of the machine's config."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        **{
            f"GIT_{who}_{what}": "engineer@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        },
    }
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def clone_of(origin: Path, folder: Path) -> Path:
    """What actions/checkout leaves: a shallow clone of the branch's newest commit."""
    git(origin.parent, "clone", "--quiet", "--depth", "1", "--branch", "main", f"file://{origin}", str(folder))
    return folder


def origin_of(folder: Path, bare: Path) -> Path:
    """Make a folder the first commit of a repository, which the test's GitHub has."""
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "The program and its config")
    git(bare.parent, "clone", "--quiet", "--bare", str(folder), str(bare))
    return bare


def expressions(text: str) -> list[str]:
    """The ``${{ }}`` in a text."""
    return re.findall(r"\$\{\{.*?\}\}", text)
