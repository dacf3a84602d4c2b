"""Cases: isolation."""

from tests.policies.case import Safe, Unsafe

UNSAFE: tuple[Unsafe, ...] = ()

SAFE: tuple[Safe, ...] = ()
