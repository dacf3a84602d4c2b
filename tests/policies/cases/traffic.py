"""Cases: traffic."""

from tests.policies.bundles import CHANGED, FAILED, GATE_FAILED, OTHER, PASSED, bundles, tag
from tests.policies.case import Safe, Unsafe
from tests.policies.edits import GONE
from tests.policies.releases import GREEN_ID
from tests.policies.stacks import SHARED, Declared

_FORWARD = "actions[0].forward"
_GROUPS = f"{_FORWARD}.targetGroups"
_SHUTDOWN = "spec.template.spec.containers[0].args[--shutdown-timeout]"
_PRE_STOP = "spec.template.spec.containers[0].lifecycle.preStop.sleep.seconds"
_GRACE = "spec.template.spec.terminationGracePeriodSeconds"
_KEEP_ALIVE = "spec.template.spec.containers[0].env[name=VLLM_HTTP_TIMEOUT_KEEP_ALIVE].value"
_HEADER = "conditions[0].httpHeader"
_GREEN_ARN = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/chat-green-0a1b2c3/0123456789abcdef"
_BLUE_ARN = _GREEN_ARN.replace("green", "blue")
_GREEN_SECRET = "green-s3cret-part-of-the-route"

_WEIGHTS_ADD_UP = (
    Unsafe(
        policy="traffic-weights-add-up",
        why="green_weight was edited for one colour alone: shares are no percents any more",
        base="ramp",
        edits={"ListenerRule chat": {f"{_GROUPS}[1].weight": 26}},
        says="chat: the sum of the weights is 101, but must be 100.",
    ),
    Unsafe(
        policy="traffic-weights-add-up",
        why="the weights are shares of a thousand",
        base="promoted",
        edits={"ListenerRule chat": {f"{_GROUPS}[0].weight": 1, f"{_GROUPS}[1].weight": 999}},
        says="the weight of green is 999, but must be a whole number from 0 to 100",
    ),
    Unsafe(
        policy="traffic-weights-add-up",
        why="a weight below nothing, made up for by the other one",
        base="promoted",
        edits={"ListenerRule chat": {f"{_GROUPS}[0].weight": -1, f"{_GROUPS}[1].weight": 101}},
        says="the weight of blue is -1",
    ),
    Unsafe(
        policy="traffic-weights-add-up",
        why="a weight is left out, which AWS takes for 1",
        base="promoted",
        edits={"ListenerRule chat": {f"{_GROUPS}[0].weight": GONE}},
        says="the weight of blue is not set",
    ),
)

_BOTH_TARGET_GROUPS = (
    Unsafe(
        policy="traffic-both-target-groups",
        why="green was removed from the rule, so its health is not checked before the next rollout",
        base="promoted",
        edits={"ListenerRule chat": {f"{_GROUPS}[0]": GONE}},
        says="the target groups of the forward action is green, but must be blue, green",
    ),
    Unsafe(
        policy="traffic-both-target-groups",
        why="all goes to one target group by its ARN alone",
        base="promoted",
        edits={"ListenerRule chat": {"actions": [{"type": "forward", "targetGroupArn": _GREEN_ARN}]}},
        says="the target groups of the forward action is green, but must be blue, green",
    ),
    Unsafe(
        policy="traffic-both-target-groups",
        why="one colour stands there twice: half of what it gets is not what its weight says",
        base="ramp",
        edits={
            "ListenerRule chat": {
                f"{_GROUPS}[1].weight": 20,
                f"{_GROUPS}[2]": {"arn": _GREEN_ARN, "weight": 5},
            }
        },
        says="is blue, green, green",
    ),
)

