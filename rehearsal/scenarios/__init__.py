"""What a rehearsal does in a world."""
