"""What is written down: records, the lock, approvals; and how a rollout is taken up from it."""
