"""The ports on real services."""
