"""The load balancer of one service, through the ELBv2 API. Found by tags, without Pulumi's state."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from components.domain.balancer.balancer_metrics import color_dimensions
from components.domain.balancer.load_balancer_arns import (
    load_balancer_dimension,
    load_balancer_of,
    target_group_dimension,
)
from components.domain.balancer.traffic import ColorState, parse_cohorts
from components.domain.capacity.ladder import SharedCapacity
from components.domain.moments import parse_or_none
from components.domain.naming import (
    ACTIVE_COLOR_KEY,
    COHORT_KEY,
    COHORTS_KEY,
    COLOR_KEY,
    COLORS,
    KEEP_UNTIL_KEY,
    ROLE_KEY,
    ROLLING_OUT_KEY,
    ROLLOUT_SERIAL_KEY,
    SERVICE_KEY,
    SHARED_CAPACITY_KEY,
    STACK_KEY,
    Color,
    Role,
    color_state_key,
)
from rollout.adapters.aws.elbv2_client import is_passing
from rollout.model.errors import NotDeployedError, RolloutError, UnavailableError
from rollout.model.rule import ListenerRules, LiveRule
from rollout.model.verdict import TargetHealth
from rollout.system.failures import describe_error

if TYPE_CHECKING:
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client
    from mypy_boto3_elbv2.type_defs import ActionTypeDef, LoadBalancerTypeDef, RuleTypeDef

# DescribeTags takes at most this many resources in one call.
TAGS_PER_CALL: Final = 20
IDLE_TIMEOUT: Final = "idle_timeout.timeout_seconds"
DEFAULT_IDLE_TIMEOUT_SECONDS: Final = 60
NAME_ONE: Final = "Name one with --service."
# Targets in these states are leaving, or are not in use.
NOT_SERVING: Final = frozenset({"draining", "unused"})


@dataclass(frozen=True, kw_only=True)
class _CohortRule:
    """A cohort's rule, and its actions as last read."""

    arn: str
    actions: list[ActionTypeDef]


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The ARNs of a service, which do not change, and the rules' actions as last read."""

    load_balancer_arn: str
    rule_arn: str
    target_groups: Mapping[Color, str]
    actions: list[ActionTypeDef]
    cohorts: Mapping[str, _CohortRule]
    """The cohorts' rules, by cohort."""


