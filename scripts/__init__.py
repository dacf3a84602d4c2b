"""What a person or a CI job types; thin."""
