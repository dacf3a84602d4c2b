"""Stands in for `pulumi-language-python` where the Pulumi CLI comes without it."""
