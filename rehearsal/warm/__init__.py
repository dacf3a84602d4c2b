"""Fast starts of Python programs and plugins: a fork server that imports in advance, and its client."""
