"""The output of a rehearsal: the live view, the result and the report page."""
