"""A stand-in for `pulumi-language-python`, for a Pulumi CLI that comes without it."""