_WEIGHTS_NOT_IGNORED = (
    Unsafe(
        policy="traffic-weights-not-ignored",
        why="weights are changed by hand, and Pulumi ignores them",
        base="ramp",
        edits={"ListenerRule chat": {"#ignore_changes": ("actions[*].forward.targetGroups[*].weight",)}},
        says="chat: ignore_changes is actions[*].forward.targetGroups[*].weight",
    ),
    Unsafe(
        policy="traffic-weights-not-ignored",
        why="the actions are ignored, the weights with them",
        base="ramp",
        edits={"ListenerRule chat": {"#ignore_changes": ("priority", "actions")}},
        says="chat: ignore_changes is actions, but",
    ),
    Unsafe(
        policy="traffic-weights-not-ignored",
        why="tags are somebody else's business, the serial among them: a stale config passes",
        base="promoted",
        edits={"ListenerRule chat": {"#ignore_changes": ("tags",)}},
    ),
    Unsafe(
        policy="traffic-weights-not-ignored",
        why="one of our tags is ignored",
        base="promoted",
        edits={"ListenerRule chat": {"#ignore_changes": ('tags["vllm-blue-green/keep-until"]',)}},
    ),
    Unsafe(
        policy="traffic-weights-not-ignored",
        why="everything is ignored",
        base="promoted",
        edits={"ListenerRule chat": {"#ignore_changes": ("*",)}},
    ),
)

_WEIGHT_NEEDS_RELEASE = (
    Unsafe(
        policy="traffic-weight-needs-release",
        why="the colour with all requests is parked, while the other one runs without any",
        base="promoted",
        edits={
            "ListenerRule chat": {'tags["vllm-blue-green/green"]': f"{GREEN_ID} parked"},
            "Deployment chat-green": {"spec.replicas": 0},
        },
        says=f"the weight of green, which is {GREEN_ID} parked is 100, but must be 0. Set green_weight to 0 first",
    ),
    Unsafe(
        policy="traffic-weight-needs-release",
        why="all requests go to a colour that never had a release, while the other one runs",
        base="first",
        edits={
            "ListenerRule chat": {
                f"{_GROUPS}[0].weight": 0,
                f"{_GROUPS}[1].weight": 100,
                'tags["vllm-blue-green/active-color"]': "green",
            }
        },
        says="the weight of green, which is unused is 100",
    ),
    Unsafe(
        policy="traffic-weight-needs-release",
        why="both colours are parked while clients are still sent to one: a teardown that forgot them",
        base="reaped",
        edits={
            "ListenerRule chat": {'tags["vllm-blue-green/green"]': f"{GREEN_ID} parked"},
            "Deployment chat-green": {"spec.replicas": 0},
        },
        says="the weight of green",
    ),
)

_EVIDENCE = 'tags["vllm-blue-green/evidence"]'
_ROLLING_OUT = 'tags["vllm-blue-green/rolling-out"]'
_ON = {"traffic-weight-needs-evidence": {"bundles": [str(bundles())]}}
_BY_HAND = {_ROLLING_OUT: "false"}

