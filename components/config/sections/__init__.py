"""The sections of a service's settings, each of one subject."""
