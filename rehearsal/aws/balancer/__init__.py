"""A load balancer that carries real traffic, as the account's API has it."""
