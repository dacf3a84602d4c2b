"""The folders keep to their roles: who may import what, and that the product knows nothing of the rehearsal."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

PRODUCT = ("__main__.py", "components", "package", "policies", "rollout", "scripts")

PURE = (
    "components/answer_arguments.py",
    "components/capacity.py",
    "components/check_settings.py",
    "components/config_values.py",
    "components/drain_chain.py",
    "components/durations.py",
    "components/engine_args.py",
    "components/explain.py",
    "components/faults.py",
    "components/forms.py",
    "components/gate_settings.py",
    "components/gpu_instances.py",
    "components/guards.py",
    "components/hook_settings.py",
    "components/load_balancer_arns.py",
    "components/model.py",
    "components/model_memory.py",
    "components/naming.py",
    "components/pod_monitor.py",
    "components/pod_settings.py",
    "components/pod_times.py",
    "components/release.py",
    "components/reservation.py",
    "components/rollout_settings.py",
    "components/root_volume.py",
    "components/route_secret.py",
    "components/router_settings.py",
    "components/secret_values.py",
    "components/serve_command.py",
    "components/service_settings.py",
    "components/settings.py",
    "components/traffic.py",
    "rollout/account.py",
    "rollout/adoption.py",
    "rollout/answers.py",
    "rollout/changes.py",
    "rollout/comparisons.py",
    "rollout/endpoint_key.py",
    "rollout/evals/judgement.py",
    "rollout/evals/questions.py",
    "rollout/evals/score.py",
    "rollout/exact_tests.py",
    "rollout/keeping.py",
    "rollout/machine.py",
    "rollout/measurements.py",
    "rollout/passed.py",
    "rollout/plan.py",
    "rollout/prompt_presence.py",
    "rollout/prompt_records.py",
    "rollout/scheduling.py",
    "rollout/sequential.py",
    "rollout/shadow_comparison.py",
    "rollout/verdicts.py",
)
IMPURE_PACKAGES = {
    "pulumi",
    "pulumi_aws",
    "pulumi_kubernetes",
    "boto3",
    "botocore",
    "httpx",
    "kubernetes",
    "time",
    "os",
}

FORBIDDEN = {
    "components": {"rollout", "scripts", "policies", "rehearsal", "boto3", "httpx", "kubernetes", "typer", "rich"},
    "policies": {
        *("rollout", "scripts", "rehearsal", "package", "pulumi_aws", "pulumi_kubernetes"),
        *("boto3", "httpx", "kubernetes", "typer", "rich"),
    },
    "rollout": {"scripts", "policies", "rehearsal", "typer", "rich"},
    "package": {"rollout", "scripts", "policies", "rehearsal", "boto3", "httpx", "kubernetes", "typer", "rich"},
    "scripts": {"policies", "rehearsal", "boto3", "httpx", "kubernetes", "pulumi"},
}


def imports(path: Path) -> Iterator[str]:
    """The top-level packages that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def files(*places: str) -> list[Path]:
    found = [path for place in places for path in [ROOT / place, *(ROOT / place).rglob("*.py")] if path.suffix == ".py"]
    assert found, f"no Python files in {places}"
    return found


# Read while tests are collected: CPython 3.11's ast.parse fails now and then when another thread parses too, as the
# threads of earlier tests may (python/cpython#106905).
IMPORTS = {path: set(imports(path)) for path in files(*PRODUCT)}


@pytest.mark.parametrize("path", files(*PRODUCT), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_product_never_mentions_the_rehearsal(path: Path) -> None:
    assert "rehears" not in path.read_text().lower()


@pytest.mark.parametrize("place", PURE)
def test_pure_modules_do_no_io(place: str) -> None:
    assert not IMPURE_PACKAGES & IMPORTS[ROOT / place]


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_folders_import_only_what_their_role_allows(folder: str) -> None:
    for path in files(folder):
        assert not FORBIDDEN[folder] & IMPORTS[path], path
