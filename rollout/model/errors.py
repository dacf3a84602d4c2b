"""The errors of a rollout, one class for each reaction that they need."""


class RolloutError(Exception):
    """A rollout cannot continue. The message says why and, where known, how to fix it."""


class RefusedError(RolloutError):
    """Nothing was changed: the input is bad, or the current state does not allow a start."""


class KeepWarmError(RefusedError):
    """The idle colour must not be removed before its keep-warm window ends. Nothing is wrong."""


class NotWarmError(RefusedError):
    """There is no drill while the idle colour serves nothing. Nothing is wrong."""


class PlanRefusedError(RolloutError):
    """A preview contains other changes, or lacks the intended one. Nothing was applied."""


class UnexpectedChangeError(RolloutError):
    """An update made other changes than intended. It was applied, so it must be undone."""


class UpdateFailedError(RolloutError):
    """A preview or an update failed. The message contains its diagnostics."""


class PolicyRefusedError(UpdateFailedError):
    """A mandatory policy refused a preview or an update. A retry would be refused as well."""


class StackLockedError(UpdateFailedError):
    """Another update has Pulumi's lock on the stack. This update did not begin."""


class JournalError(RolloutError):
    """A record cannot be written, so the journal would not show what was done."""


class Interruption(BaseException):
    """The command must end. No ``except Exception`` can take it for a failure and go on."""


class StoppedError(Interruption):
    """A signal, or a rollback from another process, asked the rollout to stop."""


class UnavailableError(RolloutError):
    """A service is down or throttles a call. The same call may succeed later."""


class NotDeployedError(RolloutError):
    """No listener rule carries the tags of the service: it was never deployed, or is in another account or region."""


class UnreconciledError(RolloutError):
    """All traffic is back, but config and state do not agree yet. The message says what remains to be done."""


class LostLockError(StoppedError):
    """Another process has taken over the stack's lock. This process must make no more changes, not even to undo."""
