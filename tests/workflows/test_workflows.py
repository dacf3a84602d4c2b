"""The committed workflows."""

import importlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rehearsal.binaries.build import COMPONENTS
from scripts import console
from tests.scripts.test_scripts import call
from tests.workflows.workflow import (
    CHANGING,
    CRON_JOB,
    GITLAB,
    NAMES,
    OTHERS,
    ROOT,
    SCHEDULED,
    WORKFLOWS,
    expressions,
    gitlab_job,
    job,
    line,
    load,
    steps,
)

SHARED = ROOT / "ci"
OWN = ROOT / ".github" / "scripts"


def test_these_are_all_the_workflows() -> None:
    assert sorted(path.stem for path in WORKFLOWS.iterdir()) == sorted((*NAMES, *OTHERS))


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it(name: str) -> None:
    used = re.findall(r"uses: (\S+)(.*)", (WORKFLOWS / f"{name}.yml").read_text())
    assert len(used) == {"tag": 1, "test": 5}.get(name, 4)
    for action, comment in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action)
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment)


@pytest.mark.parametrize("name", CHANGING)
def test_a_job_may_push_and_ask_for_credentials_and_nothing_else(name: str) -> None:
    assert load(name)["permissions"] == {"contents": "write", "id-token": "write"}
    assert "permissions" not in job(name)
    credentials = steps(name)["Get AWS credentials"]["with"]
    assert "role-to-assume" in credentials
    assert not {"aws-access-key-id", "aws-secret-access-key"} & credentials.keys()


def test_one_action_has_one_version_everywhere() -> None:
    texts = [path.read_text() for path in WORKFLOWS.iterdir()]
    used = {tuple(found) for text in texts for found in re.findall(r"uses: ([\w-]+/[\w-]+)[\w/-]*@(\S+)", text)}
    assert len({action for action, _ in used}) == len(used)


def test_a_pull_request_gets_no_rights_and_a_tag_only_that_to_push() -> None:
    assert load("test")["permissions"] == {"contents": "read"}
    assert load("tag")["permissions"] == {"contents": "write"}
    assert load("preview")["permissions"] == {"contents": "read", "id-token": "write"}
    # `pull_request_target` would run a stranger's code with the repository's rights.
    assert set(load("test")["on"]) == {"pull_request", "push"}
    assert set(load("preview")["on"]) == {"pull_request"}
    assert load("tag")["on"] == {"push": {"branches": ["main"], "paths": ["CHANGELOG.md"]}}


def test_a_preview_runs_for_branches_of_the_repository_with_a_role_of_its_own() -> None:
    assert job("preview")["if"].endswith("github.event.pull_request.head.repo.full_name == github.repository")
    assert job("preview")["environment"] == "${{ matrix.stack }}-preview"
    assert gitlab_job("preview")["environment"]["name"] == "$STACK-preview"


def test_a_pull_request_is_linted_and_tested_as_by_hand() -> None:
    lines = [step["run"] for step in job("test")["steps"] if "run" in step]
    assert lines == ["make setup", "make lint", "make setup-evals", "make binaries", "make test"]


def test_binaries_are_cached_by_their_sources_and_before_a_test_can_fail() -> None:
    by_name = steps("test")
    order = list(by_name)
    restore, save = by_name["Restore the built binaries"], by_name["Cache the built binaries"]
    assert Path(restore["with"]["path"]).expanduser() == Path.home() / ".cache" / "vllm-blue-green"
    assert save["with"] == {
        "path": restore["with"]["path"],
        "key": "${{ steps.binaries.outputs.cache-primary-key }}",
    }
    (sources,) = re.findall(r"hashFiles\('(.*)'\)", restore["with"]["key"])
    hashed = set(ROOT.glob(f"{sources}/*"))
    assert {component.folder / name for component in COMPONENTS for name in ("go.mod", "go.sum")} <= hashed
    assert ROOT / "rehearsal" / "binaries" / "build.py" in hashed
    assert order.index("Cache the built binaries") < order.index("Test")
    for name in ("Set up Go", "Build the binaries", "Cache the built binaries"):
        assert by_name[name]["if"] == "steps.binaries.outputs.cache-hit != 'true'"


def test_the_go_that_builds_is_the_newest_that_a_module_asks_for() -> None:
    asked = {
        path: tuple(map(int, re.findall(r"^go (\S+)$", path.read_text(), re.MULTILINE)[0].split(".")))
        for path in (ROOT / "rehearsal" / "binaries").glob("*/go.mod")
    }
    chosen = ROOT / steps("test")["Set up Go"]["with"]["go-version-file"]
    assert asked[chosen] == max(asked.values())


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_what_somebody_types_reaches_no_shell_as_code(name: str) -> None:
    assert not any(expressions(step["run"]) for step in job(name)["steps"] if "run" in step)


