"""What vLLM takes: its options, variables and versions."""
