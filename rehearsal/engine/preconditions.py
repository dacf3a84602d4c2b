"""What the recorded state says before an update begins: warnings, and reasons not to begin."""

from rehearsal.engine.errors import CommandError
from rehearsal.engine.goal import HOOK_KINDS
from rehearsal.engine.state import Snapshot


def pending_warning(base: Snapshot) -> str:
    """Name the operations that an update left unfinished when it was killed."""
    count = len(base.pending)
    lines = [f"Attempting to deploy or update resources with {count} pending operations from previous deployment."]
    lines += [f"  * {operation.resource.urn}, interrupted while {operation.kind}" for operation in base.pending]
    lines.append(
        "The update before this one was killed, so what became of these resources is not known. Check it: `pulumi "
        "refresh` adopts what was updated or deleted; a resource that was created can be added to the state by "
        "`pulumi stack export` and `import`; `pulumi refresh --clear-pending-creates` then forgets the pending CREATE "
        "operations."
    )
    return "\n".join(lines)


def refuse_delete_hooks(base: Snapshot) -> None:
    """Hooks are functions of the program, which a destroy does not run."""
    kinds = {HOOK_KINDS["before_delete"], HOOK_KINDS["after_delete"]}
    bound = [each.urn for each in base.resources if kinds & set(each.resource_hooks)]
    if bound:
        raise CommandError(
            "You must run with the `--run-program` flag to use delete hooks during destroy, and the embedded engine "
            f"leaves that to the Pulumi CLI; resources with delete hooks: {', '.join(bound)}"
        )
