"""What a service's pods need besides a release: secrets, caches, allowed networks and monitoring."""

from collections import Counter
from typing import Annotated, Final, cast

from pydantic import BaseModel, Field, field_validator, model_validator

from components.config.forms import NETWORK, Form, matching
from components.config.model import STRICT, Items
from components.config.violations import Violation, wrong

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
    ingress_cidrs: Annotated[
        Items[Annotated[str, NETWORK]],
        Field(
            min_length=1,
            description="Networks that may send requests to the pods; narrow them to the load balancer's subnets.",
            examples=['["10.0.0.0/8"]'],
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
        if twice := [cidr for cidr, count in Counter(cidrs).items() if count > 1]:
            raise wrong(Violation((), f"must not name {', '.join(twice)} more than once", value=cidrs))
        return cidrs
