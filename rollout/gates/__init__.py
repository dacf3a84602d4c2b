"""What judges a step: the gates, their window and their verdicts."""
