"""The environment of one pod's containers: address, folder, volumes, and how paths and names look from inside."""

import base64
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rehearsal.kube.client import AsyncKubeClient, Json, KubeError
from rehearsal.system.addresses import loopback_of

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z0-9]+)\)")
_LABEL_FIELD = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class ConfigError(Exception):
    """Something that the pod refers to is missing or not supported. A later retry may succeed."""


class Sandbox:
    """One pod's environment on this machine."""

    def __init__(
        self, pod: Json, *, address: str, host_address: str, folder: Path, node_folder: Path, kube: AsyncKubeClient
    ) -> None:
        self.pod = pod
        self.address = address
        """The pod's address in the API, 10.x.y.z."""
        self.loopback = loopback_of(address)
        """The address on which its processes listen."""
        self.host_address = host_address
        self.folder = folder
        self._node_folder = node_folder
        self._kube = kube
        self._volumes: dict[str, Path] = {}

    @property
    def namespace(self) -> str:
        return self.pod["metadata"]["namespace"]

    async def make_volumes(self) -> None:
        """Write every volume of the pod into its folder. Raises ConfigError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for volume in self.pod["spec"].get("volumes", []):
            self._volumes[volume["name"]] = await self._make_volume(volume)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def local(self, text: str, container: Json) -> str:
        """Return ``text`` with the container's mount paths replaced by the volumes' paths on this machine."""
        mounts = {mount["mountPath"].rstrip("/"): mount for mount in container.get("volumeMounts", [])}
        # This machine has this path too, and an argument may mean it literally, such as a model's path.
        mounts.pop("/tmp", None)
        if not mounts:
            return text
        longest_first = sorted(mounts, key=len, reverse=True)
        # Match a whole path or its beginning, never the middle of another path or of a URL.
        pattern = rf"(?<![\w./-])({'|'.join(re.escape(path) for path in longest_first)})(?=/|$|[^\w.-])"

        def replace(match: re.Match[str]) -> str:
            mount = mounts[match[1]]
            return str(self._volumes[mount["name"]] / mount.get("subPath", ""))

        return re.sub(pattern, replace, text)

    async def environment(self, container: Json) -> dict[str, str]:
        """Return the container's declared variables with references resolved. Raises ConfigError."""
        values: dict[str, str] = {}
        for source in container.get("envFrom", []):
            kind, reference = (
                ("ConfigMap", source["configMapRef"]) if "configMapRef" in source else ("Secret", source["secretRef"])
            )
            for key, content in (await self._data(kind, reference)).items():
                values[source.get("prefix", "") + key] = content.decode()
        for variable in container.get("env", []):
            value = await self._value(variable)
            if value is not None:
                values[variable["name"]] = expanded(value, values)
        return {name: self.local(value, container) for name, value in values.items()}

    async def _value(self, variable: Json) -> str | None:
        source: Json = variable.get("valueFrom") or {}
        if not source:
            return variable.get("value", "")
        if field := source.get("fieldRef"):
            return self._field(field["fieldPath"])
        for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
            if reference := source.get(key):
                content = (await self._data(kind, reference)).get(reference["key"])
                if content is None and not reference.get("optional"):
                    raise ConfigError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")
                return None if content is None else content.decode()
        raise ConfigError(f"variable {variable['name']}: {', '.join(source)} is not supported")

    def _field(self, path: str) -> str:
        metadata, spec = self.pod["metadata"], self.pod["spec"]
        if match := _LABEL_FIELD.fullmatch(path):
            return metadata.get(match[1], {}).get(match[2], "")
        fields = {
            "metadata.name": metadata["name"],
            "metadata.namespace": metadata["namespace"],
            "metadata.uid": metadata["uid"],
            "spec.nodeName": spec["nodeName"],
            "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
            "status.hostIP": self.host_address,
            # The process may listen on this address or connect to it, so it must be the loopback one.
            "status.podIP": self.loopback,
        }
        if path not in fields:
            raise ConfigError(f"field {path} is not supported")
        return fields[path]

    async def _data(self, kind: str, reference: Mapping[str, Any]) -> dict[str, bytes]:
        name = reference["name"]
        try:
            found = await self._kube.get("v1", kind, self.namespace, name)
        except KubeError as error:
            if error.status != 404:
                raise
            if reference.get("optional"):
                return {}
            raise ConfigError(f'{kind.lower()} "{name}" not found') from error
        encoded = found.get("data" if kind == "Secret" else "binaryData") or {}
        plain = found.get("data") or {} if kind == "ConfigMap" else {}
        decoded = {key: base64.b64decode(value) for key, value in encoded.items()}
        return decoded | {key: value.encode() for key, value in plain.items()}

    async def _make_volume(self, volume: Json) -> Path:
        if host_path := volume.get("hostPath"):
            folder = self._node_folder / host_path["path"].lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        folder = self.folder / "volumes" / volume["name"]
        folder.mkdir(parents=True, exist_ok=True)
        if config_map := volume.get("configMap"):
            await self._fill(folder, "ConfigMap", config_map)
        elif secret := volume.get("secret"):
            await self._fill(folder, "Secret", {**secret, "name": secret["secretName"]})
        elif "emptyDir" not in volume and "projected" not in volume:
            raise ConfigError(f"volume {volume['name']}: this kind is not supported")
        return folder

    async def _fill(self, folder: Path, kind: str, source: Json) -> None:
        data = await self._data(kind, source)
        items = source.get("items") or [{"key": key, "path": key} for key in data]
        for item in items:
            if item["key"] not in data:
                if source.get("optional"):
                    continue
                raise ConfigError(f"couldn't find key {item['key']} in {kind} {source['name']}")
            file = folder / item["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data[item["key"]])


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by the variable if it exists, and ``$$`` by ``$``, as Kubernetes does."""

    def replace(match: re.Match[str]) -> str:
        return "$" if match[1] is None else variables.get(match[1], match[0])

    return _REFERENCE.sub(replace, text)


def base_environment(pod: Json) -> dict[str, str]:
    """Return the undeclared variables of a process: as few as an image would set."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    repository = Path(__file__).parents[2]
    return {
        **kept,
        "PYTHONPATH": str(repository),
        "PYTHONUNBUFFERED": "1",
        "HOSTNAME": pod["metadata"]["name"],
    }
