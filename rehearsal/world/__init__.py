"""One world: its folder, its processes, its settings."""
