"""Exposure: nothing is open that need not be, and nothing travels or rests in the clear."""
