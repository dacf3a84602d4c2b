"""Faults that can be switched on and off while the account runs."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Faults(BaseModel):
    """The current faults. The defaults mean no faults."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    weight_lag_seconds: float = Field(ge=0, description="time from a rule change until requests follow it")
    deregistration_propagation_seconds: float = Field(ge=0)
    request_counted_at: Literal["start", "end"] = Field(default="start", description="as in AwsSettings")
    publication_delay_seconds: dict[str, float] = Field(default={}, description="as in AwsSettings")
    ignore_weight_changes: bool = Field(
        default=False, description="requests follow the old rules, whatever the API says"
    )
    api_error_fraction: float = Field(default=0, ge=0, le=1, description="share of API calls answered with HTTP 500")
    api_throttle_fraction: float = Field(default=0, ge=0, le=1, description="share of API calls refused as throttled")
    api_latency_seconds: float = Field(default=0, ge=0, description="added to every API call")
    api_services: frozenset[str] = Field(
        default=frozenset(), description="services that API faults affect (elbv2, eks, ...); empty means all but kms"
    )
    target_error_fraction: float = Field(
        default=0, ge=0, le=1, description="share of forwarded requests that fail as if the target had reset"
    )
    target_error_colors: frozenset[str] = Field(
        default=frozenset(), description="colours whose target groups have target errors; empty means all"
    )
    launch_error_code: str = Field(
        default="",
        description="EC2's error code for every launch of a node, e.g. InsufficientInstanceCapacity; empty means none",
    )
