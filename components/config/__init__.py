"""What is read: the stack's config as typed settings, and one clear line for each error in it."""
