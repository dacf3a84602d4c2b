"""Write alert rules for Prometheus and a dashboard for Grafana, from the metrics and limits of the gates."""

from pathlib import Path
from typing import Annotated

import typer

from rollout.adapters.config_file import ConfigFile, stack_file
from rollout.model.errors import RefusedError
from rollout.model.stack_name import parse_stack_name
from rollout.monitoring.dashboard import dashboard_file
from rollout.monitoring.rules import rules_file
from rollout.monitoring.subject import Monitored
from rollout.system.failures import describe_error
from scripts import console
from scripts.console import CtrlC, JsonOption, OptionalStackOption, Script, ServiceOption, WorkDirOption

SCRIPT = Script(
    examples=(
        ("python -m scripts.monitoring --stack prod --out dist/prod", "rules and dashboard with the limits of prod"),
        ("python -m scripts.monitoring", "for every service, with the default limits, in dist/monitoring"),
    ),
    ctrl_c=CtrlC(
        safe="Nothing but its two files is written.",
        remains="A file may be incomplete.",
        command="run scripts.monitoring again.",
    ),
)


def main(
    stack: OptionalStackOption = None,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    out: Annotated[Path, typer.Option(help="Folder for rules.yaml and dashboard.json.")] = Path("dist/monitoring"),
    json_output: JsonOption = False,
) -> None:
    """Write rules.yaml and dashboard.json. Reads the config alone; reaches neither AWS nor Prometheus.

    With --stack, they have the limits of that stack's service. Without it, they are for every service, with the default
    limits.
    """
    with console.refusals(SCRIPT, json_output=json_output) as output:
        subject = _subject(stack, service, work_dir.resolve())
        files = {"rules.yaml": rules_file(subject), "dashboard.json": dashboard_file(subject)}
        try:
            out.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (out / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise RefusedError(
                f"--out {out}: cannot be written: {describe_error(error)}. Name another folder"
            ) from error
        written = [str(out / name) for name in files]
        output.end("written", *written, files=[*written])


def _subject(stack: str | None, service: str | None, work_dir: Path) -> Monitored:
    if stack is None:
        if service is not None:
            raise RefusedError(f"--service {service}: needs --stack, whose config has the service's limits. Add it")
        return Monitored.every_service()
    path, name = stack_file(work_dir, stack), parse_stack_name(stack).qualified
    config = ConfigFile(path, service, work_dir, name)
    return Monitored.of(config.service, config.read())


if __name__ == "__main__":
    console.run(main, SCRIPT)
