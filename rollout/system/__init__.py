"""This machine: its clock, files and processes, and the errors of libraries in plain words."""
