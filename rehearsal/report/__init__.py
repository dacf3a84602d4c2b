"""What is seen of a rehearsal: live, as a result, as a page."""
