"""The Pulumi components and the manifests that they declare."""
