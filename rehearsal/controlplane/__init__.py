"""The rehearsal's real control plane: etcd, the Kubernetes API server, controllers, scheduler, and Prometheus."""