class Elbv2LoadBalancer:
    """The weighted rule and the target groups of one service."""

    def __init__(
        self, client: ElasticLoadBalancingv2Client, *, stack: str, service: str | None, listener_arn: str | None = None
    ) -> None:
        """Find resources by the tags of this stack and service.

        Args:
            client: the ELBv2 API.
            stack: the stack.
            service: the service. None for the stack's only service.
            listener_arn: the listener that the service joined. None when the service has its own load balancer.
        """
        self._client = client
        self._stack = stack
        self._service = service
        self._listener_arn = listener_arn
        self._found: _Found | None = None

    def rule(self) -> LiveRule:
        """Read the weighted rule.

        Raises:
            UnavailableError: AWS does not take the call now; a later call may succeed.
            RolloutError: no rule has our tags, or more than one has.
        """
        with _marking_transient_errors():
            return self._rule()

    def _rule(self) -> LiveRule:
        if self._found is None:
            # The search has already read the rule and its tags, and a rollback must not wait for a second read.
            self._found, tags = self._search()
            found = self._found
        else:
            try:
                self._found = found = self._read(self._found)
            except self._client.exceptions.RuleNotFoundException:
                self._found, _ = self._search()
                found = self._found
            tags = self._tags([found.rule_arn])[found.rule_arn]
        active, keep_until = tags.get(ACTIVE_COLOR_KEY), tags.get(KEEP_UNTIL_KEY, "")
        kept_until = parse_or_none(keep_until)
        weights = _weights(found.actions)
        return LiveRule(
            arn=found.rule_arn,
            weights={color: weights.get(arn, 0) for color, arn in found.target_groups.items()},
            target_groups=found.target_groups,
            active_color=active if active in COLORS else None,
            keep_until=kept_until,
            unreadable_keep_until=keep_until if kept_until is None else "",
            rollout_serial=int(tags.get(ROLLOUT_SERIAL_KEY) or 0),
            rolling_out=tags.get(ROLLING_OUT_KEY) == "true",
            colors={
                color: state
                for color in COLORS
                if (state := ColorState.parse(tags.get(color_state_key(color), ""))) is not None
            },
            capacity=SharedCapacity.parse(tags.get(SHARED_CAPACITY_KEY, "")),
            cohorts={
                cohort: _weights(rule.actions).get(found.target_groups["green"], 0)
                for cohort, rule in found.cohorts.items()
            },
            tagged_cohorts=parse_cohorts(tags.get(COHORTS_KEY, "")),
        )

    def _read(self, known: _Found) -> _Found:
        """Read the actions of all rules again, in one call."""
        arns = [known.rule_arn, *(rule.arn for rule in known.cohorts.values())]
        described = self._client.describe_rules(RuleArns=arns)["Rules"]
        actions = {rule.get("RuleArn", ""): _actions(rule) for rule in described}
        cohorts = {cohort: replace(rule, actions=actions[rule.arn]) for cohort, rule in known.cohorts.items()}
        return replace(known, actions=actions[known.rule_arn], cohorts=cohorts)

    def set_green_weight(self, green_weight: int, *, cohorts_to: Color | None = None) -> None:
        """Set the weights of the weighted rule. One API call for each rule if they have been read before.

        Args:
            green_weight: the weight of green.
            cohorts_to: the colour that every cohort is sent to first. None to leave the cohorts where they are.

        Raises:
            UnavailableError: AWS does not take the call now; a later call may succeed.
        """
        with _marking_transient_errors():
            found = self._find()
            failures: list[Exception] = []
            for rule in () if cohorts_to is None else found.cohorts.values():
                try:
                    self._set(rule.arn, rule.actions, 100 if cohorts_to == "green" else 0)
                except self._client.exceptions.RuleNotFoundException:
                    pass  # somebody has deleted it: the weighted rule gets the cohort's requests, too
                except Exception as error:  # all others must not wait for this cohort
                    failures.append(error)
            self._set(found.rule_arn, found.actions, green_weight)
            if failures:
                raise failures[0]

    def _set(self, rule_arn: str, actions: list[ActionTypeDef], green_weight: int) -> None:
        groups = self._find().target_groups
        weights = {groups["green"]: green_weight, groups["blue"]: 100 - green_weight}
        self._client.modify_rule(RuleArn=rule_arn, Actions=_with_weights(actions, weights))

    def health(self, color: Color) -> TargetHealth:
        """Count a colour's targets by health.

        Raises:
            UnavailableError: AWS does not take the call now; a later call may succeed.
        """
        with _marking_transient_errors():
            arn = self._find().target_groups[color]
            described = self._client.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        states = Counter(target.get("TargetHealth", {}).get("State", "unknown") for target in described)
        return TargetHealth(
            healthy=states["healthy"],
            total=sum(count for state, count in states.items() if state not in NOT_SERVING),
            states=dict(states),
        )

    def dns_name(self) -> str:
        """Return the load balancer's DNS name."""
        return self._described().get("DNSName", "")

    def login_rules(self) -> Sequence[str]:
        """Return the priorities of the listener's rules that come before the candidate rules and ask for a login."""
        listener_arn = _listener_of(self._find().rule_arn)
        rules = {rule.get("RuleArn", ""): rule for rule in self._rules(listener_arn)}
        ours = [_priority(rules[arn]) for arn in self._marked(rules, "candidate-rule")]
        return [
            rule.get("Priority", "")
            for rule in rules.values()
            if _priority(rule) < min(ours, default=0)
            and any(action.get("Type", "").startswith("authenticate-") for action in _actions(rule))
        ]

    def listener_rules(self) -> ListenerRules:
        """Return which rules the service's listener and its load balancer have.

        Raises:
            NotDeployedError: the service is not deployed yet, and has a load balancer of its own.
        """
        listener_arn = self._listener_arn or _listener_of(self._find().rule_arn)
        by_listener = {
            arn: [rule for rule in self._rules(arn) if _priority(rule) < math.inf]
            for arn in self._listeners(load_balancer_of(listener_arn))
        }
        return ListenerRules(
            priorities=frozenset(int(_priority(rule)) for rule in by_listener.get(listener_arn, ())),
            on_load_balancer=sum(map(len, by_listener.values())),
        )

    def zones(self) -> frozenset[str]:
        """Return the Availability Zones in which the load balancer has a subnet."""
        return frozenset(zone.get("ZoneName", "") for zone in self._described().get("AvailabilityZones", []))

    def _described(self) -> LoadBalancerTypeDef:
        # The listener's load balancer exists before the service's rule does.
        arn = load_balancer_of(self._listener_arn) if self._listener_arn else self._find().load_balancer_arn
        return self._client.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]

    def idle_timeout_seconds(self) -> int:
        """Return how many seconds the load balancer keeps a silent connection open."""
        arn = self._find().load_balancer_arn
        attributes = self._client.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
        values = {one.get("Key"): one.get("Value", "") for one in attributes}
        return int(values.get(IDLE_TIMEOUT) or DEFAULT_IDLE_TIMEOUT_SECONDS)

    def dimensions(self, color: Color) -> dict[str, str]:
        """Return the CloudWatch dimensions of a colour's target group."""
        found = self._find()
        groups: dict[Color, str] = {one: target_group_dimension(arn) for one, arn in found.target_groups.items()}
        return color_dimensions(load_balancer_dimension(found.load_balancer_arn), groups, color)

    def _find(self) -> _Found:
        if self._found is None:
            self._found, _ = self._search()
        return self._found

    def _search(self) -> tuple[_Found, Mapping[str, str]]:
        """Find the rule and its tags."""
        candidates: list[tuple[str, RuleTypeDef, Mapping[str, str]]] = []
        cohorts: dict[str, _CohortRule] = {}
        for load_balancer_arn, listener_arns in self._places():
            rules = {rule.get("RuleArn", ""): rule for arn in listener_arns for rule in self._rules(arn)}
            ours = self._ours(rules)
            candidates += [
                (load_balancer_arn, rules[arn], tags)
                for arn, tags in ours.items()
                if tags.get(ROLE_KEY) == "weighted-rule"
            ]
            cohorts |= {
                tags.get(COHORT_KEY, ""): _CohortRule(arn=arn, actions=_actions(rules[arn]))
                for arn, tags in ours.items()
                if tags.get(ROLE_KEY) == "cohort-rule"
            }
            if candidates and self._service:
                break
        if len(candidates) > 1:
            arns = ", ".join(rule.get("RuleArn", "") for _, rule, _ in candidates)
            fix = "Remove the tags from all but the one that the program created." if self._service else NAME_ONE
            raise RolloutError(f"several rules carry the tags of {self._whose}: {arns}. {fix}")
        for load_balancer_arn, rule, tags in candidates:
            actions, arn = _actions(rule), rule.get("RuleArn", "")
            groups = {tags.get(COLOR_KEY): one for one, tags in self._tags(_weights(actions)).items()}
            groups.pop(None, None)
            if set(groups) != set(COLORS):
                raise RolloutError(
                    f"rule {arn} forwards to {sorted(str(color) for color in groups)}, not to blue and green; run "
                    "`pulumi up` to restore it."
                )
            found = _Found(
                load_balancer_arn=load_balancer_arn,
                rule_arn=arn,
                target_groups={color: groups[color] for color in COLORS},
                actions=actions,
                cohorts=cohorts,
            )
            return found, tags
        where = f"on listener {self._listener_arn}" if self._listener_arn else "in this account and region"
        raise NotDeployedError(
            f"no load balancer rule carries the tags of {self._whose} {where}. "
            "Check AWS_PROFILE and AWS_REGION; deploy a new stack with `pulumi up` first."
        )

    def _places(self) -> Iterator[tuple[str, Iterable[str]]]:
        """Yield each load balancer with the listeners that may have our rules."""
        if self._listener_arn is not None:
            yield load_balancer_of(self._listener_arn), [self._listener_arn]
            return
        pages = self._client.get_paginator("describe_load_balancers").paginate()
        arns = [one.get("LoadBalancerArn", "") for page in pages for one in page["LoadBalancers"]]
        for arn in self._marked(arns, "load-balancer"):
            yield arn, self._listeners(arn)

    def _listeners(self, load_balancer_arn: str) -> Iterator[str]:
        pages = self._client.get_paginator("describe_listeners").paginate(LoadBalancerArn=load_balancer_arn)
        for page in pages:
            yield from (listener.get("ListenerArn", "") for listener in page["Listeners"])

    def _rules(self, listener_arn: str) -> Iterator[RuleTypeDef]:
        for page in self._client.get_paginator("describe_rules").paginate(ListenerArn=listener_arn):
            yield from page["Rules"]

    @property
    def _whose(self) -> str:
        service = f"service {self._service!r}" if self._service else "any service"
        return f"{service} of stack {self._stack!r}"

    def _marked(self, arns: Iterable[str], role: Role) -> dict[str, dict[str, str]]:
        """Return the resources that have our tags for this role, with all their tags."""
        return {arn: tags for arn, tags in self._ours(arns).items() if tags.get(ROLE_KEY) == role}

    def _ours(self, arns: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return the resources that have our tags, with all their tags."""
        wanted = {STACK_KEY: self._stack} | ({SERVICE_KEY: self._service} if self._service else {})
        return {arn: tags for arn, tags in self._tags(arns).items() if wanted.items() <= tags.items()}

    def _tags(self, arns: Iterable[str]) -> dict[str, dict[str, str]]:
        every = list(arns)
        tags: dict[str, dict[str, str]] = {}
        for start in range(0, len(every), TAGS_PER_CALL):
            described = self._client.describe_tags(ResourceArns=every[start : start + TAGS_PER_CALL])
            for one in described["TagDescriptions"]:
                tags[one.get("ResourceArn", "")] = {tag["Key"]: tag.get("Value", "") for tag in one.get("Tags", [])}
        return tags


@contextmanager
def _marking_transient_errors() -> Generator[None]:
    """Raise UnavailableError for errors that may pass; let all others through."""
    try:
        yield
    except RolloutError:
        raise
    except Exception as error:
        if is_passing(error):
            raise UnavailableError(describe_error(error)) from error
        raise


def _listener_of(rule_arn: str) -> str:
    """Return a rule's listener: its ARN has another type (listener/… for listener-rule/…) and not the rule's id."""
    return rule_arn.replace(":listener-rule/", ":listener/", 1).rpartition("/")[0]


def _priority(rule: RuleTypeDef) -> float:
    """Return a rule's priority. The default rule comes last."""
    priority = rule.get("Priority", "default")
    return float(priority) if priority.isdigit() else math.inf


def _actions(rule: RuleTypeDef) -> list[ActionTypeDef]:
    return cast("list[ActionTypeDef]", rule.get("Actions", []))


def _weights(actions: list[ActionTypeDef]) -> dict[str, int]:
    return {
        group.get("TargetGroupArn", ""): group.get("Weight", 0)
        for action in actions
        for group in action.get("ForwardConfig", {}).get("TargetGroups", [])
    }


def _with_weights(actions: list[ActionTypeDef], weights: Mapping[str, int]) -> list[ActionTypeDef]:
    """Return a copy of the actions with new weights. Everything else stays, such as the stickiness setting."""
    changed: list[ActionTypeDef] = []
    for action in actions:
        forward = action.get("ForwardConfig")
        if forward is None:
            changed.append(action)
            continue
        # A TargetGroupArn beside a ForwardConfig would have to name the same single group, so it is removed.
        rest = {key: value for key, value in action.items() if key != "TargetGroupArn"}
        groups = [
            {"TargetGroupArn": arn, "Weight": weights[arn]}
            for arn in (group.get("TargetGroupArn", "") for group in forward.get("TargetGroups", []))
        ]
        changed.append(cast("ActionTypeDef", {**rest, "ForwardConfig": {**forward, "TargetGroups": groups}}))
    return changed
