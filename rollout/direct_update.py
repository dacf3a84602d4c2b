"""The direct rule update at the start of a rollback, before config, journal, lock or Pulumi are needed.

Everything that it needs is on the load balancer. The weighted rule and the target groups are found by tags. The rule's
tags say which colour is active and how long the other one is kept warm. The region and the listener come from the
stack's config file if it has them. What the tags do not contain, such as a rollout that has not moved any weight yet,
is left to the rest of the rollback.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from components.domain.naming import PROJECT, Color, other_color
from rollout.adapters.pulumi.project import Project, read_project
from rollout.model.counts import counts_text
from rollout.model.errors import RefusedError, RolloutError
from rollout.model.rule import LiveRule, share_words
from rollout.model.stack_name import parse_stack_name
from rollout.ports import LoadBalancer
from rollout.system.files import load_yaml

_REGION_KEY: Final = "aws:region"


@dataclass(frozen=True, kw_only=True)
class DirectUpdate:
    """A direct update that has sent traffic back."""

    to: Color
    green_weight: int
    at: datetime

    @property
    def share(self) -> str:
        """How much of the traffic the colour has, as the beginning of a sentence."""
        return share_words(self.to, self.green_weight)


def send_back(stack: str, service: str | None, work_dir: Path, *, force: bool) -> DirectUpdate | None:
    """Send all traffic back with one rule update. Return None when the rule's tags do not call for it.

    A colour that has given up replicas gets what its remaining ones carry; the waves of the rollback bring the rest.

    Raises:
        RefusedError: the stack's name cannot be one, or the colour to go back to has no healthy target; nothing was
            changed.
        RolloutError: the rule cannot be found.
    """
    # Only a name with a project can name another one's stack, and only for that the project file is read.
    project = _project_name(work_dir) if stack.count("/") > 1 else None
    stack = parse_stack_name(stack, project).bare
    # Slow imports: nothing else is imported here.
    from rollout.adapters.aws.elbv2_client import elbv2_client
    from rollout.adapters.aws.load_balancer import Elbv2LoadBalancer

    config = _config(work_dir, stack)
    if service is None and len(_mapping(_of_project(config, "services"))) > 1:
        return None  # the rest of the rollback asks for the service
    client = elbv2_client(_text(config.get(_REGION_KEY)))
    failure: RolloutError | None = None
    for listener_arn in (*_listeners(config, service), None):
        load_balancer = Elbv2LoadBalancer(client, stack=stack, service=service, listener_arn=listener_arn)
        try:
            load_balancer.rule()
        except RolloutError as error:
            failure = failure or error
            continue
        return send_back_by(load_balancer, datetime.now(UTC), force=force)
    assert failure is not None
    raise failure


def send_back_by(load_balancer: LoadBalancer, now: datetime, *, force: bool) -> DirectUpdate | None:
    """Send all traffic back through a load balancer whose rule has been found. Return None as ``send_back`` does.

    Raises:
        RefusedError: the colour to go back to has no healthy target; nothing was changed.
    """
    rule = load_balancer.rule()
    to = target_of(rule, now)
    if to is None:
        return None
    require_targets(load_balancer, to, force=force)
    green_weight = rule.weight_back(to, lambda color: load_balancer.health(color).healthy)
    load_balancer.set_green_weight(green_weight, cohorts_to=to)
    return DirectUpdate(to=to, green_weight=green_weight, at=datetime.now(UTC))


def target_of(rule: LiveRule, now: datetime) -> Color | None:
    """Return the colour that should have all traffic after a rollback. None when the rule's tags do not say."""
    active = rule.active_color
    if active is None:
        return None
    if rule.undoes_promotion(now):
        return other_color(active)
    if rule.weights[active] != 100 or rule.serves(other_color(active)):
        return active
    kept = rule.keep_until is not None and rule.keep_until > now
    return other_color(active) if kept else None


def require_targets(load_balancer: LoadBalancer, color: Color, *, force: bool) -> None:
    """Make sure that the colour that will get all traffic has targets that can answer.

    With ``force``, registered targets are enough, healthy or not: a load balancer sends requests to unhealthy targets
    if it has no others, and the operator must know whether they answer. Without any targets, every request would get
    a 503, so ``force`` does not allow that.
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html

    Raises:
        RefusedError: the colour has no such targets.
    """
    health = load_balancer.health(color)
    if health.healthy or (force and health.total):
        return
    if health.total:
        raise RefusedError(
            f"{color} has no healthy target ({counts_text(health.states)}): requests sent there would most likely "
            "fail. If the health checks are wrong and the targets do answer, use --force"
        )
    raise RefusedError(f"{color} has no targets at all: every request sent there would fail")


def _config(work_dir: Path, stack: str) -> Mapping[str, Any]:
    """Read the stack's config, and the project's if the stack's names no region. Nothing in them is required here."""
    config = _config_of(Project(work_dir).stack_file(stack))
    if config.get(_REGION_KEY):
        return config
    try:
        project = read_project(work_dir)
    except RolloutError:
        return config
    return {**project.config, **_config_of(project.stack_file(stack))}


def _project_name(work_dir: Path) -> str | None:
    try:
        return read_project(work_dir).name
    except RolloutError:
        return None


def _config_of(path: Path) -> Mapping[str, Any]:
    """Read one file's config. Empty when it cannot be read."""
    from ruamel.yaml import YAML

    try:
        document = load_yaml(path.read_bytes(), str(path), YAML(typ="safe"))
    except (OSError, RolloutError):
        return {}
    config = cast(Mapping[str, Any], document).get("config") if isinstance(document, Mapping) else None
    return cast(Mapping[str, Any], config) if isinstance(config, Mapping) else {}


def _listeners(config: Mapping[str, Any], service: str | None) -> Iterator[str]:
    """Yield the ARNs of the listeners that the stack's services have joined."""
    services = _mapping(_of_project(config, "services"))
    chosen = [services[service]] if service is not None and service in services else list(services.values())
    chosen += _of_other_programs(config, service)
    for place in (*(_mapping(one).get("listener") for one in chosen), _of_project(config, "listener")):
        if arn := _text(_mapping(place).get("arn")):
            yield arn


def _of_project(config: Mapping[str, Any], key: str) -> Any:
    return config.get(key) or config.get(f"{PROJECT}:{key}")


def _of_other_programs(config: Mapping[str, Any], service: str | None) -> Iterator[Any]:
    """Yield the objects that may have a service's settings in the config of another program."""
    for key, value in config.items():
        if service in (None, str(key).rpartition(":")[2]):
            yield value


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return an object, parsed if it is JSON text. Anything else becomes an empty one."""
    if isinstance(value, str):
        import json

        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
