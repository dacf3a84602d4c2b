"""A release: everything that determines a colour's answers, and what may not be part of it."""
