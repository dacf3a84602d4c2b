"""moto's API server, and the rehearsal's changes to it."""
