"""Worlds that stay up: each has its own keeper process, and later commands find it by its folder."""
