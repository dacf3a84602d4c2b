"""The stack, through the automation API."""
