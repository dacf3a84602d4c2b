"""The one error that ends a command with a message for a person."""


class CommandError(Exception):
    """A command cannot go on; the message is printed as `error: ...` and the exit status is `status`."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def not_supported(what: str) -> CommandError:
    """Refuse what the embedded engine leaves to the real CLI."""
    return CommandError(
        f"{what} is not supported by the embedded engine; install the Pulumi CLI "
        "(https://www.pulumi.com/docs/install/) and put it on PATH"
    )
