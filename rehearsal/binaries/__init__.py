"""The real programs that a world runs, found on this machine or built once from pinned Go modules."""