def test_ramps_of_a_stack_wait_for_each_other_and_none_is_broken_off() -> None:
    for concurrency in (load("ramp")["concurrency"], *(job(name)["concurrency"] for name in SCHEDULED)):
        assert concurrency["cancel-in-progress"] is False
        assert ".stack }}" in concurrency["group"]


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_a_run_ends_at_some_time(name: str) -> None:
    assert 0 < job(name)["timeout-minutes"] <= 360


@pytest.mark.parametrize("name", CHANGING)
def test_a_run_starts_from_the_newest_config(name: str) -> None:
    assert steps(name)["Check out the newest config"]["with"] == {"ref": "${{ github.ref_name }}"}


@pytest.mark.parametrize("name", CHANGING)
def test_the_config_is_committed_back_however_it_ended(name: str) -> None:
    order = list(steps(name))
    assert steps(name)["Commit the config file back"]["if"].startswith("always() && ")
    assert order.index("Commit the config file back") > order.index(name.capitalize())


@pytest.mark.parametrize("name", NAMES)
def test_the_cli_is_of_the_sdk_s_version_and_python_is_one_that_the_program_takes(name: str) -> None:
    pinned = re.search(r"^pulumi==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert steps(name)["Install the Pulumi CLI"]["with"]["pulumi-version"] == pinned[1]
    major, minor = steps(name)["Set up Python"]["with"]["python-version"].split(".")
    assert (int(major), int(minor)) >= (3, 11)


def test_the_tests_run_on_the_python_of_the_rollouts() -> None:
    assert steps("test")["Set up Python"]["with"] == steps("ramp")["Set up Python"]["with"]


@pytest.mark.parametrize("name", NAMES)
def test_the_runner_may_be_one_that_reaches_private_endpoints(name: str) -> None:
    assert job(name)["runs-on"] == "${{ vars.ROLLOUT_RUNNER || 'ubuntu-24.04' }}"


def test_a_rollback_and_the_commit_still_run_after_a_ramp_that_ran_out_of_time() -> None:
    left = job("ramp")["timeout-minutes"] - steps("ramp")["Ramp"]["timeout-minutes"]
    assert left >= 20
    order = list(steps("ramp"))
    finish = "Finish what an ended ramp left"
    assert order.index("Ramp") < order.index(finish) < order.index("Commit the config file back")
    assert steps("ramp")[finish]["if"].startswith("always() && ")


def test_a_ramp_knows_when_its_credentials_end() -> None:
    by_name = steps("ramp")
    order = list(by_name)
    credentials, handed_on = by_name["Get AWS credentials"], by_name["Hand on when the credentials end"]
    assert credentials["with"]["output-credentials"] is True
    assert handed_on["env"] == {"ENDS": f"${{{{ steps.{credentials['id']}.outputs.aws-expiration }}}}"}
    assert order.index("Get AWS credentials") < order.index("Hand on when the credentials end") < order.index("Ramp")


def test_a_rerun_resumes() -> None:
    assert line("ramp", "Ramp").endswith(' ramp --release "$RELEASE" --resume')


@pytest.mark.parametrize(("name", "quietly"), [(name, f"{name} {option}") for name, option in SCHEDULED.items()])
def test_what_runs_on_schedule_is_quiet_while_nothing_is_due(name: str, quietly: str) -> None:
    (schedule,) = load(name)["on"]["schedule"]
    assert len(schedule["cron"].split()) == 5
    assert quietly in line(name, name.capitalize())


@pytest.mark.parametrize("name", NAMES)
def test_every_workflow_can_roll_out_the_service_of_another_program(name: str) -> None:
    environment = job(name)["env"]
    assert "vars.ROLLOUT_WORK_DIR" in environment["WORK_DIR"]
    assert environment["CLUSTER_NAME"] == "${{ vars.CLUSTER_NAME }}"


def shell_lines() -> Iterator[str]:
    """Every line that a workflow, a job of GitLab or a shared script runs."""
    for name in (*NAMES, *OTHERS):
        for step in job(name)["steps"]:
            yield from step.get("run", "").splitlines()
    for name in NAMES:
        for part in ("before_script", "script", "after_script"):
            yield from gitlab_job(name)[part]
    for script in SHARED.glob("*.sh"):
        yield from script.read_text().splitlines()


@pytest.mark.parametrize("script", [*CHANGING, "rollback", "status", "explain"])
@pytest.mark.slow
def test_the_scripts_take_the_options_that_they_are_given(script: str) -> None:
    told = call(importlib.import_module(f"scripts.{script}").main, "--help").stdout
    found = re.compile(rf"ci/run\.sh {script}\b(.*)")
    given = {
        option for one in shell_lines() for rest in found.findall(one) for option in re.findall(r"--[a-z-]+", rest)
    }
    assert given or script in ("status", "explain")
    assert {"--stack", "--service", "--work-dir"} | given <= set(re.findall(r"--[a-z-]+", told))


def called(text: str) -> set[Path]:
    return {ROOT / path for path in re.findall(r"(?:\.github/scripts|\bci)/[\w-]+\.sh", text)}


def test_every_shell_script_is_called_and_can_be() -> None:
    used = {path for one in shell_lines() for path in called(one)}
    assert used == {*SHARED.glob("*.sh"), *OWN.iterdir()}
    for script in used:
        sourced = script.name == "host.sh"
        assert os.access(script, os.X_OK) is not sourced
        subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_both_hosts_run_the_same_scripts(name: str) -> None:
    lines = [step["run"] for step in job(name)["steps"] if "run" in step]
    parts = [gitlab_job(name)[part] for part in ("before_script", "script", "after_script")]
    of_gitlab = {path for part in parts for one in part for path in called(one)} - {SHARED / "host.sh"}
    assert of_gitlab == {path for one in lines for path in called(one)}


def test_gitlab_waits_as_github_does() -> None:
    groups = {name: gitlab_job(name)["resource_group"] for name in CHANGING}
    assert groups == {name: f"{name}-$STACK" for name in CHANGING}
    ramp = gitlab_job("ramp")
    minutes = {name: _minutes(ramp["variables"][f"RUNNER_{name}_TIMEOUT"]) for name in ("SCRIPT", "AFTER_SCRIPT")}
    assert minutes["SCRIPT"] == steps("ramp")["Ramp"]["timeout-minutes"]
    assert sum(minutes.values()) <= _minutes(ramp["timeout"]) == job("ramp")["timeout-minutes"]
    for name in CHANGING:
        assert not gitlab_job(name).get("interruptible", False)


def _minutes(text: str) -> int:
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?", text)
    assert found is not None
    return 60 * int(found[1] or 0) + int(found[2] or 0)


def test_gitlab_has_the_cli_of_the_sdk_s_version() -> None:
    pinned = re.search(r"^pulumi==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    for name in NAMES:
        assert gitlab_job(name)["image"]["name"] == f"pulumi/pulumi:{pinned[1]}"


def test_gitlab_runs_nothing_that_nobody_asked_for() -> None:
    rules = {name: gitlab_job(name)["rules"] for name in NAMES}
    assert rules == {
        "ramp": [{"if": '$CI_PIPELINE_SOURCE == "web" && $RELEASE'}],
        "reap": [{"if": '$CI_PIPELINE_SOURCE == "schedule" && $TASK == "reap"'}],
        "drill": [{"if": '$CI_PIPELINE_SOURCE == "schedule" && $TASK == "drill"'}],
        "watch": [{"if": '$CI_PIPELINE_SOURCE == "schedule" && $TASK == "watch"'}],
        "preview": [{"if": '$CI_PIPELINE_SOURCE == "merge_request_event"'}],
    }
    jobs = {name for name in yaml.safe_load(GITLAB.read_text()) if not name.startswith(".")}
    assert jobs - {"variables"} == rules.keys()


def test_the_summary_knows_every_exit_code() -> None:
    codes = {value for name, value in vars(console).items() if name.startswith("EXIT_") and isinstance(value, int)}
    cases = re.findall(r"^  (\d)\) outcome=", (SHARED / "summary.sh").read_text(), re.MULTILINE)
    assert {int(code) for code in cases} == codes


def test_the_cron_job_watches_with_the_same_scripts_and_never_twice_at_a_time() -> None:
    account, cron = yaml.safe_load_all(CRON_JOB.read_text())
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"
    assert cron["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 0
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    (container,) = pod["containers"]
    assert container["image"] == gitlab_job("watch")["image"]["name"]
    shell, options, lines = container["command"]
    assert subprocess.run([shell, "-n", options.replace("c", ""), "-c", lines], check=False).returncode == 0
    called = re.findall(r"\bci/([\w-]+\.sh)", lines)
    assert called == ["install.sh", "find-cluster.sh", "run.sh", "commit-back.sh"]
    assert all((SHARED / name).exists() for name in called)
    assert f"ci/run.sh watch {SCHEDULED['watch']} " in lines
    known = (SHARED / "host.sh").read_text()
    given = {one["name"] for one in container["env"]} - {"HOME", "KUBECONFIG"}
    assert all(f"    {name}) echo" in known for name in given)
