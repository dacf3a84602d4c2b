"""Moves traffic between the colours: plan, state machine, gates, rollback and reap."""
