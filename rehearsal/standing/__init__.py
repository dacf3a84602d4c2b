"""Worlds that stay: each kept by a process of its own, found again by its folder."""
