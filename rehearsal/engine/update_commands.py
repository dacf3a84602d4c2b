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

_PARALLEL = 16
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
    preview_only = options.command == "preview" or getattr(options, "preview_only", False)
    _check(options, preview_only=preview_only)
    project = Project.find()
    files = find_stack(project, Backend.current(project.backend_url), options.stack)
    kind = "update" if options.command in ("preview", "up") else str(options.command)
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


def _check(options: argparse.Namespace, *, preview_only: bool) -> None:
    if options.run_program not in (None, "false"):
        raise not_supported(f"`pulumi {options.command} --run-program`")
    refresh = getattr(options, "refresh", None)
    if refresh not in (None, "true", "false"):
        raise CommandError(f"could not determine value for --refresh from '{refresh}': it is true or false")
    if getattr(options, "clear_pending_creates", False) and options.skip_pending_creates:
        raise CommandError("cannot set both --skip-pending-creates and --clear-pending-creates")
    interactive = sys.stdin.isatty() and not options.non_interactive
    if not (interactive or preview_only or options.yes or options.skip_preview):
        raise CommandError(
            "--yes or --skip-preview or --preview-only must be passed in to proceed when running in non-interactive "
            "mode",
            Status.WRONG_INVOCATION,
        )


def _confirmed(options: argparse.Namespace) -> bool:
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
            message=options.message or "",
            parallel=max(1, _PARALLEL if options.parallel is None else options.parallel),
            targets=options.target,
            target_dependents=options.target_dependents,
            policy_packs=[Path(each) for each in getattr(options, "policy_pack", [])],
            policy_pack_configs=[Path(each).absolute() for each in getattr(options, "policy_pack_config", [])],
            expect_no_changes=getattr(options, "expect_no_changes", False),
            refresh_first=getattr(options, "refresh", None) == "true",
            clear_pending=getattr(options, "clear_pending_creates", False),
            exec_kind=options.exec_kind or "",
        ),
        events,
    )
    if getattr(options, "json", False):
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
