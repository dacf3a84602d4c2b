"""Read the stack's config into typed settings, and write one clear line for each violation in it."""
