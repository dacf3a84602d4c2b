"""A stand-in for vLLM's OpenAI-compatible server: its arguments, endpoints, metrics and shutdown, without a GPU."""
