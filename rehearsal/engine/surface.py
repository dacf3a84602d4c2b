"""The Pulumi CLI's commands and flags, and which of them the embedded engine does, accepts without effect, or leaves.

A flag is written `--name/-n` with what it takes: nothing (a switch), `=` a text, `=*` texts, `=#` a number, `=?` a text
or nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command that the engine does.

    Attributes:
        help: what it does.
        words: its arguments in order: `name`, `name?` when optional, `name+` for several.
        does: flags with their full meaning.
        accepts: flags that change only how something is shown, or that are always as asked.
        leaves: flags that are refused by name.
        aliases: other names.
    """

    help: str
    words: str = ""
    does: str = ""
    accepts: str = ""
    leaves: str = ""
    aliases: tuple[str, ...] = ()


GLOBAL = Command(
    "",
    does="--cwd/-C=",
    accepts="--color= --disable-integrity-checking --emoji/-e --logflow --logtostderr --non-interactive --verbose/-v=#",
    leaves="--fully-qualify-stack-names/-Q --memprofilerate= --otel-traces= --profiling= --tracing= --tracing-header=",
)

_STACK = "--stack/-s="
_CONFIG = f"{_STACK} --config-file="
_RUN = f"{_CONFIG} --diff --event-log=* --exec-kind= --message/-m= --parallel/-p=#"
_SHOWN = (
    "--debug/-d --exec-agent= --show-replacement-steps --show-sames --skip-plugin-pre-install --suppress-permalink=? "
    "--urns"
)
_LEFT = (
    "--client= --config/-c=* --config-path --copilot --exclude/-x=* --neo --output/-o= --override-env=* "
    "--skip-config-validation"
)
_PROGRAM = "--policy-pack=* --policy-pack-config=* --refresh/-r=?"
_PROGRAM_SHOWN = "--show-config --show-full-output --show-policy-remediations --show-reads --show-secrets"
_PROGRAM_LEFT = (
    "--attach-debugger=? --exclude-dependents --ignore-protect --neo-task-on-failure --replace=* --target-replace=*"
)

COMMANDS: dict[str, Command] = {
    "preview": Command(
        "show what an update would change",
        does=f"{_RUN} {_PROGRAM} --expect-no-changes --json/-j --run-program=? --suppress-outputs --suppress-progress "
        "--target/-t=* --target-dependents",
        accepts=f"{_SHOWN} {_PROGRAM_SHOWN}",
        leaves=f"{_LEFT} {_PROGRAM_LEFT} --import-file= --save-plan=",
        aliases=("pre",),
    ),
    "up": Command(
        "create or update the resources of a stack",
        does=f"{_RUN} {_PROGRAM} --expect-no-changes --run-program=? --skip-preview/-f --suppress-outputs "
        "--suppress-progress --target/-t=* --target-dependents --yes/-y",
        accepts=f"{_SHOWN} {_PROGRAM_SHOWN}",
        leaves=f"{_LEFT} {_PROGRAM_LEFT} --continue-on-error --json/-j --plan= --secrets-provider= --strict",
        aliases=("update",),
    ),
    "refresh": Command(
        "adopt what the resources of a stack have become",
        does=f"{_RUN} --clear-pending-creates --expect-no-changes --preview-only --run-program=? "
        "--skip-pending-creates --skip-preview/-f --suppress-outputs --suppress-progress --target/-t=* "
        "--target-dependents --yes/-y",
        accepts=_SHOWN,
        leaves=f"{_LEFT} --exclude-dependents --import-pending-creates=* --json/-j",
    ),
    "destroy": Command(
        "delete the resources of a stack",
        does=f"{_RUN} --preview-only --refresh/-r=? --remove --run-program=? --skip-preview/-f --suppress-outputs "
        "--suppress-progress --target/-t=* --target-dependents --yes/-y",
        accepts=f"{_SHOWN} --show-config --show-full-output",
        leaves=f"{_LEFT} --continue-on-error --exclude-protected --ignore-protect --json/-j",
        aliases=("down", "dn"),
    ),
    "cancel": Command(
        "remove the locks of a stack; no process is ended by it", words="stack_name?", does=_STACK, accepts="--yes/-y"
    ),
    "config": Command("show and change a stack's config", does=f"{_CONFIG} --json/-j --show-secrets", leaves="--open"),
    "config get": Command("show one value", words="key", does=f"{_CONFIG} --json/-j --path", leaves="--open"),
    "config set": Command(
        "set one value",
        words="key value?",
        does=f"{_CONFIG} --path --plaintext --raw --secret",
        leaves="--type=",
    ),
    "config set-all": Command("set several values", does=f"{_CONFIG} --json= --path --plaintext=* --secret=*"),
    "config remove": Command("take one value away", words="key", does=f"{_CONFIG} --path", aliases=("rm", "delete")),
    "config remove-all": Command(
        "take several values away", words="keys+", does=f"{_CONFIG} --path", aliases=("rm-all", "delete-all")
    ),
    "stack": Command(
        "show and manage stacks",
        does=f"{_STACK} --show-ids/-i --show-name --show-secrets --show-urns/-u",
        leaves="--output/-o=",
    ),
    "stack new": Command(
        "create a stack",
        words="name?",
        does=f"{_STACK} --no-select --secrets-provider=",
        accepts="--yes/-y",
        leaves="--copy-config-from= --remote-config --teams=*",
        aliases=("init", "create", "setup"),
    ),
    "stack select": Command("select a stack", words="name?", does=f"{_STACK} --create/-c --secrets-provider="),
    "stack list": Command(
        "list stacks",
        does=f"{_STACK} --all/-a --json/-j --project/-p=",
        leaves="--organization/-o= --output= --tag/-t=",
        aliases=("ls",),
    ),
    "stack output": Command("show a stack's outputs", words="name?", does=f"{_STACK} --json/-j --shell --show-secrets"),
    "stack export": Command("write the state to a file", does=f"{_STACK} --file= --show-secrets", leaves="--version="),
    "stack import": Command("take the state from a file", does=f"{_STACK} --file= --force/-f"),
    "stack history": Command(
        "list updates",
        does=f"{_STACK} --json/-j --page=# --page-size=# --show-secrets",
        accepts="--full-dates",
        leaves="--output/-o=",
        aliases=("hist",),
    ),
    "stack remove": Command(
        "remove a stack and its config",
        words="name?",
        does=f"{_STACK} --force/-f --preserve-config",
        accepts="--yes/-y",
        leaves="--remove-backups",
        aliases=("rm", "delete"),
    ),
    "version": Command("print the version"),
    "whoami": Command("show the user of the backend", does="--json/-j", leaves="--output/-o= --verbose/-v"),
}

LEFT: dict[str, str] = {
    "": "about api ai console convert convert-trace deployment do env events gen-completion gen-markdown "
    "generate-cli-spec help import insights install login logout logs neo new org package plugin policy project "
    "replay-events schema state template view-trace watch",
    "config": "copy cp env refresh",
    "stack": "change-secrets-provider drift get graph migrate rename schedule tag unselect webhook",
    "stack history": "events",
}
"""Sub-commands by command that the engine leaves to the Pulumi CLI, with all that they have under them."""
