"""Statistical tests on counts and latencies. Pure."""
