"""Pulumi resource plugins for the rehearsal: the AWS and Kubernetes providers as far as the program uses them."""
