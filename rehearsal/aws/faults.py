"""Faults that can be switched on and off while the account runs."""

from pydantic import BaseModel, ConfigDict, Field


class Faults(BaseModel):
    """The current faults; the default values mean none."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    weight_lag_seconds: float = Field(ge=0, description="from a rule change until requests follow it")
    deregistration_propagation_seconds: float = Field(ge=0)
    ignore_weight_changes: bool = Field(
        default=False, description="requests go on by the rules as they were, whatever the API says"
    )
    api_error_fraction: float = Field(default=0, ge=0, le=1, description="of API calls answered with HTTP 500")
    api_throttle_fraction: float = Field(default=0, ge=0, le=1, description="of API calls refused as throttled")
    api_latency_seconds: float = Field(default=0, ge=0, description="added to every API call")
    api_services: frozenset[str] = Field(
        default=frozenset(), description="the API faults concern only these (elbv2, eks, ...); empty means all"
    )
    target_error_fraction: float = Field(
        default=0, ge=0, le=1, description="of forwarded requests that end as if the target had reset"
    )
    target_error_colors: frozenset[str] = Field(
        default=frozenset(), description="target errors concern only groups of these colours; empty means all"
    )
