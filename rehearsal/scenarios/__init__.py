"""The scenarios that a rehearsal runs in a world."""
