"""A stand-in for vLLM's OpenAI-compatible server, without a GPU: its arguments, endpoints, metrics and shutdown."""
