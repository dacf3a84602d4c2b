"""Creates a stack in the world's checkout, as an engineer does."""

import secrets

from rehearsal.aws.seed import STACK_KEY_ALIAS
from rehearsal.world.checkout import STACK
from rehearsal.world.world import World

NEW_STACK = ("pulumi", "stack", "init", STACK, "--non-interactive", "--secrets-provider", f"awskms://{STACK_KEY_ALIAS}")
"""The command that creates the stack, with its secrets under the account's key."""


def create_stack(world: World) -> None:
    """Create the stack, select it, and set its secret. After that `pulumi up` works.

    Raises:
        CommandError: a command failed.
    """
    world.run("stack-init", *NEW_STACK)
    secret = secrets.token_hex(16)
    world.run("config-set", "pulumi", "config", "set", "--stack", STACK, "--secret", "candidate_route_secret", secret)