_WEIGHT_NEEDS_EVIDENCE = (
    Unsafe(
        policy="traffic-weight-needs-evidence",
        why="a quarter of the users go to a release that no rollout has tried",
        base="ramp",
        edits={"ListenerRule chat": _BY_HAND},
        config=_ON,
        says="chat: the tag vllm-blue-green/evidence is not set, but must be "
        f'"<release> sha256:<digest>" of the bundle of release {GREEN_ID}, which has 25 % on green. Set evidence to',
    ),
    Unsafe(
        policy="traffic-weight-needs-evidence",
        why="two percent are more than a drill",
        base="ramp",
        edits={"ListenerRule chat": {**_BY_HAND, f"{_GROUPS}[0].weight": 98, f"{_GROUPS}[1].weight": 2}},
        config=_ON,
        says="which has 2 % on green",
    ),
    Unsafe(
        policy="traffic-weight-needs-evidence",
        why="an approval in words",
        base="ramp",
        edits={"ListenerRule chat": {**_BY_HAND, _EVIDENCE: "tested by hand"}},
        config=_ON,
        says="the tag vllm-blue-green/evidence is tested by hand",
    ),
    Unsafe(
        policy="traffic-weight-needs-evidence",
        why="the bundle is of the release before",
        base="ramp",
        edits={"ListenerRule chat": {**_BY_HAND, _EVIDENCE: tag(OTHER)}},
        config=_ON,
        says=f"is of release 0a1b2c3d4e5f, but must be of release {GREEN_ID}",
    ),
    Unsafe(
        policy="traffic-weight-needs-evidence",
        why="a tag by hand: this release, and the digest of another one's bundle",
        base="ramp",
        edits={"ListenerRule chat": {**_BY_HAND, _EVIDENCE: tag(OTHER).replace("0a1b2c3d4e5f", GREEN_ID)}},
        config=_ON,
        says=f"but must be of a bundle of release {GREEN_ID}, but other.json is of 0a1b2c3d4e5f.",
    ),
    Unsafe(
        policy="traffic-weight-needs-evidence",
        why="a digest that no bundle has",
        base="ramp",
        edits={"ListenerRule chat": {**_BY_HAND, _EVIDENCE: f"{GREEN_ID} sha256:{'0' * 64}"}},
        config=_ON,
        says="but no file there has it. Copy the bundle there, or set evidence to one that is there.",
    ),
    Unsafe(
        policy="traffic-weight-needs-evidence",
        why="somebody changed a verdict in the bundle",
        base="ramp",
        edits={"ListenerRule chat": {**_BY_HAND, _EVIDENCE: tag(CHANGED)}},
        config=_ON,
        says="changed.json was changed. Restore it; see python -m scripts.explain --verify",
    ),
    Unsafe(
        policy="traffic-weight-needs-evidence",
        why="the evaluation failed, and another check was skipped",
        base="ramp",
        edits={"ListenerRule chat": {**_BY_HAND, _EVIDENCE: tag(FAILED)}},
        config=_ON,
        says="but must be of a bundle whose checks passed, but in failed.json: eval: fail, shadow: skipped.",
    ),
    Unsafe(
        policy="traffic-weight-needs-evidence",
        why="the checks passed, but users saw errors",
        base="ramp",
        edits={"ListenerRule chat": {**_BY_HAND, _EVIDENCE: tag(GATE_FAILED)}},
        config=_ON,
        says="in gate_failed.json: gate error_rate: fail.",
    ),
    Unsafe(
        policy="traffic-weight-needs-evidence",
        why="the folder of the bundles was not checked out",
        base="ramp",
        edits={"ListenerRule chat": {**_BY_HAND, _EVIDENCE: tag(PASSED)}},
        config={"traffic-weight-needs-evidence": {"bundles": ["/no/such/folder"]}},
        says="that of a bundle in /no/such/folder, which is not a folder. Create it, or correct the option bundles",
    ),
)

_STICKINESS_OFF = (
    Unsafe(
        policy="traffic-stickiness-off",
        why="clients keep to their target group: a rollback moves none of them",
        base="ramp",
        edits={"ListenerRule chat": {f"{_FORWARD}.stickiness.enabled": True}},
        says="chat: actions.forward.stickiness.enabled is true, but must be false",
    ),
    Unsafe(
        policy="traffic-stickiness-off",
        why="clients keep to a pod of green",
        base="ramp",
        edits={"TargetGroup chat-green": {"stickiness.enabled": True}},
        says="chat-green: stickiness.enabled is true, but must be false",
    ),
    Unsafe(
        policy="traffic-stickiness-off",
        why="a block of stickiness that does not say whether it is on is on",
        base="promoted",
        edits={"TargetGroup chat-blue": {"stickiness.enabled": GONE}},
        says="chat-blue: stickiness.enabled is true",
    ),
    Unsafe(
        policy="traffic-stickiness-off",
        why="a hand-written target group without tags, whose name says its colour",
        base="promoted",
        added=(
            Declared(
                type="aws:lb/targetGroup:TargetGroup",
                name="code",
                props={
                    "name": "code-green",
                    "stickiness": {"type": "lb_cookie", "enabled": "true"},
                    "healthCheck": {"path": "/health"},
                },
            ),
        ),
        says="code: stickiness.enabled is true",
    ),
)

