"""The packaged BlueGreenService: this project's component with plain inputs and documented outputs."""

from typing import Any, cast

import pulumi
from pulumi.provider.experimental.util import camel_case

from components.config.reading import route_secret
from components.resources import blue_green_service
from package.arguments import BlueGreenServiceArgs
from package.settings_of import InputsError, declared_settings, settings_of


class _RefusedError(InputsError):
    """A refusal without a traceback.

    Pulumi's provider prints an error's stack frames below its message, but here they would not help the user.
    """

    @property
    def __traceback__(self) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return None


class BlueGreenService(blue_green_service.BlueGreenService):
    """A vLLM service on EKS with blue and green GPU pools behind one load balancer; its name is the service's name."""

    endpoint: pulumi.Output[str]
    """URL of the service."""
    load_balancer_dns_name: pulumi.Output[str | None]
    """DNS name of the service's own load balancer; not set when it joins a listener."""
    weighted_rule_arn: pulumi.Output[str]
    """ARN of the listener rule that has the weights."""
    target_group_arns: pulumi.Output[dict[str, str]]
    """ARN of each colour's target group."""
    kubernetes_namespace: pulumi.Output[str]
    """Namespace of the pods."""
    release_ids: pulumi.Output[dict[str, str]]
    """Release id of each colour that has a release."""
    semantic_cache_namespace: pulumi.Output[str | None]
    """Semantic-cache namespace of the active colour's release; it changes when answers may change."""

    headroom_usd_per_hour: pulumi.Output[float | None]
    """On-Demand price of the nodes beyond those of the active colour, in US dollars per hour; not set when unknown."""
    required_idle_timeout_seconds: pulumi.Output[int]
    """Shortest idle timeout that the load balancer may have."""
    reservation_ends: pulumi.Output[dict[str, str]]
    """RFC 3339 time at which the reservation of each colour ends, if it has one."""

    declared_settings: pulumi.Output[dict[str, Any]]
    """The settings that are inputs of their own, for the rollout scripts, which read all others from the config."""

    def __init__(self, name: str, args: BlueGreenServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        self._declared_settings = declared_settings(args)
        try:
            settings = settings_of(name, args)
        except InputsError as error:
            raise _RefusedError(str(error)) from None
        super().__init__(
            name,
            blue_green_service.BlueGreenServiceArgs(
                stack=settings,
                service=settings.services[name],
                candidate_route_secret=args[route_secret.KEY],
            ),
            opts,
        )

    def register_outputs(self, outputs: Any) -> None:
        """Register the outputs that are in the schema, under the schema's names."""
        named: dict[str, Any] = {
            **outputs,
            "kubernetes_namespace": outputs["namespace"],
            "declared_settings": self._declared_settings,
        }
        found = {name: _without_none(named[name]) for name in BlueGreenService.__annotations__}
        for name, value in found.items():
            setattr(self, name, None if value is None else pulumi.Output.from_input(value))
        super().register_outputs({camel_case(name): value for name, value in found.items() if value is not None})


def _without_none(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: below for key, below in cast(dict[str, Any], value).items() if below is not None}
