"""Capacity arithmetic: how many nodes and replicas two colours need, whether a model fits, and what that costs."""