_CANDIDATE_ROUTE_FIRST = (
    Unsafe(
        policy="traffic-candidate-route-first",
        why="only the weights lead to green, so no check can reach it before users do",
        base="ramp",
        edits={"ListenerRule chat-green-candidate": GONE},
        says="chat: the candidate route of green is not set, but must be a rule before this one",
    ),
    Unsafe(
        policy="traffic-candidate-route-first",
        why="the weighted rule comes first and takes what the route is for",
        base="ramp",
        edits={"ListenerRule chat-green-candidate": {"priority": 101}},
        says="chat-green-candidate: priority is 101, but must be less than 100, that of chat",
    ),
    Unsafe(
        policy="traffic-candidate-route-first",
        why="the same priority, which AWS refuses only once the update is half done",
        base="ramp",
        edits={"ListenerRule chat-blue-candidate": {"priority": 100}},
        says="must be less than 100",
    ),
    Unsafe(
        policy="traffic-candidate-route-first",
        why="AWS puts a rule without a priority last",
        base="ramp",
        edits={"ListenerRule chat-blue-candidate": {"priority": GONE}},
        says="chat-blue-candidate: priority is not set",
    ),
    Unsafe(
        policy="traffic-candidate-route-first",
        why="a weighted rule without a priority comes wherever it happens to be made",
        base="ramp",
        edits={"ListenerRule chat": {"priority": GONE}},
        says="must be set, as that of chat",
    ),
    Unsafe(
        policy="traffic-candidate-route-first",
        why="a route on another listener leads past nothing",
        base="joined",
        edits={"ListenerRule code-green-candidate": {"listenerArn": "arn:other"}},
        says="code-green-candidate: listenerArn is arn:other, but must be that of code",
    ),
    Unsafe(
        policy="traffic-candidate-route-first",
        why="a wildcard sends every client with the header to the candidate",
        base="ramp",
        edits={"ListenerRule chat-green-candidate": {f"{_HEADER}.values": ["*"]}},
        says="its secret is one that can be guessed",
    ),
    Unsafe(
        policy="traffic-candidate-route-first",
        why="the colour's name alone is no secret",
        base="ramp",
        edits={"ListenerRule chat-blue-candidate": {f"{_HEADER}.values": ["blue"]}},
        says="its secret is one that can be guessed",
    ),
    Unsafe(
        policy="traffic-candidate-route-first",
        why="fifteen characters after the colour",
        base="ramp",
        edits={"ListenerRule chat-blue-candidate": {f"{_HEADER}.values": [f"blue-{'x' * 15}"]}},
        says="its secret is one that can be guessed",
    ),
    Unsafe(
        policy="traffic-candidate-route-first",
        why="a second value, easy to remember, beside the secret one",
        base="ramp",
        edits={"ListenerRule chat-green-candidate": {f"{_HEADER}.values": [_GREEN_SECRET, "canary"]}},
        says="its secret is one that can be guessed",
    ),
    Unsafe(
        policy="traffic-candidate-route-first",
        why="a regular expression matches more than one secret",
        base="ramp",
        edits={
            "ListenerRule chat-green-candidate": {
                _HEADER: {"httpHeaderName": "x-candidate-route", "regexValues": ["^green-.*$"]}
            }
        },
        says="its secret is one that can be guessed",
    ),
    Unsafe(
        policy="traffic-candidate-route-first",
        why="without the header the route takes everything",
        base="ramp",
        edits={"ListenerRule chat-green-candidate": {"conditions[0]": GONE}},
        says="chat-green-candidate: the condition on x-candidate-route is not set",
    ),
    Unsafe(
        policy="traffic-candidate-route-first",
        why="scripts send another header, so they would check the colour with the weight",
        base="ramp",
        edits={"ListenerRule chat-green-candidate": {f"{_HEADER}.httpHeaderName": "x-canary"}},
        says="the condition on x-candidate-route is not set",
    ),
    Unsafe(
        policy="traffic-candidate-route-first",
        why="green's route leads to blue: the smoke test passes for the wrong release",
        base="ramp",
        edits={"ListenerRule chat-green-candidate": {"actions[0].targetGroupArn": _BLUE_ARN}},
        says="chat-green-candidate: what it forwards to is blue, but must be green",
    ),
    Unsafe(
        policy="traffic-candidate-route-first",
        why="one secret for both: blue's route, the first, takes green's requests too",
        base="ramp",
        edits={
            "ListenerRule chat-green-candidate": {f"{_HEADER}.values": ["S3cret-part-of-the-route"]},
            "ListenerRule chat-blue-candidate": {f"{_HEADER}.values": ["s3cret-part-of-the-route"]},
        },
        says="chat-green-candidate: its secret is that of blue",
    ),
)

