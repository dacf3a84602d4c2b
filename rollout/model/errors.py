"""The errors of a rollout, by what the operator has to do about them."""


class RolloutError(Exception):
    """Something a rollout cannot go on with; the message says what and, where known, the fix."""


class RefusedError(RolloutError):
    """Nothing was changed: bad input, or the world is not in a state to start from."""


class KeepWarmError(RefusedError):
    """The idle colour may not go yet: it is promised to stay warm. Nothing is wrong."""


class PlanRefusedError(RolloutError):
    """A plan holds more, or other, than the change that was meant, or not even that; nothing was applied."""


class UnexpectedChangeError(RolloutError):
    """An update has changed more, or other, than what was meant; it was applied, so what it did must be undone."""


class UpdateFailedError(RolloutError):
    """A preview or an update did not succeed; the message carries its diagnostics."""


class PolicyRefusedError(UpdateFailedError):
    """A mandatory policy does not let a preview or an update pass, and will not the next time either."""


class StackLockedError(UpdateFailedError):
    """Another update holds Pulumi's lock on the stack; this one did not begin."""


class JournalError(RolloutError):
    """A record cannot be written, so nobody could tell later what was done."""


class Interruption(BaseException):
    """The command must end. No ``except Exception`` can take it for a failure and go on."""


class StoppedError(Interruption):
    """Somebody asked the rollout to stop: a signal, or a rollback from another process."""


class UnavailableError(RolloutError):
    """A service does not take a call now, for it is throttled or down; the same call may well succeed later."""


class UnreconciledError(RolloutError):
    """All traffic is back, but config or state do not say so yet; the message says what remains."""


class LostLockError(StoppedError):
    """Somebody else has taken the stack over: this process must change nothing more, not even back."""
