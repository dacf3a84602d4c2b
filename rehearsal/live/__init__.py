"""The live page of a rehearsal: what happens each second, served on this machine and kept as a recording."""
