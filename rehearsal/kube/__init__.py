"""The Kubernetes API client of the stand-ins."""
