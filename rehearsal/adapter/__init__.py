"""Adds what pods need of vLLM to any server with OpenAI's API: its arguments, fingerprint, metrics and drain."""
