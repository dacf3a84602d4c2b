"""The Kubernetes provider of the rehearsal: any kind the API server knows, by server-side apply."""
