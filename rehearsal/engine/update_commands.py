"""`pulumi preview`, `up`, `refresh` and `destroy`."""

import argparse
import sys
from pathlib import Path

from rehearsal.engine.backend import Backend
from rehearsal.engine.config import StackConfig
from rehearsal.engine.display import Display, JsonPreview
from rehearsal.engine.errors import CommandError, Status, not_supported
from rehearsal.engine.events import EventStream
from rehearsal.engine.project import Project
from rehearsal.engine.selection import find_stack
from rehearsal.engine.update import Update, UpdateOptions

_TITLES = {
    ("update", True): "Previewing update",
    ("update", False): "Updating",
    ("refresh", True): "Previewing refresh",
    ("refresh", False): "Refreshing",
    ("destroy", True): "Previewing destroy",
    ("destroy", False): "Destroying",
}


def run(options: argparse.Namespace) -> int:
    """Run one of the commands."""
    _refuse_unsupported(options)
    project = Project.find()
    files = find_stack(project, Backend.current(project.backend_url), options.stack)
    kind = "update" if options.command in ("preview", "up") else str(options.command)
    preview_only = options.command == "preview" or options.preview_only
    if not preview_only and not options.skip_preview:
        if not _run_once(options, project, files.name, kind, dry_run=True):
            return 1
        if not options.yes and not _confirmed(options):
            raise CommandError("confirmation declined")
    succeeded = _run_once(options, project, files.name, kind, dry_run=preview_only)
    if succeeded and options.command == "destroy" and not preview_only:
        if options.remove:
            files.remove()
            StackConfig(project, files.name).path.unlink(missing_ok=True)
        else:
            print(f"The resources in the stack have been deleted, but the history and configuration associated with "
                  f"the stack are still maintained.\nIf you want to remove the stack completely, run "
                  f"`pulumi stack rm {files.name}`.")  # fmt: skip
    return 0 if succeeded else 1


def _refuse_unsupported(options: argparse.Namespace) -> None:
    for name in ("client", "plan", "save_plan", "import_file", "exclude", "replace", "target_replace",
                 "exclude_dependents", "continue_on_error", "attach_debugger", "exclude_protected"):  # fmt: skip
        if getattr(options, name):
            raise not_supported(f"--{name.replace('_', '-')}")
    if options.run_program == "true" and options.command in ("destroy", "refresh"):
        raise not_supported("--run-program")
    if options.json and options.command != "preview":
        raise not_supported(f"--json of `pulumi {options.command}`")


def _confirmed(options: argparse.Namespace) -> bool:
    if getattr(options, "non_interactive", False) or not sys.stdin.isatty():
        raise CommandError(
            "--yes or --skip-preview must be passed in to proceed when running in non-interactive mode",
            Status.WRONG_INVOCATION,
        )
    return input(f"Do you want to perform this {options.command}? [yes/no] ").strip() in ("y", "yes")


def _run_once(options: argparse.Namespace, project: Project, stack: str, kind: str, *, dry_run: bool) -> bool:
    files = Backend.current(project.backend_url).stack(project.name, stack)
    config = StackConfig(project, stack, Path(options.config_file) if options.config_file else None)
    events = EventStream()
    update = Update(
        config,
        files,
        UpdateOptions(
            kind=kind,
            dry_run=dry_run,
            message=options.message,
            parallel=max(1, options.parallel),
            targets=options.target,
            target_dependents=options.target_dependents,
            policy_packs=[Path(each).absolute() for each in options.policy_pack],
            policy_pack_configs=[Path(each).absolute() for each in options.policy_pack_config],
            expect_no_changes=options.expect_no_changes,
            refresh_first=options.refresh == "true",
            clear_pending=options.clear_pending_creates,
            exec_kind=options.exec_kind,
        ),
        events,
    )
    if options.json:
        events.listen(JsonPreview())
    else:
        display = Display(
            title=f"{_TITLES[kind, dry_run]} ({stack})",
            dry_run=dry_run,
            show_diff=options.diff,
            suppress_outputs=options.suppress_outputs,
            suppress_progress=options.suppress_progress,
        )
        events.listen(display)
    for target in options.event_log:
        events.log_to(target)
    try:
        return update.run()
    finally:
        events.close()
