"""An engineer's checkout of the product inside the world: the same program and scripts, with its own stack."""

import shutil
from pathlib import Path

import yaml

from rehearsal.aws.seed import SeededAccount
from rehearsal.load.mix import PROMPTS
from rehearsal.system.project import PROJECT_FOLDER
from rehearsal.world.settings import RehearsalSettings
from rehearsal.world.stack_config import CLUSTER, GATEWAY_LOG, SERVICE, stack_config

__all__ = ["CLUSTER", "SERVICE", "STACK", "copy_product", "release_file", "write_stack"]

STACK = "rehearsal"

_PRODUCT = ("Pulumi.yaml", "__main__.py", "components", "policies", "rollout", "scripts")


def copy_product(folder: Path) -> None:
    """Copy what an engineer clones into a new folder."""
    folder.mkdir(parents=True)
    for name in _PRODUCT:
        source = PROJECT_FOLDER / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, folder / name)


def write_stack(
    folder: Path,
    account: SeededAccount,
    region: str,
    endpoint_url: str,
    settings: RehearsalSettings,
    *,
    prometheus_url: str,
) -> None:
    """Write the config of the checkout's stack, release A on blue and green unused, and the files that it names."""
    suite = "evals/sums.jsonl" if settings.runs_the_stand_in else "evals/says-something.jsonl"
    keys = stack_config(
        account, endpoint_url, settings.releases["a"], settings.config, suite=suite, prometheus_url=prometheus_url
    )
    config = {"aws:region": region, **{f"vllm-blue-green:{key}": value for key, value in keys.items()}}
    (folder / f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump({"config": config}, sort_keys=False))
    shutil.copytree(PROJECT_FOLDER / "rehearsal" / "evals", folder / "evals")
    # The gateway is older than the world.
    shutil.copy2(PROMPTS, folder.parent / GATEWAY_LOG)
    (folder / "releases").mkdir()
    for letter, release in settings.releases.items():
        release_file(folder, letter).write_text(yaml.safe_dump(release, sort_keys=False))


def release_file(folder: Path, letter: str) -> Path:
    """Return the file of a release in the checkout: ``a`` and ``b`` are good, ``c`` is bad."""
    return folder / "releases" / f"{letter}.yaml"
