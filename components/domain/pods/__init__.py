"""A pod's life: its probes, its drain and its paths."""
