"""The gates that judge a step, with their window and their verdicts."""
