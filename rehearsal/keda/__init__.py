"""A stand-in for KEDA and the HorizontalPodAutoscaler that it makes: scales the Deployments of ScaledObjects."""
