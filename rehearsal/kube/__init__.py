"""A client of the Kubernetes API for the stand-ins."""
