"""Stores records, the lock and approvals, and finds out from the records how to resume a rollout."""