_FRIENDS = "ListenerRule chat-cohort-friends"
_COHORT = "traffic-cohort-goes-to-one-colour"

_COHORTS = (
    Unsafe(
        policy=_COHORT,
        why="somebody splits a cohort by weight, so that its tenants flip between two releases",
        base="cohorts",
        edits={_FRIENDS: {f"{_GROUPS}[0].weight": 50, f"{_GROUPS}[1].weight": 50}},
        says="what it forwards to is blue, green, but must be green",
    ),
    Unsafe(
        policy=_COHORT,
        why="a cohort's rule was moved by hand, and the tag still says the former colour",
        base="cohorts",
        edits={_FRIENDS: {f"{_GROUPS}[0].weight": 100, f"{_GROUPS}[1].weight": 0}},
        says="what it forwards to is blue, but must be green",
    ),
    Unsafe(
        policy=_COHORT,
        why="the weighted rule takes the cohort's requests first",
        base="cohorts",
        edits={_FRIENDS: {"priority": 100}},
        says="priority is 100, but must be less than 100, that of chat",
    ),
    Unsafe(
        policy=_COHORT,
        why="the rule lost its header, so everybody is sent to the candidate",
        base="cohorts",
        edits={_FRIENDS: {"conditions[0].httpHeader": GONE}},
        says="the condition on a header is not set",
    ),
    Unsafe(
        policy=_COHORT,
        why="a cohort's rule is on a listener that its requests do not reach",
        base="cohorts",
        edits={_FRIENDS: {"listenerArn": f"{SHARED['arn']}0"}},
        says="listenerArn",
    ),
    Unsafe(
        policy=_COHORT,
        why="the tag names a cohort that no rule takes: its requests follow the weights",
        base="cohorts",
        edits={_FRIENDS: GONE},
        says="the rule of the cohort friends is not set",
    ),
    Unsafe(
        policy=_COHORT,
        why="the tag does not name the cohort, so nobody knows that clients are on the candidate",
        base="cohorts",
        edits={"ListenerRule chat": {'tags["vllm-blue-green/cohorts"]': "partners:blue"}},
        says="must be in the tag vllm-blue-green/cohorts",
    ),
    Unsafe(
        policy="traffic-weight-needs-release",
        why="the candidate was parked while a cohort is on it",
        base="cohorts",
        edits={"ListenerRule chat": {'tags["vllm-blue-green/green"]': "beef123 parked"}},
        also=("capacity-tags-tell-the-truth",),
        says="the cohorts on green, which is beef123 parked, is friends, but must be none",
    ),
    Unsafe(
        policy="traffic-stickiness-off",
        why="a cookie would keep the cohort's clients on the candidate after a rollback",
        base="cohorts",
        edits={_FRIENDS: {f"{_FORWARD}.stickiness.enabled": True}},
        says="actions.forward.stickiness.enabled is true",
    ),
    Unsafe(
        policy="traffic-weights-not-ignored",
        why="a rollback by config would not move the cohort",
        base="cohorts",
        edits={_FRIENDS: {"#ignore_changes": ("actions",)}},
        says="ignore_changes",
    ),
    Unsafe(
        policy="lifecycle-rule-says-what-it-does",
        why="the tag of the cohorts was written by hand",
        base="cohorts",
        edits={"ListenerRule chat": {'tags["vllm-blue-green/cohorts"]': "friends:green, partners:blue"}},
        also=(_COHORT,),
        says="the tag vllm-blue-green/cohorts",
    ),
    Unsafe(
        policy="capacity-weight-needs-replicas",
        why="a cohort may bring nearly all of the load, and the candidate has half of the replicas",
        base="cohorts",
        edits={
            "ListenerRule chat": {'tags["vllm-blue-green/green"]': "beef123 x2"},
        },
        also=("capacity-tags-tell-the-truth",),
        says="must be at least 4 at weight 0 and the cohorts friends, with 4 of blue",
    ),
    Unsafe(
        policy="capacity-active-color-runs",
        why="the cohort could not go back: the active colour is parked",
        base="cohorts",
        edits={"ListenerRule chat": {'tags["vllm-blue-green/blue"]': "beef123 parked"}},
        also=("capacity-tags-tell-the-truth", "traffic-weight-needs-release"),
        says="must be running while green has weight 0 and friends",
    ),
    Unsafe(
        policy="exposure-api-only",
        why="the cohort's rule leads to paths of the pods that need no key",
        base="cohorts",
        edits={_FRIENDS: {"conditions[1].pathPattern": GONE}},
        says="the path condition",
    ),
)

