"""Pulumi resource plugins for the rehearsal: the parts of the AWS and Kubernetes providers that the program uses."""
