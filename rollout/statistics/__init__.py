"""Tests on counts and latencies: pure."""
