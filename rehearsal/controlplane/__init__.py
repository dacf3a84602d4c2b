"""The real control plane of the rehearsal: etcd, Kubernetes' API server, controllers and scheduler, Prometheus."""
