"""The load balancer: whose requests go where, and what it counts."""
