"""Pods and nodes, through the official client."""
