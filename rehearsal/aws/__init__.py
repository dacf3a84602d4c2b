"""The rehearsal's AWS account: moto's API server with a load balancer that carries real traffic."""
