"""This machine: its processes and addresses."""
