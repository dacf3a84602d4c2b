"""Settings of the rehearsal's AWS account."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

ACCOUNT_ID = "123456789012"

Port = Annotated[int, Field(ge=1, le=65535)]


class AwsSettings(BaseModel):
    """The settings of one account. Every server binds 127.0.0.1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_port: Port = Field(description="moto's API: AWS_ENDPOINT_URL is http://127.0.0.1:<api_port>")
    alb_port: Port = Field(description="the data plane of every load balancer of the account, plain HTTP")
    admin_port: Port = Field(description="state, events and faults as JSON")
    access_log: Path = Field(description="JSONL file, one line per finished request")
    region: str = "us-east-1"
    weight_lag_seconds: float = Field(
        default=0.3, ge=0, description="time from a rule change in the API until requests follow it"
    )
    deregistration_propagation_seconds: float = Field(
        default=0.3, ge=0, description="how long a deregistered target still gets new requests"
    )
    health_check_interval_scale: float = Field(
        default=1.0, gt=0, le=1, description="factor on the health check interval, which is 5 s or more in AWS"
    )
    cloudwatch_period_seconds: int = Field(default=60, ge=1, description="length of the period of one data point")
    request_counted_at: Literal["start", "end"] = Field(
        default="start", description="when CloudWatch counts a request; AWS does not document which it is"
    )
    publication_delay_seconds: dict[str, float] = Field(
        default={}, description="by metric, how long after the end of a period its data points are published"
    )