_DRAIN = (
    Unsafe(
        policy="traffic-deregistration-delay-covers-drain",
        why="the delay is a second too short for the longest stream",
        base="promoted",
        edits={"TargetGroup chat-blue": {"deregistrationDelay": 149}},
        says="chat-blue: deregistrationDelay is 149, but must be at least 150",
    ),
    Unsafe(
        policy="traffic-deregistration-delay-covers-drain",
        why="the pods of green sleep for longer before they stop, and the target group does not know",
        base="promoted",
        edits={"Deployment chat-green": {_PRE_STOP: 31, _GRACE: 161}},
        says="chat-green: deregistrationDelay is 150, but must be at least 151",
    ),
    Unsafe(
        policy="traffic-deregistration-delay-covers-drain",
        why="AWS's delay of 300 s, for streams of 800 s",
        base="private",
        edits={"TargetGroup chat-green": {"deregistrationDelay": GONE}},
        says="deregistrationDelay is 300, but must be at least 860",
    ),
    Unsafe(
        policy="traffic-idle-timeout-outlasts-streams",
        why="the load balancer gives up a request that is nine seconds from its end",
        base="promoted",
        edits={"LoadBalancer chat": {"idleTimeout": 129}},
        says="chat: idleTimeout is 129, but must be at least 130, 10 more than --shutdown-timeout of chat-",
    ),
    Unsafe(
        policy="traffic-idle-timeout-outlasts-streams",
        why="AWS's idle timeout of 60 s cuts every longer answer that does not stream",
        base="first",
        edits={"LoadBalancer chat": {"idleTimeout": GONE}},
        says="chat: idleTimeout is 60, but must be at least 130",
    ),
    Unsafe(
        policy="traffic-idle-timeout-outlasts-streams",
        why="one colour lets requests run for longer than what stands before it",
        base="promoted",
        edits={
            "Deployment chat-green": {_SHUTDOWN: "121", _GRACE: 161},
            "TargetGroup chat-green": {"deregistrationDelay": 151},
        },
        says="must be at least 131, 10 more than --shutdown-timeout of chat-green",
    ),
    Unsafe(
        policy="traffic-keep-alive-outlasts-idle-timeout",
        why="pods and load balancer close idle connections at the same time: 502 now and then",
        base="promoted",
        edits={"Deployment chat-green": {_KEEP_ALIVE: "130"}},
        says="chat-green: VLLM_HTTP_TIMEOUT_KEEP_ALIVE is 130, but must be more than 130, the idle timeout of chat",
    ),
    Unsafe(
        policy="traffic-keep-alive-outlasts-idle-timeout",
        why="the load balancer keeps connections for longer since yesterday, and the pods do not know",
        base="promoted",
        edits={"LoadBalancer chat": {"idleTimeout": 140}},
        says="must be more than 140",
    ),
    Unsafe(
        policy="traffic-keep-alive-outlasts-idle-timeout",
        why="behind another's load balancer, which must wait for 300 s at least to get these requests answered",
        base="joined",
        edits={"Deployment code-blue": {_KEEP_ALIVE: "300"}},
        says="code-blue: VLLM_HTTP_TIMEOUT_KEEP_ALIVE is 300, but must be more than 300",
    ),
)

