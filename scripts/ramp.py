"""Roll a release out onto the idle colour, step by step; on any failure all traffic goes back at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from ruamel.yaml import YAML

from components.config.explain import explain
from components.config.release import Release
from components.config.violations import text_violations
from rollout.commands import ramp
from rollout.model.errors import RefusedError
from rollout.model.plan import CHECKS, Skip
from rollout.session import Place, Session
from rollout.system.files import load_yaml
from scripts import console
from scripts.console import ServiceOption, StackOption, WorkDirOption


def main(
    stack: StackOption,
    release: Annotated[
        Path | None, typer.Option(help="YAML file with the release: model, model_revision, image, …")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a rollout that was killed or paused. With --release: if there is none, begin with that.",
        ),
    ] = False,
    skip: Annotated[
        list[str] | None,
        typer.Option(help=f"Leave a check out ({', '.join(CHECKS)}); may be given several times, with --because."),
    ] = None,
    because: Annotated[str, typer.Option(help="Why a check is left out, for the journal.")] = "",
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
) -> None:
    """Deploy a release to the idle colour, verify it, move traffic to it in steps, promote it, and watch it soak."""
    with console.refusals():
        if release is None and not resume:
            raise RefusedError("--release: name the release to roll out, or go on with --resume")
        bundle = None if release is None else read_release(release)
        left_out = read_skip(skip or (), because)
        session = Session(
            Place(stack=stack, service=service, work_dir=work_dir.resolve()), "ramp", console.Progress().tell
        )
        console.end(ramp(session, bundle, resume=resume, skip=left_out))


def read_skip(checks: Sequence[str], because: str) -> Skip | None:
    """Read which checks to leave out.

    Raises:
        RefusedError: there is no such check, or no reason is given.
    """
    if unknown := sorted(set(checks) - set(CHECKS)):
        raise RefusedError(f"--skip: there is no check {', '.join(map(repr, unknown))}; checks are {', '.join(CHECKS)}")
    if not checks:
        if because:
            raise RefusedError("--because: gives the reason for a --skip, and there is none")
        return None
    if not because.strip():
        raise RefusedError(f"--because: is needed with --skip {checks[0]}: say why, for the journal")
    return Skip(checks=tuple(check for check in CHECKS if check in checks), because=because.strip())


def read_release(path: Path) -> Release:
    """Read a release.

    Raises:
        RefusedError: the file cannot be read, or is not a release; the message lists every violation.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RefusedError(f"--release {path}: cannot be read ({error.strerror})") from error
    bundle = load_yaml(content, f"--release {path}", YAML(typ="safe"))
    violations = list(text_violations(bundle))
    try:
        release = Release.model_validate(bundle)
    except ValidationError as error:
        violations += explain(error, Release)
    else:
        if not violations:
            return release
    lines = "\n".join(f"  - {line}" for line in dict.fromkeys(violation.line() for violation in violations))
    raise RefusedError(f"--release {path}: is not a release:\n{lines}")


if __name__ == "__main__":
    console.run(main)
