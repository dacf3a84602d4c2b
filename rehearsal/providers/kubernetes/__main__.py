"""Start the Kubernetes provider as a Pulumi plugin."""

from rehearsal.providers.kubernetes.provider import KubernetesProvider
from rehearsal.providers.plugin import serve

if __name__ == "__main__":
    serve(KubernetesProvider())
