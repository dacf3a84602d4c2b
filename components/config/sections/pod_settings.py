"""What a service's pods need besides a release: secrets, caches, allowed networks and monitoring."""

from collections.abc import Mapping
from typing import Annotated, Final, Self, cast

from pydantic import BaseModel, Field, field_validator, model_validator

from components.config.reading.forms import NETWORK, Form, all_different, matching
from components.config.reading.model import STRICT, Items
from components.config.reading.violations import Violation, wrong
from components.domain.pods.pod_paths import (
    COMPILE_CACHE_PATH,
    HOME_PATH,
    MODEL_CACHE_PATH,
    PROBE_PATH,
    PROMPTS_PATH,
    SHARED_MEMORY_PATH,
    TEMPORARY_PATH,
)

# Networks that load balancers are in: the private ones of RFC 1918 and the shared ones of RFC 6598.
PRIVATE_CIDRS: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")

_LABEL: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_LABEL_VALUE: Final = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
OBJECT_NAME: Final = Form(
    "the name of a Kubernetes object: lower-case letters, digits, dashes and dots",
    "vllm-keys",
    matching(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*"),
)
SECRET_KEY: Final = Form(
    "a key of a Kubernetes Secret: letters, digits, dashes, dots and underscores",
    "api-key",
    matching(r"(?!\.\Z|\.\.)[A-Za-z0-9._-]{1,253}"),
)
ANY_NAMESPACE: Final = Form(
    "a Kubernetes namespace: lower-case letters, digits and dashes", "monitoring", matching(_LABEL)
)
MOUNT_PATH: Final = Form(
    "an absolute path without a slash at its end",
    "/adapters",
    matching(r"(/(?!\.\.?(/|\Z))[A-Za-z0-9._-]{1,100}){1,10}"),
)
LABEL_NAME: Final = Form(
    "the name of a Kubernetes label", "release", matching(rf"({_LABEL}(\.{_LABEL})*/)?{_LABEL_VALUE}")
)
LABEL_VALUE: Final = Form("the value of a Kubernetes label", "prometheus", matching(_LABEL_VALUE))


class SecretReference(BaseModel):
    """A reference to a secret value, never the value itself."""

    model_config = STRICT

    name: Annotated[str, OBJECT_NAME, Field(description="An existing Secret in the service's namespace.")]
    key: Annotated[str, SECRET_KEY, Field(description="The key of the value in that Secret.")]

    @model_validator(mode="before")
    @classmethod
    def _be_no_value(cls, reference: object) -> object:
        if isinstance(reference, dict):
            return cast(object, reference)
        # The value is not shown: it may be the secret itself.
        fix = "Remove it, and name the Kubernetes Secret that contains the value."
        raise wrong(Violation((), "must be an object with the keys name and key", fix))


# Where a volume would hide files that the pods need.
_TAKEN_PATHS: Final = (
    *(PROMPTS_PATH, PROBE_PATH, MODEL_CACHE_PATH, COMPILE_CACHE_PATH, HOME_PATH, TEMPORARY_PATH, SHARED_MEMORY_PATH),
    *("/bin", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/usr"),
)


class PodVolume(BaseModel):
    """A volume that the server may read: a claim, a ConfigMap or a Secret. None of them is a folder of the node."""

    model_config = STRICT

    claim: Annotated[
        str | None, OBJECT_NAME, Field(description="An existing PersistentVolumeClaim, e.g. with adapters.")
    ] = None
    config_map: Annotated[str | None, OBJECT_NAME, Field(description="An existing ConfigMap.")] = None
    secret: Annotated[str | None, OBJECT_NAME, Field(description="An existing Secret.")] = None
    mount_path: Annotated[
        str, MOUNT_PATH, Field(description="Folder where the server finds it, read-only.", examples=["/adapters"])
    ]

    @model_validator(mode="after")
    def _have_one_source(self) -> Self:
        given = [name for name in ("claim", "config_map", "secret") if getattr(self, name) is not None]
        if len(given) != 1:
            what = "must have exactly one of claim, config_map and secret"
            raise wrong(Violation((), f"{what} (got {', '.join(given) or 'none'})"))
        return self

    @field_validator("mount_path")
    @classmethod
    def _hide_nothing(cls, path: str) -> str:
        if hidden := next((one for one in _TAKEN_PATHS if _overlap(path, one)), None):
            raise wrong(
                Violation((), f"must not overlap {hidden}, which the pods need", "Choose another folder.", path)
            )
        return path


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


class PodSettings(BaseModel):
    """Settings that both colours share, so that the colours differ only in their releases."""

    model_config = STRICT

    api_key_secret: Annotated[
        SecretReference | None,
        Field(description="Where vLLM's API key is. Clients must then send the key. A new value needs new pods."),
    ] = None
    hub_token_secret: Annotated[
        SecretReference | None, Field(description="Where the model hub's token is (HF_TOKEN), for gated models.")
    ] = None
    model_cache_claim: Annotated[
        str | None,
        OBJECT_NAME,
        Field(
            description="An existing PersistentVolumeClaim (ReadWriteMany) for weights that all pods share. "
            "Default: each pod downloads its own copy."
        ),
    ] = None
    compile_cache_claim: Annotated[
        str | None,
        OBJECT_NAME,
        Field(
            description="An existing PersistentVolumeClaim (ReadWriteMany) for compiled kernels, with one folder per "
            "image. Default: each pod compiles its own."
        ),
    ] = None
    volumes: Annotated[
        Items[PodVolume],
        Field(
            description="More volumes for the server to read, e.g. adapters or certificates.",
            examples=[[{"claim": "adapters", "mount_path": "/adapters"}]],
        ),
    ] = ()
    service_account_name: Annotated[
        str | None,
        OBJECT_NAME,
        Field(
            description="An existing ServiceAccount in the service's namespace, through which pods get access to AWS "
            "(IRSA or EKS Pod Identity), e.g. to s3:// models. Default: the namespace's own."
        ),
    ] = None
    image_pull_secrets: Annotated[
        Items[Annotated[str, OBJECT_NAME]],
        Field(description="Existing Secrets in the service's namespace with access to a private registry."),
    ] = ()
    priority_class_name: Annotated[
        str | None, OBJECT_NAME, Field(description="An existing PriorityClass for the pods. Default: the cluster's.")
    ] = None
    memory_limit_mib: Annotated[
        int | None,
        Field(
            ge=256,
            description="Memory limit of one replica, in MiB: at most its use before it is killed, /dev/shm included. "
            "Default: its share of the node.",
        ),
    ] = None
    ingress_cidrs: Annotated[
        Items[Annotated[str, NETWORK]],
        Field(
            min_length=1,
            description="Networks that may send requests to the pods; narrow them to the load balancer's subnets.",
        ),
    ] = PRIVATE_CIDRS
    monitoring_namespace: Annotated[
        str, ANY_NAMESPACE, Field(description="Namespace of Prometheus, whose pods may also reach the pods.")
    ] = "monitoring"
    pod_monitor: Annotated[
        bool, Field(description="True: declare a PodMonitor. The Prometheus Operator's CRD must exist.")
    ] = False
    pod_monitor_labels: Annotated[
        dict[Annotated[str, LABEL_NAME], Annotated[str, LABEL_VALUE]],
        Field(description="Labels by which your Prometheus selects PodMonitors, e.g. release: prometheus."),
    ] = {}
    scrape_interval_seconds: Annotated[
        int, Field(ge=1, le=300, description="Interval at which Prometheus scrapes the pods through the PodMonitor.")
    ] = 15

    @field_validator("ingress_cidrs")
    @classmethod
    def _be_different(cls, cidrs: tuple[str, ...]) -> tuple[str, ...]:
        return all_different(cidrs)

    @field_validator("volumes")
    @classmethod
    def _stay_apart(cls, volumes: tuple[PodVolume, ...]) -> tuple[PodVolume, ...]:
        for position, volume in enumerate(volumes):
            for other in volumes[:position]:
                if _overlap(volume.mount_path, other.mount_path):
                    what = f"must not overlap {other.mount_path}, where another volume is"
                    raise wrong(Violation((position, "mount_path"), what, "Choose another folder.", volume.mount_path))
        return volumes


def volumes_warning(paths: Mapping[str, str], pods: PodSettings) -> str | None:
    """Return a warning about paths, by their fields, that no volume of the pods holds; None when each has one."""
    mounts = [volume.mount_path for volume in pods.volumes]
    if pods.model_cache_claim is not None:
        mounts.append(MODEL_CACHE_PATH)
    outside = [
        f"{field} {path}"
        for field, path in paths.items()
        if not any(f"{path}/".startswith(f"{one}/") for one in mounts)
    ]
    if not outside:
        return None
    where = f"they are mounted at {', '.join(mounts)}" if mounts else "the pods have none"
    return (
        f"no volume holds {', '.join(outside)}: {where}. Unless the image has it, vLLM does not find it. Add the "
        f"volume to pods.volumes, or set pods.model_cache_claim, which is mounted at {MODEL_CACHE_PATH}."
    )


def access_warning(model: str, service_account_name: str | None) -> str | None:
    """Return a warning when nothing gives the pods access to a model in S3, with the fix."""
    if not model.startswith("s3://") or service_account_name is not None:
        return None
    return (
        f"{model} is in S3, but pods.service_account_name is not set, and pods cannot use their nodes' role. Set it to "
        "a ServiceAccount with access (IRSA or EKS Pod Identity), unless the namespace's own has it."
    )
