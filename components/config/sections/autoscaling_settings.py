"""Settings of the autoscaler: between how many replicas KEDA decides, and by which metric."""

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from components.config.reading.forms import REGION, URL, Form, all_different, matching
from components.config.reading.model import STRICT, Items
from components.config.reading.violations import Violation, wrong
from components.config.sections.pod_settings import OBJECT_NAME
from components.config.sections.prometheus_settings import (
    HEADER_NAME,
    refuse_headers_of_the_client,
    refuse_secret_headers,
)
from components.domain.capacity.floors import Scaling
from components.domain.naming import Color

# https://github.com/vllm-project/vllm/blob/main/vllm/v1/metrics/loggers.py
_METRICS: Final = {
    "waiting_requests": "vllm[:_]num_requests_waiting",
    "requests": "vllm[:_]num_requests_(running|waiting)",
}
# KEDA writes headers as one text: "name=value,name=value".
KEDA_HEADER_VALUE: Final = Form(
    "the value of an HTTP header without commas, equals signs and spaces", "tenant-1", matching(r"[!-+\--<>-~]{1,500}")
)


class AuthenticationSettings(BaseModel):
    """How KEDA proves to Prometheus who it is: by an object that you made from a Secret or a pod identity.

    https://keda.sh/docs/2.20/concepts/authentication/
    https://keda.sh/docs/2.20/scalers/prometheus/#authentication-parameters
    """

    model_config = STRICT

    name: Annotated[
        str,
        OBJECT_NAME,
        Field(
            description="An existing TriggerAuthentication of KEDA in the service's namespace.",
            examples=["prometheus"],
        ),
    ]
    kind: Annotated[
        Literal["TriggerAuthentication", "ClusterTriggerAuthentication"],
        Field(description="Its kind. A ClusterTriggerAuthentication is in no namespace."),
    ] = "TriggerAuthentication"
    modes: Annotated[
        Items[Literal["basic", "bearer", "custom", "tls"]],
        Field(description="How Prometheus is asked: KEDA's authModes. Default: none, as with a pod identity."),
    ] = ()
    aws_region: Annotated[
        str | None,
        REGION,
        Field(description="Region of the workspace, for Amazon Managed Service for Prometheus by a pod identity."),
    ] = None

    @property
    def reference(self) -> dict[str, str]:
        """How a trigger names the object."""
        return {"name": self.name, "kind": self.kind}

    @field_validator("modes")
    @classmethod
    def _be_different(cls, items: tuple[str, ...]) -> tuple[str, ...]:
        return all_different(items)

    @model_validator(mode="after")
    def _authenticate_in_one_way(self) -> Self:
        if {"basic", "bearer"} <= set(self.modes):
            what = "must not have both basic and bearer: both set the header Authorization"
            raise wrong(Violation(("modes",), what, "Remove one of them.", self.modes))
        if self.modes and self.aws_region is not None:
            what = "must not be set with aws_region: requests to Amazon Managed Service for Prometheus are signed"
            raise wrong(Violation(("modes",), what, "Remove one of the two.", self.modes))
        return self


class AutoscalingSettings(BaseModel):
    """How KEDA resizes each colour."""

    model_config = STRICT

    min_replicas: Annotated[
        int, Field(ge=1, le=1000, description="Fewest replicas of a colour that is not parked, outside a rollout.")
    ]
    max_replicas: Annotated[
        int, Field(ge=1, le=1000, description="Most replicas of a colour. There are nodes for as many.")
    ]
    metric: Annotated[
        Literal["waiting_requests", "requests"],
        Field(description="What is counted for each replica: requests in vLLM's queue, or also those that it runs."),
    ] = "waiting_requests"
    target: Annotated[
        float,
        # KEDA counts in thousandths.
        Field(ge=0.001, le=100_000, description="How many of them a replica should have on average.", examples=[5]),
    ]
    prometheus_url: Annotated[
        str,
        URL,
        Field(
            description="Prometheus as KEDA reaches it from inside the cluster. Its series have the labels `service` "
            "and `color`, as the gates need them."
        ),
    ]
    authentication: Annotated[
        AuthenticationSettings | None,
        Field(description="How KEDA proves to Prometheus who it is. Default: Prometheus asks for nothing."),
    ] = None
    headers: Annotated[
        dict[Annotated[str, HEADER_NAME], Annotated[str, KEDA_HEADER_VALUE]],
        Field(
            description="Headers of KEDA's requests, e.g. X-Scope-OrgID: tenant-1 for Mimir. Not for secrets.",
            examples=[{"X-Scope-OrgID": "tenant-1"}],
        ),
    ] = {}

    @field_validator("headers", mode="before")
    @classmethod
    def _hold_no_secrets(cls, headers: object) -> object:
        return refuse_secret_headers(headers, "Remove it, and put it into the TriggerAuthentication (mode custom).")

    @field_validator("headers")
    @classmethod
    def _be_different(cls, headers: dict[str, str]) -> dict[str, str]:
        refuse_headers_of_the_client(headers)
        names = [name.lower() for name in headers]
        twice = [name for place, name in enumerate(headers) if name.lower() in names[:place]]
        if twice:
            raise wrong(
                *(Violation((name,), "must not be named more than once", "Remove one of them.") for name in twice)
            )
        return headers

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        if self.min_replicas > self.max_replicas:
            what = f"must be at least min_replicas {self.min_replicas}"
            raise wrong(Violation(("max_replicas",), what, "Or lower min_replicas.", self.max_replicas))
        known = self.authentication
        encrypted = known is not None and ("tls" in known.modes or known.aws_region is not None)
        if encrypted and not self.prometheus_url.startswith("https://"):
            what = "must begin with https:// for authentication with aws_region or the mode tls"
            raise wrong(Violation(("prometheus_url",), what, "", self.prometheus_url))
        return self

    @property
    def scaling(self) -> Scaling:
        """Between how many replicas a colour is."""
        return Scaling(min_replicas=self.min_replicas, max_replicas=self.max_replicas)

    def query(self, service: str, color: Color) -> str:
        """Return the query for the sum of the metric over a colour's pods. KEDA divides it by their number.

        It is 0 for a colour without pods, and nothing at all when Prometheus knows no pod of either colour: then it
        does not reach them, and nobody knows how many replicas they need.
        """
        ours = f'__name__=~"{_METRICS[self.metric]}", service="{service}"'
        return f'sum({{{ours}, color="{color}"}}) or 0 * sum({{{ours}}})'

    @property
    def trigger(self) -> dict[str, str]:
        """What KEDA's trigger gets besides the query: the address, the target, and how to ask."""
        modes = () if self.authentication is None else self.authentication.modes
        region = None if self.authentication is None else self.authentication.aws_region
        headers = ",".join(f"{name}={value}" for name, value in self.headers.items())
        return {
            "serverAddress": self.prometheus_url,
            "threshold": f"{self.target:g}",
            # No data is an error, so what runs goes on. By default it would be 0, and end all replicas above the floor.
            "ignoreNullValues": "false",
            **({"authModes": ",".join(modes)} if modes else {}),
            **({"awsRegion": region} if region else {}),
            **({"customHeaders": headers} if headers else {}),
        }
