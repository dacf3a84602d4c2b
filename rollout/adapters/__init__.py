"""The ports, implemented on real services."""
