"""Roll a release out onto the idle colour, step by step; on any failure all traffic goes back at once."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from components.release import Release
from rollout.commands import ramp
from rollout.errors import RefusedError
from rollout.session import Place, Session
from scripts import console
from scripts.console import ServiceOption, StackOption, WorkDirOption


def main(
    stack: StackOption,
    release: Annotated[Path, typer.Option(help="YAML file with the release: model, model_revision, image, …")],
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
) -> None:
    """Deploy a release to the idle colour, verify it, move traffic to it in steps, promote it, and watch it soak."""
    with console.refusals():
        bundle = read_release(release)
        session = Session(
            Place(stack=stack, service=service, work_dir=work_dir.resolve()), "ramp", console.Progress().tell
        )
        console.end(ramp(session, bundle))


def read_release(path: Path) -> Release:
    """Read a release.

    Raises:
        RefusedError: the file cannot be read, or is not a release; the message lists every fault.
    """
    try:
        return Release.model_validate(YAML(typ="safe").load(path.read_bytes()))
    except OSError as error:
        raise RefusedError(f"--release {path}: cannot be read ({error.strerror})") from error
    except YAMLError as error:
        raise RefusedError(f"--release {path}: is not YAML: {error}") from error
    except ValidationError as error:
        raise RefusedError(f"--release {path}: is not a release:\n{_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    lines: list[str] = []
    for fault in error.errors():
        field = ".".join(str(part) for part in fault["loc"]) or "release"
        value = "" if fault["type"] == "missing" else f" (got {fault['input']!r})"
        lines.append(f"  - {field}: {fault['msg'].removeprefix('Value error, ')}{value}")
    return "\n".join(lines)


if __name__ == "__main__":
    console.run(main)
