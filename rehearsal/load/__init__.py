"""Live traffic for a rehearsal: chat completions at a fixed rate with many open streams, and a record of each."""