_HEALTH_CHECKED = (
    Unsafe(
        policy="traffic-health-checked",
        why="AWS's path, / , which vLLM does not have",
        base="promoted",
        edits={"TargetGroup chat-blue": {"healthCheck.path": GONE}},
        says="chat-blue: healthCheck.path is /, but must be /health or /ping",
    ),
    Unsafe(
        policy="traffic-health-checked",
        why="metrics are there when the engine is dead",
        base="promoted",
        edits={"TargetGroup chat-green": {"healthCheck.path": "/metrics"}},
        says="chat-green: healthCheck.path is /metrics",
    ),
    Unsafe(
        policy="traffic-health-checked",
        why="nothing is said of health checks: AWS asks for /",
        base="promoted",
        edits={"TargetGroup chat-green": {"healthCheck": GONE}},
        says="healthCheck.path is /",
    ),
    Unsafe(
        policy="traffic-health-checked",
        why="no health check at all",
        base="promoted",
        edits={"TargetGroup chat-green": {"healthCheck.enabled": False}},
        says="chat-green: healthCheck.enabled is false",
    ),
    Unsafe(
        policy="traffic-health-checked",
        why="an open socket says nothing of the engine behind it",
        base="promoted",
        edits={"TargetGroup chat-green": {"healthCheck.protocol": "TCP"}},
        says="chat-green: healthCheck.protocol is TCP",
    ),
    Unsafe(
        policy="traffic-health-checked",
        why="any answer will do, 404 too",
        base="promoted",
        edits={"TargetGroup chat-green": {"healthCheck.matcher": "200-499"}},
        says="chat-green: healthCheck.matcher is 200-499, but must be 200",
    ),
    Unsafe(
        policy="traffic-health-checked",
        why="the health of another container, on another port",
        base="promoted",
        edits={"TargetGroup chat-green": {"healthCheck.port": "9090"}},
        says="chat-green: healthCheck.port is 9090, but must be traffic-port",
    ),
)

UNSAFE: tuple[Unsafe, ...] = (
    *_WEIGHTS_ADD_UP,
    *_BOTH_TARGET_GROUPS,
    *_WEIGHTS_NOT_IGNORED,
    *_WEIGHT_NEEDS_RELEASE,
    *_WEIGHT_NEEDS_EVIDENCE,
    *_STICKINESS_OFF,
    *_CANDIDATE_ROUTE_FIRST,
    *_COHORTS,
    *_DRAIN,
    *_HEALTH_CHECKED,
)

