"""Gives a server with OpenAI's API what the pods need of vLLM besides: its arguments, fingerprint, metrics, drain."""
