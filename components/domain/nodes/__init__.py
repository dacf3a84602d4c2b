"""GPU nodes: what an instance type offers, and what its disk and taints must be."""
