"""Reads a kubeconfig file: the API server's address and our credentials."""

import base64
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml


class KubeconfigError(Exception):
    """The kubeconfig is missing, unreadable, or names a context, cluster or user that it does not contain."""


@dataclass(frozen=True, kw_only=True)
class Kubeconfig:
    """One context of a kubeconfig file, prepared for an HTTP client."""

    server: str
    """Base URL of the API server, without a trailing slash."""
    namespace: str
    tls: ssl.SSLContext
    token: str | None


def load_kubeconfig(path: str | Path | None = None, context: str | None = None) -> Kubeconfig:
    """Read one context of a kubeconfig. The defaults are KUBECONFIG or ~/.kube/config, and its current context.

    Raises KubeconfigError.
    """
    file = Path(path or os.environ.get("KUBECONFIG") or Path.home() / ".kube/config")
    try:
        loaded: Any = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError) as error:
        raise KubeconfigError(f"cannot read the kubeconfig {file}: {error}") from error
    if not isinstance(loaded, Mapping):
        raise KubeconfigError(f"the kubeconfig {file} is not a mapping")
    document = cast("Mapping[str, Any]", loaded)
    context_name = context or str(document.get("current-context", ""))
    chosen = _entry(document, "contexts", "context", context_name, file)
    cluster = _entry(document, "clusters", "cluster", str(chosen.get("cluster", "")), file)
    user = _entry(document, "users", "user", str(chosen.get("user", "")), file)
    return Kubeconfig(
        server=str(cluster["server"]).rstrip("/"),
        namespace=str(chosen.get("namespace") or "default"),
        tls=_tls(cluster, user, file.parent),
        token=user.get("token"),
    )


def _entry(document: Mapping[str, Any], section: str, key: str, name: str, file: Path) -> Mapping[str, Any]:
    for entry in document.get(section) or []:
        if entry.get("name") == name:
            return entry.get(key) or {}
    raise KubeconfigError(f"the kubeconfig {file} has no {key} named {name!r}")


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any], folder: Path) -> ssl.SSLContext:
    if authority := cluster.get("certificate-authority-data"):
        tls = ssl.create_default_context(cadata=base64.b64decode(authority).decode())
    elif authority := cluster.get("certificate-authority"):
        tls = ssl.create_default_context(cafile=str(folder / authority))
    else:
        tls = ssl.create_default_context()
    if "client-certificate-data" in user:
        # The ssl module reads a client certificate only from a file.
        with tempfile.NamedTemporaryFile(mode="wb", suffix=".pem") as pem:
            pem.write(base64.b64decode(user["client-certificate-data"]))
            pem.write(b"\n" + base64.b64decode(user["client-key-data"]))
            pem.flush()
            tls.load_cert_chain(pem.name)
    elif "client-certificate" in user:
        tls.load_cert_chain(folder / user["client-certificate"], folder / user["client-key"])
    return tls
