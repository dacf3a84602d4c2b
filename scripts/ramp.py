"""Roll a release out to the idle colour, step by step. On any failure, all traffic goes back at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from ruamel.yaml import YAML

from components.config.reading.explain import explain
from components.config.reading.model import from_text
from components.config.reading.violations import text_violations
from components.config.release.release import Release
from rollout.commands import ramp
from rollout.model.errors import RefusedError
from rollout.model.plan import CHECKS, Skip
from rollout.session import Place, Session
from rollout.system.files import load_yaml
from scripts import console
from scripts.console import CtrlC, JsonOption, Script, ServiceOption, StackOption, WorkDirOption

SCRIPT = Script(
    examples=(
        ("python -m scripts.ramp --stack prod --release releases/b.yaml", "roll a release out to the idle colour"),
        (
            "python -m scripts.ramp --stack prod --resume",
            "go on with a rollout whose process has ended, or that is paused",
        ),
        (
            "python -m scripts.ramp --stack prod --release releases/b.yaml --json",
            "print the journal's records and the outcome, for a program",
        ),
    ),
    ctrl_c=CtrlC(
        safe="The rollout ends. Users are safe: all traffic goes back first, within seconds.",
        remains="Config, state and the candidate's pods follow; that takes minutes, so wait for the end.",
        command="scripts.rollback if the process was killed before its end; scripts.explain says how it ended.",
    ),
)


def main(
    stack: StackOption,
    release: Annotated[
        Path | None, typer.Option(help="YAML file with the release: model, model_revision, image, …")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue a rollout that was killed or paused. With --release: if there is none, start with that.",
        ),
    ] = False,
    skip: Annotated[
        list[str] | None,
        typer.Option(help=f"Skip a check ({', '.join(CHECKS)}); may be given several times, needs --because."),
    ] = None,
    because: Annotated[str, typer.Option(help="The reason to skip a check, for the journal.")] = "",
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    json_output: JsonOption = False,
) -> None:
    """Deploy a release to the idle colour, check it, move traffic to it in steps, promote it, and watch its soak."""
    with console.refusals(SCRIPT, json_output=json_output) as output:
        if release is None and not resume:
            raise RefusedError("--release: name the release to roll out, or continue a rollout with --resume")
        bundle = None if release is None else read_release(release)
        left_out = read_skip(skip or (), because)
        place = Place(stack=stack, service=service, work_dir=work_dir.resolve())
        session = Session(place, "ramp", output.show, SCRIPT.interrupted)
        output.end_of(ramp(session, bundle, resume=resume, skip=left_out), session.report)


def read_skip(checks: Sequence[str], because: str) -> Skip | None:
    """Return the checks to skip, or None.

    Raises:
        RefusedError: a check is unknown, or no reason is given.
    """
    if unknown := sorted(set(checks) - set(CHECKS)):
        raise RefusedError(
            f"--skip: there is no check {', '.join(map(repr, unknown))}; the checks are {', '.join(CHECKS)}"
        )
    if not checks:
        if because:
            raise RefusedError("--because: gives the reason for --skip, but there is no --skip")
        return None
    if not because.strip():
        raise RefusedError(f"--because: is required with --skip {checks[0]}: give a reason, for the journal")
    return Skip(checks=tuple(check for check in CHECKS if check in checks), because=because.strip())


def read_release(path: Path) -> Release:
    """Return the release in a file.

    Raises:
        RefusedError: the file cannot be read or contains no valid release; the message lists every violation.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RefusedError(f"--release {path}: cannot be read ({error.strerror})") from error
    bundle = load_yaml(content, f"--release {path}", YAML(typ="safe"))
    violations = list(text_violations(bundle))
    try:
        # As in the stack's config, a number may be a text.
        release = Release.model_validate(from_text(bundle, Release))
    except ValidationError as error:
        violations += explain(error, Release)
    else:
        if not violations:
            return release
    lines = "\n".join(f"  - {line}" for line in dict.fromkeys(violation.line() for violation in violations))
    raise RefusedError(f"--release {path}: is not a valid release:\n{lines}")


if __name__ == "__main__":
    console.run(main, SCRIPT)
