"""The values of a rollout and the decisions on them. No I/O, and no import of the other packages of ``rollout``."""
