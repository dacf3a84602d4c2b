"""The load check: how much load a candidate carries before its latencies pass their limits."""
