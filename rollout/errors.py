"""The errors of a rollout, by what the operator has to do about them."""


class RolloutError(Exception):
    """Something a rollout cannot go on with; the message says what and, where known, the fix."""


class RefusedError(RolloutError):
    """Nothing was changed: bad input, or the world is not in a state to start from."""


class PlanRefusedError(RolloutError):
    """A preview shows more, or other, than the change that was meant; it was not applied."""


class UpdateFailedError(RolloutError):
    """A preview or an update did not succeed; the message carries its diagnostics."""


class StoppedError(RolloutError):
    """Somebody asked the rollout to stop: a signal, or a rollback from another process."""
