"""What the pods of a service need besides a release: secrets, caches, who may reach them, who watches them."""

from collections import Counter
from typing import Annotated, Final, cast

from pydantic import BaseModel, Field, field_validator, model_validator

from components.config.forms import NETWORK, Form, matching
from components.config.model import STRICT, Items
from components.config.violations import Violation, wrong

# Where load balancers stand: the private networks of RFC 1918 and the shared ones of RFC 6598.
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
    """Where a secret value is: never the value itself."""

    model_config = STRICT

    name: Annotated[str, OBJECT_NAME, Field(description="An existing Secret in the service's namespace.")]
    key: Annotated[str, SECRET_KEY, Field(description="The key in that Secret that holds the value.")]

    @model_validator(mode="before")
    @classmethod
    def _be_no_value(cls, reference: object) -> object:
        if isinstance(reference, dict):
            return cast(object, reference)
        # Not shown: it may be the secret itself.
        fix = "Remove it, and name the Kubernetes Secret that holds the value."
        raise wrong(Violation((), "must be an object with the keys name and key", fix))


class PodSettings(BaseModel):
    """The same for both colours, so that a release is all that tells them apart."""

    model_config = STRICT

    api_key_secret: Annotated[
        SecretReference | None,
        Field(description="Where vLLM's API key is; clients then need it. A new value needs new pods."),
    ] = None
    hub_token_secret: Annotated[
        SecretReference | None, Field(description="Where the model hub's token is (HF_TOKEN), for gated models.")
    ] = None
    model_cache_claim: Annotated[
        str | None,
        OBJECT_NAME,
        Field(
            description="An existing PersistentVolumeClaim (ReadWriteMany) for the weights that all pods share. "
            "Default: each pod fetches its own."
        ),
    ] = None
    compile_cache_claim: Annotated[
        str | None,
        OBJECT_NAME,
        Field(
            description="An existing PersistentVolumeClaim (ReadWriteMany) for compiled kernels, in a folder for each "
            "image. Default: each pod compiles its own."
        ),
    ] = None
    ingress_cidrs: Annotated[
        Items[Annotated[str, NETWORK]],
        Field(
            min_length=1,
            description="Networks from which requests reach the pods: narrow them to the load balancer's subnets.",
            examples=['["10.0.0.0/8"]'],
        ),
    ] = PRIVATE_CIDRS
    monitoring_namespace: Annotated[
        str, ANY_NAMESPACE, Field(description="Namespace whose pods may reach the pods too: Prometheus's.")
    ] = "monitoring"
    pod_monitor: Annotated[
        bool, Field(description="True: declare a PodMonitor, which the Prometheus Operator's CRD must be there for.")
    ] = False
    pod_monitor_labels: Annotated[
        dict[Annotated[str, LABEL_NAME], Annotated[str, LABEL_VALUE]],
        Field(description="Labels of the PodMonitors that your Prometheus selects them by, e.g. release: prometheus."),
    ] = {}
    scrape_interval_seconds: Annotated[
        int, Field(ge=1, le=300, description="How often a PodMonitor has the pods' metrics read.")
    ] = 15

    @field_validator("ingress_cidrs")
    @classmethod
    def _be_different(cls, cidrs: tuple[str, ...]) -> tuple[str, ...]:
        if twice := [cidr for cidr, count in Counter(cidrs).items() if count > 1]:
            raise wrong(Violation((), f"must not name {', '.join(twice)} more than once", value=cidrs))
        return cidrs
