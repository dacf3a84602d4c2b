"""A provider plugin for tests of deployment engines."""
