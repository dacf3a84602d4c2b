"""Traffic: at any weights, every request gets an answer, and the weights determine where requests go."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

from pulumi_policy import Severity
from pydantic import Field

from components.config.reading import route_secret
from components.domain.evidence import MOST_PERCENT_WITHOUT, EvidenceTag, needs_evidence
from components.domain.naming import (
    CANDIDATE_ROUTE_HEADER,
    COHORT_KEY,
    COHORTS_KEY,
    COLORS,
    EVIDENCE_KEY,
    PROJECT,
    Color,
    other_color,
)
from components.domain.pods.drain_chain import EXIT_MARGIN_SECONDS
from policies.bundles import BundleError, find_bundle
from policies.pods import Pods, is_vllm
from policies.policy import Finding, Options, resource_policy, service_policy, wrong
from policies.resources import (
    DEPLOYMENT,
    LISTENER_RULE,
    LOAD_BALANCER,
    TARGET_GROUP,
    Resource,
    is_on,
    items,
    table,
    tables,
    whole,
)
from policies.router import candidate_header, candidate_routes, has_header, is_application, target_group_color
from policies.rule import is_cohort_rule, is_weighted_rule, shares, splits_traffic, traffic
from policies.service import Service

# The defaults of AWS and vLLM.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html
# https://github.com/vllm-project/vllm/pull/18472
_DEREGISTRATION_DELAY_SECONDS: Final = 300
_IDLE_TIMEOUT_SECONDS: Final = 60
_KEEP_ALIVE_SECONDS: Final = 5

_KEEP_ALIVE: Final = "VLLM_HTTP_TIMEOUT_KEEP_ALIVE"


@resource_policy(
    "traffic-weights-add-up",
    LISTENER_RULE,
    description="The weights of a weighted rule must be whole percents that add up to 100.",
    fix="Set green_weight to a whole number from 0 to 100; blue gets the rest.",
    severity=Severity.CRITICAL,
)
def weights_add_up(rule: Resource, _: Options) -> Iterator[str]:
    """An ALB accepts weights from 0 to 999, but gates, guards and people read them as percents."""
    if not is_weighted_rule(rule):
        return
    fix = "Set both from one green_weight: green gets it, blue the rest."
    found = shares(rule)
    weights = [whole(share.weight) for share in found]
    for share, weight in zip(found, weights, strict=True):
        if weight is None or not 0 <= weight <= 100:
            yield wrong(rule, f"the weight of {share.color}", share.weight, "a whole number from 0 to 100", fix)
    total = sum(weight or 0 for weight in weights)
    if None not in weights and total != 100:
        yield wrong(rule, "the sum of the weights", total, "100", fix)


@resource_policy(
    "traffic-both-target-groups",
    LISTENER_RULE,
    description="A weighted rule must forward to both colours' target groups, also at weight 0.",
    fix="Put both target groups into the forward action, the idle one at weight 0.",
    severity=Severity.CRITICAL,
)
def both_target_groups(rule: Resource, _: Options) -> Iterator[str]:
    """A target group in no rule is not health-checked, so a rollback to it would go to unchecked targets."""
    if not is_weighted_rule(rule):
        return
    colors = [share.color for share in shares(rule)]
    if sorted(filter(None, colors)) != sorted(COLORS) or len(colors) != len(COLORS):
        fix = "Name each target group <service>-<color>, and forward to each of them once."
        yield wrong(
            rule, "the target groups of the forward action", [c or "unknown" for c in colors], "blue, green", fix
        )


@resource_policy(
    "traffic-weights-not-ignored",
    LISTENER_RULE,
    description="No option of a weighted rule, or of a cohort's, must make Pulumi ignore its weights or the tags that "
    "scripts read.",
    fix="Remove the path from ignore_changes, and change the weights in the stack's config.",
    severity=Severity.CRITICAL,
)
def weights_not_ignored(rule: Resource, _: Options) -> Iterator[str]:
    """If Pulumi ignores the weights, a rollback by config changes nothing but reports success."""
    ignored = [path for path in rule.ignore_changes if _covers_traffic(path)]
    if ignored and splits_traffic(rule):
        fix = "Remove it, and move traffic by green_weight, so that the weights and their tags have one owner."
        yield wrong(rule, "ignore_changes", ignored, f"without actions, weights and {PROJECT} tags", fix)


@resource_policy(
    "traffic-weight-needs-release",
    LISTENER_RULE,
    description="A colour without running replicas must have weight 0 and no cohort, except on a new stack where no "
    "colour runs.",
    fix="Set green_weight for the colour that runs, or give the other colour a release and wait until it is ready.",
    severity=Severity.CRITICAL,
)
def weight_needs_release(rule: Resource, _: Options) -> Iterator[str]:
    """An empty target group answers 503 to every request that the weights send there."""
    found = traffic(rule) if is_weighted_rule(rule) else None
    if found is None:
        return
    for color in COLORS:
        state = found.colors[color]
        is_new = state.release_id is None and not found.colors[other_color(color)].replicas
        if state.replicas or is_new:
            continue
        if cohorts := found.cohorts_on(color):
            fix = "Set cohorts_on_candidate so that they go to the colour that runs, or start this one again."
            yield wrong(rule, f"the cohorts on {color}, which is {state},", cohorts, "none", fix)
        if found.weights[color]:
            fix = f"Set green_weight to {0 if color == 'green' else 100} first, or start {color} again."
            yield wrong(rule, f"the weight of {color}, which is {state}", found.weights[color], "0", fix)


class EvidenceOptions(Options):
    """Where evidence bundles lie."""

    bundles: Annotated[
        tuple[str, ...],
        Field(
            description="Folders with evidence bundles, the JSON of rollouts' reports. Empty: the policy is off. "
            "Relative ones begin in the folder of Pulumi.yaml, if the pack is in there; else name absolute ones."
        ),
    ] = ()


@resource_policy(
    "traffic-weight-needs-evidence",
    LISTENER_RULE,
    description=f"Outside a rollout, more than {MOST_PERCENT_WITHOUT} % or a cohort on the candidate must have an "
    "evidence bundle: of its release, unchanged, with checks that passed, and named by its digest in the rule's tag.",
    fix="Set evidence to the bundle of a rollout of this release, or roll out with scripts.ramp.",
    severity=Severity.CRITICAL,
    options=EvidenceOptions,
)
def weight_needs_evidence(rule: Resource, options: EvidenceOptions) -> Iterator[str]:
    """A plain update moves users to a release that no check has tried, and no gate watches it."""
    found = traffic(rule) if options.bundles and is_weighted_rule(rule) else None
    if found is None or not needs_evidence(found):
        return
    idle = found.idle_color
    has = " and ".join((f"{found.weights[idle]} %", *found.cohorts_on(idle)))
    release_id = found.colors[idle].release_id
    tag = EvidenceTag.parse(found.evidence)
    whose = f"of release {release_id}, which has {has} on {idle}"
    field = f"the tag {EVIDENCE_KEY}"
    if tag is None:
        fix = "Set evidence to the bundle of its rollout, or lower the weight to 1 %."
        yield wrong(rule, field, found.evidence, f'"<release> sha256:<digest>" of the bundle {whose}', fix)
    elif tag.release_id != release_id:
        fix = "Set evidence to the bundle of that release's rollout."
        yield wrong(rule, field, f"of release {tag.release_id}", whose, fix)
    else:
        try:
            find_bundle(tag, [Path(folder) for folder in options.bundles])
        except BundleError as error:
            yield wrong(rule, field, f"sha256:{tag.digest[:12]}…", error.must, error.fix)


@resource_policy(
    "traffic-stickiness-off",
    LISTENER_RULE,
    TARGET_GROUP,
    description="Stickiness must be off on the weighted rule, on the rules of cohorts, and on both target groups.",
    fix="Set stickiness to enabled: false.",
)
def stickiness_off(resource: Resource, _: Options) -> Iterator[str]:
    """A sticky cookie overrides the weights: neither a ramp nor a rollback moves a client that has one."""
    fix = "Set it to false: cookies override the weights, and a rollback would have to wait until they expire."
    if target_group_color(resource):
        # In a target group, a stickiness block without `enabled` turns stickiness on.
        block = table(resource.get("stickiness"))
        if block and is_on(block.get("enabled"), by_default=True):
            yield wrong(resource, "stickiness.enabled", True, "false", fix)
    elif splits_traffic(resource):
        forwards = (table(action.get("forward")) for action in tables(resource.get("actions")))
        if any(is_on(table(forward.get("stickiness")).get("enabled")) for forward in forwards):
            yield wrong(resource, "actions.forward.stickiness.enabled", True, "false", fix)


@service_policy(
    "traffic-cohort-goes-to-one-colour",
    description="A cohort's rule must send all of its requests to one colour, that in the weighted rule's tag, by a "
    "header, on the weighted rule's listener and before it.",
    fix="Let the program declare the rules of rollout.cohorts, and move a cohort by cohorts_on_candidate.",
    severity=Severity.CRITICAL,
)
def cohort_goes_to_one_color(service: Service, _: Options) -> Iterator[Finding]:
    """A tenant of a cohort must not flip between releases. Rollbacks and guards read where it is from the tag."""
    weighted, traffic = service.rule, service.traffic
    if weighted is None or traffic is None:
        return
    rules = {str(rule.marks.get(COHORT_KEY)): rule for rule in service.of(LISTENER_RULE) if is_cohort_rule(rule)}
    for cohort in traffic.cohorts.keys() - rules.keys():
        fix = "Declare its rule, or take it out of the tag."
        missing = wrong(weighted, f"the rule of the cohort {cohort}", None, "a rule before this one", fix)
        yield Finding(message=missing, resource=weighted)
    for cohort, rule in rules.items():
        for message in _cohort_violations(rule, weighted, traffic.cohorts.get(cohort)):
            yield Finding(message=message, resource=rule)


def _cohort_violations(rule: Resource, weighted: Resource, tagged: Color | None) -> Iterator[str]:
    """Yield what is wrong with a cohort's rule, which the weighted rule's tag says leads to one colour."""
    priority, limit = whole(rule.get("priority")), whole(weighted.get("priority"))
    if priority is None or limit is None or priority >= limit:
        fix = "The lower number comes first; the weighted rule would take the cohort's requests."
        yield wrong(rule, "priority", priority, f"less than {limit}, that of {weighted.name}", fix)
    if rule.get("listenerArn") != weighted.get("listenerArn"):
        yield wrong(
            rule, "listenerArn", rule.get("listenerArn"), f"that of {weighted.name}", "Put both on one listener."
        )
    if not has_header(rule):
        fix = "Without it, the rule takes everybody's requests."
        yield wrong(rule, "the condition on a header", None, "set", fix)
    goes_to = [share.color or "unknown" for share in shares(rule) if share.weight != 0]
    if goes_to != [tagged]:
        fix = "Give that colour's target group the weight 100, and the other one 0; move it by cohorts_on_candidate."
        yield wrong(rule, "what it forwards to", goes_to, tagged or f"in the tag {COHORTS_KEY}", fix)


@service_policy(
    "traffic-candidate-route-first",
    description="Each colour must have a candidate route with a secret, on the weighted rule's listener and before it.",
    fix=f"Add a rule per colour for the header {CANDIDATE_ROUTE_HEADER}, with a lower priority number than the "
    "weighted rule's.",
)
def candidate_route_first(service: Service, _: Options) -> Iterator[Finding]:
    """Smoke tests and evaluations reach a candidate by its route. Behind the weights, they would test any colour."""
    weighted = service.rule
    if weighted is None:
        return
    routes = {color: list(candidate_routes(service, color)) for color in COLORS}
    for color in COLORS:
        if not routes[color]:
            fix = f"Forward requests with the header {CANDIDATE_ROUTE_HEADER} and a separate secret value to {color}."
            missing = wrong(weighted, f"the candidate route of {color}", None, "a rule before this one", fix)
            yield Finding(message=missing, resource=weighted)
        for route in routes[color]:
            for message in _route_violations(route, weighted, color):
                yield Finding(message=message, resource=route)
    of_blue = {value for route in routes["blue"] for value in _values(route)}
    for route in routes["green"]:
        if of_blue.intersection(_values(route)):
            fix = "Give each colour a different value: otherwise the first rule takes the requests for both."
            message = wrong(route, "its secret", "that of blue", "different from that of blue", fix)
            yield Finding(message=message, resource=route)


@service_policy(
    "traffic-deregistration-delay-covers-drain",
    description="A target group's deregistration delay must cover its pods' preStop sleep and drain.",
    fix="Let the program derive deregistration_delay, or raise it.",
)
def deregistration_delay_covers_drain(service: Service, _: Options) -> Iterator[Finding]:
    """After the delay, the load balancer cuts off running requests, even if the pod would still finish them."""
    for target_group in service.of(TARGET_GROUP):
        color = target_group_color(target_group)
        given = _whole(target_group.get("deregistrationDelay"), _DEREGISTRATION_DELAY_SECONDS)
        for pods in _pods(service, color) if color else ():
            needed = (pods.pre_stop_seconds or 0) + (pods.shutdown_timeout_seconds or 0)
            if given < needed:
                must = f"at least {needed}, the preStop sleep and --shutdown-timeout of {pods.deployment.name}"
                fix = "Raise it, or lower max_stream_seconds."
                message = wrong(target_group, "deregistrationDelay", given, must, fix)
                yield Finding(message=message, resource=target_group)


@service_policy(
    "traffic-idle-timeout-outlasts-streams",
    description="The load balancer's idle timeout must be at least 10 s longer than the longest request that pods let "
    "finish.",
    fix="Let the program derive idle_timeout from max_stream_seconds, or raise it.",
)
def idle_timeout_outlasts_streams(service: Service, _: Options) -> Iterator[Finding]:
    """A non-streaming request sends nothing until it ends, so the load balancer ends it after the idle timeout."""
    needed, whose = max(
        ((_needed_idle_timeout(pods), pods.deployment.name) for pods in _pods(service)), default=(0, "")
    )
    for balancer in _balancers(service):
        given = _idle_timeout(balancer)
        if given < needed:
            must = f"at least {needed}, {EXIT_MARGIN_SECONDS} more than --shutdown-timeout of {whose}"
            fix = "Raise it, or lower max_stream_seconds."
            yield Finding(message=wrong(balancer, "idleTimeout", given, must, fix), resource=balancer)


@service_policy(
    "traffic-keep-alive-outlasts-idle-timeout",
    description="Pods must keep idle connections open for longer than the load balancer does.",
    fix=f"Set {_KEEP_ALIVE} to more than the load balancer's idle timeout.",
)
def keep_alive_outlasts_idle_timeout(service: Service, _: Options) -> Iterator[Finding]:
    """A pod may close a connection just as the next request arrives on it. Then the load balancer answers 502."""
    timeouts = [(_idle_timeout(balancer), balancer.name) for balancer in _balancers(service)]
    for pods in _pods(service):
        given = _keep_alive(pods)
        # The stack does not contain a shared load balancer. Its idle timeout must at least outlast the streams.
        idle, whose = max(timeouts, default=(_needed_idle_timeout(pods), "any load balancer for its requests"))
        if given is not None and given <= idle:
            must = f"more than {idle}, the idle timeout of {whose}"
            fix = "Raise it; if the service joins a listener, raise listener.idle_timeout_seconds."
            yield Finding(message=wrong(pods.deployment, _KEEP_ALIVE, given, must, fix), resource=pods.deployment)


class HealthOptions(Options):
    """Which paths show that an engine is alive."""

    paths: Annotated[
        tuple[str, ...],
        Field(min_length=1, description="Paths that answer 200 only while the engine is alive."),
    ] = ("/health", "/ping")


@resource_policy(
    "traffic-health-checked",
    TARGET_GROUP,
    description="A colour's target group must check a path that answers 200 only while the engine is alive.",
    fix="Check /health by HTTP, on the port that gets the requests, and accept only 200.",
    options=HealthOptions,
)
def health_checked(target_group: Resource, options: HealthOptions) -> Iterator[str]:
    """An open socket, or an answer on another path, does not show a dead engine, so requests would go to dead pods."""
    if not target_group_color(target_group):
        return
    check = table(target_group.get("healthCheck"))
    fix = "Check /health by HTTP on traffic-port, with the matcher 200."
    if not is_on(check.get("enabled"), by_default=True):
        yield wrong(target_group, "healthCheck.enabled", False, "true", fix)
    if check.get("protocol") not in (None, "HTTP", "HTTPS"):
        yield wrong(target_group, "healthCheck.protocol", check.get("protocol"), "HTTP", fix)
    elif (path := check.get("path") or "/") not in options.paths:
        yield wrong(target_group, "healthCheck.path", path, " or ".join(options.paths), fix)
    if not _SUCCESS.fullmatch(matcher := str(check.get("matcher") or "200")):
        yield wrong(target_group, "healthCheck.matcher", matcher, "200", fix)
    port = check.get("port") or "traffic-port"
    if port != "traffic-port" and whole(port) != whole(target_group.get("port")):
        yield wrong(target_group, "healthCheck.port", port, "traffic-port, where the requests go", fix)


# Status codes, and ranges of status codes, that all mean success.
_SUCCESS: Final = re.compile(r"2[0-9]{2}([-,]2[0-9]{2})*")

# Paths of the weights and tags in a rule, as in Pulumi's options: "*" stands for any key or position.
_TRAFFIC: Final = (("actions", "*", "forward", "targetGroups", "*", "*"), ("tags", f"{PROJECT}/*"))
_STEP: Final = re.compile(r'\["(?P<quoted>[^"]*)"\]|\[(?P<position>[^\]]*)\]|(?P<key>[^.\[\]]+)')


def _covers_traffic(path: str) -> bool:
    """Return whether a path covers a weight, a target group or a traffic tag, or a part of one."""
    steps = [found["quoted"] or found["position"] or found["key"] for found in _STEP.finditer(path)]
    return any(all(map(_is_same_step, steps, wanted)) for wanted in _TRAFFIC)


def _is_same_step(step: str, wanted: str) -> bool:
    return "*" in (step, wanted) or step == wanted or (wanted.endswith("/*") and step.startswith(wanted[:-1]))


def _route_violations(route: Resource, weighted: Resource, color: Color) -> Iterator[str]:
    """Yield what is wrong with a candidate route, without showing its secret."""
    priority, limit = whole(route.get("priority")), whole(weighted.get("priority"))
    if priority is None or limit is None or priority >= limit:
        fix = "The lower number comes first; the weighted rule must have a priority too."
        shown_limit = f"less than {limit}, that of {weighted.name}" if limit else f"set, as that of {weighted.name}"
        yield wrong(route, "priority", priority, shown_limit, fix)
    header = candidate_header(route)
    if header is None:
        fix = "Without it, the rule takes requests that the weighted rule should split."
        yield wrong(route, f"the condition on {CANDIDATE_ROUTE_HEADER}", None, "set", fix)
    elif not (values := _values(route)) or not all(_is_secret(value, color) for value in values):
        fix = f"Set a new one: {route_secret.COMMAND}"
        must = "16 to 100 letters, digits, dashes or underscores"
        yield wrong(route, "its secret", "one that can be guessed", must, fix)
    if route.get("listenerArn") != weighted.get("listenerArn"):
        fix = "Put both on one listener, or the route cannot bypass the weights."
        yield wrong(route, "listenerArn", route.get("listenerArn"), f"that of {weighted.name}", fix)
    if [share.color for share in shares(route)] != [color]:
        leads = [share.color or "unknown" for share in shares(route)]
        yield wrong(route, "what it forwards to", leads, color, "Forward to this colour's target group alone.")


def _is_secret(value: str, color: Color) -> bool:
    """Return whether a header value, without its prefix for the colour, cannot be guessed."""
    return route_secret.value_violation(value.removeprefix(f"{color}-")) is None


def _values(route: Resource) -> Sequence[str]:
    """Return the header values of a candidate route, without regular expressions.

    The values are in lower case, because load balancers ignore case.
    """
    return [str(value).lower() for value in items((candidate_header(route) or {}).get("values"))]


def _pods(service: Service, color: Color | None = None) -> Iterator[Pods]:
    return (Pods(one) for one in service.of(DEPLOYMENT, color) if is_vllm(one))


def _balancers(service: Service) -> Iterator[Resource]:
    return filter(is_application, service.of(LOAD_BALANCER))


def _idle_timeout(balancer: Resource) -> int:
    return _whole(balancer.get("idleTimeout"), _IDLE_TIMEOUT_SECONDS)


def _needed_idle_timeout(pods: Pods) -> int:
    return (pods.shutdown_timeout_seconds or 0) + EXIT_MARGIN_SECONDS


def _keep_alive(pods: Pods) -> int | None:
    """Return how long pods keep an idle connection open, in seconds; None when the value comes from elsewhere."""
    variable = next((one for one in pods.variables() if one.get("name") == _KEEP_ALIVE), {})
    return None if "valueFrom" in variable else _whole(variable.get("value"), _KEEP_ALIVE_SECONDS)


def _whole(value: object, default: int) -> int:
    """Return a whole number, the default for None, and 0 for anything else."""
    return default if value is None else whole(value) or 0
