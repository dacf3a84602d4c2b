"""Lifecycle: what is kept warm stays, what requests pass through is protected, and the rule says who is promoted."""
