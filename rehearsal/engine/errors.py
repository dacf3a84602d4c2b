"""The one error that ends a command with a message for a person."""

from enum import IntEnum


class Status(IntEnum):
    """Exit statuses that the Pulumi CLI tells apart."""

    FAILED = 1
    WRONG_INVOCATION = 2
    NO_STACK = 6
    CHANGES = 7


class CommandError(Exception):
    """A command cannot go on; the message is printed as `error: ...` and the exit status is `status`."""

    def __init__(self, message: str, status: int = Status.FAILED) -> None:
        super().__init__(message)
        self.status = status


def not_supported(what: str) -> CommandError:
    """Refuse what the embedded engine leaves to the real CLI."""
    return CommandError(
        f"{what} is not supported by the embedded engine; install the Pulumi CLI "
        "(https://www.pulumi.com/docs/install/) and put it on PATH"
    )
