"""This machine: its clock, files and processes, and what libraries fail with."""
