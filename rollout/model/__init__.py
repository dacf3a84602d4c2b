"""The values of a rollout and the decisions on them: no I/O, and nothing of the other rooms."""
