"""The rehearsal's Kubernetes provider: every kind of the API server, by server-side apply."""
