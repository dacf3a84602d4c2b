"""The checks of a candidate before it gets any traffic: smoke, evals, warm-up, shadow, load."""