SAFE: tuple[Safe, ...] = (
    Safe(why="a rollout a quarter of the way, as the program declares it", base="ramp"),
    Safe(
        why="weights that come as texts, as an import writes them",
        base="ramp",
        edits={"ListenerRule chat": {f"{_GROUPS}[0].weight": "75", f"{_GROUPS}[1].weight": "25"}},
    ),
    Safe(
        why="green stands before blue in the rule",
        base="ramp",
        edits={
            "ListenerRule chat": {
                _GROUPS: [{"arn": _GREEN_ARN, "weight": 25.0}, {"arn": _BLUE_ARN, "weight": 75.0}],
            }
        },
    ),
    Safe(
        why="changes that have nothing to do with traffic are ignored",
        base="ramp",
        edits={
            "ListenerRule chat": {
                "#ignore_changes": (
                    'tags["Owner"]',
                    "tagsAll",
                    "conditions",
                    "actions[0].order",
                    "actions[0].forward.stickiness",
                )
            }
        },
    ),
    Safe(
        why="what is ignored on a candidate's rule moves no weights",
        base="ramp",
        edits={"ListenerRule chat-blue-candidate": {"#ignore_changes": ("tags",)}},
    ),
    Safe(
        why="a new stack: neither colour has a release, wherever the weight is",
        base="first",
        edits={
            "ListenerRule chat": {'tags["vllm-blue-green/blue"]': "unused"},
            "Deployment chat-blue": GONE,
            "PodDisruptionBudget chat-blue": GONE,
            "ConfigMap chat-blue-prompts": GONE,
            "ConfigMap chat-blue-probe": GONE,
        },
    ),
    Safe(
        why="a quarter by hand, with the bundle of a rollout of this release",
        base="ramp",
        edits={"ListenerRule chat": {**_BY_HAND, _EVIDENCE: tag(PASSED)}},
        config=_ON,
    ),
    Safe(why="a rollout watches its candidate itself", base="ramp", config=_ON),
    Safe(
        why="one percent by hand, as in a drill",
        base="ramp",
        edits={"ListenerRule chat": {**_BY_HAND, f"{_GROUPS}[0].weight": 99, f"{_GROUPS}[1].weight": 1}},
        config=_ON,
    ),
    Safe(why="all users on the active colour", base="promoted", config=_ON),
    Safe(why="a quarter by hand, where nobody asks for evidence", base="ramp", edits={"ListenerRule chat": _BY_HAND}),
    Safe(
        why="a team that moves one service by hand",
        base="ramp",
        edits={"ListenerRule chat": _BY_HAND},
        config={"traffic-weight-needs-evidence": {"bundles": ["/no/such/folder"], "exempt": ["chat"]}},
    ),
    Safe(
        why="stickiness is not spoken of, which leaves it off",
        base="ramp",
        edits={
            "ListenerRule chat": {f"{_FORWARD}.stickiness": GONE},
            "TargetGroup chat-blue": {"stickiness": GONE},
            "TargetGroup chat-green": {"stickiness": {"type": "lb_cookie", "enabled": "false"}},
        },
    ),
    Safe(
        why="the target group of another application may be sticky and be checked as it likes",
        base="ramp",
        added=(
            Declared(
                type="aws:lb/targetGroup:TargetGroup",
                name="web",
                props={"stickiness": {"type": "lb_cookie"}, "healthCheck": {"path": "/"}},
            ),
        ),
    ),
    Safe(
        why="a route right before the weighted rule",
        base="ramp",
        edits={"ListenerRule chat-green-candidate": {"priority": "99"}},
    ),
    Safe(
        why="a hand-written route: no tags but the service's, a forward block, a secret without the colour",
        base="ramp",
        edits={
            "ListenerRule chat-green-candidate": {
                "tags": {"vllm-blue-green/service": "chat"},
                "actions": [{"type": "forward", "forward": {"targetGroups": [{"arn": _GREEN_ARN}]}}],
                f"{_HEADER}.httpHeaderName": "X-Candidate-Route",
                f"{_HEADER}.values": ["x" * 16],
            }
        },
    ),
    Safe(
        why="the longest secret that the program takes",
        base="ramp",
        edits={"ListenerRule chat-green-candidate": {f"{_HEADER}.values": [f"green-{'x' * 100}"]}},
    ),
    Safe(
        why="AWS's deregistration delay of 300 s is enough for streams of 120 s",
        base="ramp",
        edits={"TargetGroup chat-blue": {"deregistrationDelay": GONE}},
    ),
    Safe(
        why="a deregistration delay as a text, exactly as long as the drain",
        base="ramp",
        edits={"TargetGroup chat-blue": {"deregistrationDelay": "150"}},
    ),
    Safe(
        why="an idle timeout right below what the pods keep connections open for",
        base="ramp",
        edits={"LoadBalancer chat": {"idleTimeout": "139"}},
    ),
    Safe(
        why="keep-alive a second longer than the idle timeout",
        base="ramp",
        edits={"Deployment chat-blue": {_KEEP_ALIVE: "131"}},
    ),
    Safe(
        why="a Network Load Balancer has no idle timeout of this kind",
        base="ramp",
        edits={"LoadBalancer chat": {"loadBalancerType": "network", "idleTimeout": GONE}},
    ),
    Safe(
        why="keep-alive a second longer than another's load balancer must wait",
        base="joined",
        edits={"Deployment chat-blue": {_KEEP_ALIVE: "131"}},
    ),
    Safe(
        why="other ways to ask for health, on the same port",
        base="ramp",
        edits={
            "TargetGroup chat-blue": {
                "healthCheck.path": "/ping",
                "healthCheck.port": "8000",
                "healthCheck.matcher": "200,202-204",
            },
            "TargetGroup chat-green": {
                "healthCheck.protocol": GONE,
                "healthCheck.port": GONE,
                "healthCheck.matcher": GONE,
                "healthCheck.enabled": True,
            },
        },
    ),
    Safe(
        why="a team that has an endpoint of its own for health",
        base="ramp",
        edits={"TargetGroup chat-blue": {"healthCheck.path": "/v1/alive"}},
        config={"traffic-health-checked": {"paths": ["/health", "/v1/alive"]}},
    ),
)
