"""Live traffic for a rehearsal: chat completions at a fixed rate, many streams open, and a record of each."""
