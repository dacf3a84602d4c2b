"""What is declared: the components and the manifests that they make."""
