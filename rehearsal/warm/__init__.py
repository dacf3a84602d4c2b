"""Spares Python programs and plugins their start-up: a server that has imported ahead, and what asks it to fork."""
