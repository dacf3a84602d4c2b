"""Cases: lifecycle."""

from tests.policies.case import Safe, Unsafe
from tests.policies.edits import GONE
from tests.policies.releases import BLUE_ID
from tests.policies.stacks import LATER, Declared

_WEIGHTS = "actions[0].forward.targetGroups"
_BLUE = 'tags["vllm-blue-green/blue"]'
_GREEN = 'tags["vllm-blue-green/green"]'
_ACTIVE = 'tags["vllm-blue-green/active-color"]'
_KEEP_UNTIL = 'tags["vllm-blue-green/keep-until"]'
_SERIAL = 'tags["vllm-blue-green/rollout-serial"]'
_ROLLING_OUT = 'tags["vllm-blue-green/rolling-out"]'
_ANNOUNCED = 'tags["vllm-blue-green/announced"]'
_ROLE = 'tags["vllm-blue-green/role"]'
_SERVICE = 'tags["vllm-blue-green/service"]'
_OVER = "2020-01-01T00:00:00Z"

_ALL_GREEN = {f"{_WEIGHTS}[0].weight": 0, f"{_WEIGHTS}[1].weight": 100}
_PARKED_BLUE = {"Deployment chat-blue": {"spec.replicas": 0}}

_SAYS = (
    Unsafe(
        policy="lifecycle-rule-says-what-it-does",
        why="an imported rule has no tag that says who is active",
        base="ramp",
        edits={"ListenerRule chat": {_ACTIVE: GONE}},
        says="chat: the tag vllm-blue-green/active-color is not set, but must be blue or green",
    ),
    Unsafe(
        policy="lifecycle-rule-says-what-it-does",
        why="a rule by hand, recognised by its target groups, without the active colour",
        base="ramp",
        edits={"ListenerRule chat": {_ROLE: GONE, _ACTIVE: GONE}},
        says="the tag vllm-blue-green/active-color is not set",
    ),
    Unsafe(
        policy="lifecycle-rule-says-what-it-does",
        why="a colour that there is not",
        base="ramp",
        edits={"ListenerRule chat": {_ACTIVE: "red"}},
        says="the tag vllm-blue-green/active-color is red",
    ),
    Unsafe(
        policy="lifecycle-rule-says-what-it-does",
        why="without a serial a stale config looks like any other",
        base="ramp",
        edits={"ListenerRule chat": {_SERIAL: GONE}},
        says="the tag vllm-blue-green/rollout-serial is not set, but must be a whole number",
    ),
    Unsafe(
        policy="lifecycle-rule-says-what-it-does",
        why="a serial that cannot be compared",
        base="ramp",
        edits={"ListenerRule chat": {_SERIAL: "seven"}},
        says="the tag vllm-blue-green/rollout-serial is seven",
    ),
    Unsafe(
        policy="lifecycle-rule-says-what-it-does",
        why="what blue is, in words of somebody's own",
        base="reaped",
        edits={"ListenerRule chat": {_BLUE: "asleep"}},
        says='the tag vllm-blue-green/blue is asleep, but must be "<release> x<replicas>"',
    ),
    Unsafe(
        policy="lifecycle-rule-says-what-it-does",
        why="nothing about green",
        base="first",
        edits={"ListenerRule chat": {_GREEN: GONE}},
        says="the tag vllm-blue-green/green is not set",
    ),
    Unsafe(
        policy="lifecycle-rule-says-what-it-does",
        why="a keep-warm window without a time zone ends at an unclear time",
        base="promoted",
        edits={"ListenerRule chat": {_KEEP_UNTIL: "2099-01-01T00:00:00"}},
        says="the tag vllm-blue-green/keep-until is 2099-01-01T00:00:00, but must be an RFC 3339 time with its zone",
    ),
    Unsafe(
        policy="lifecycle-rule-says-what-it-does",
        why="a permission that names no serial",
        base="ramp",
        edits={"ListenerRule chat": {_ANNOUNCED: "new nodes"}},
        says="the tag vllm-blue-green/announced is new nodes, but must be a serial, or empty",
    ),
    Unsafe(
        policy="lifecycle-rule-says-what-it-does",
        why="neither yes nor no",
        base="ramp",
        edits={"ListenerRule chat": {_ROLLING_OUT: "True"}},
        says="the tag vllm-blue-green/rolling-out is True, but must be true or false",
    ),
)

_KEPT = (
    Unsafe(
        policy="lifecycle-idle-color-kept",
        why="blue was parked while it is kept warm",
        base="promoted",
        edits={**_PARKED_BLUE, "ListenerRule chat": {_BLUE: f"{BLUE_ID} parked"}},
        says=f"chat: blue, the idle colour, is {BLUE_ID} parked, but must be running until 2099-01-01",
    ),
    Unsafe(
        policy="lifecycle-idle-color-kept",
        why="blue lost its release while it is kept warm",
        base="promoted",
        edits={"Deployment chat-blue": GONE, "ListenerRule chat": {_BLUE: "unused"}},
        says='set keep_until to "" and announced to "7 <reason>".',
    ),
    Unsafe(
        policy="lifecycle-idle-color-kept",
        why="it was announced for another time",
        base="promoted",
        edits={**_PARKED_BLUE, "ListenerRule chat": {_BLUE: f"{BLUE_ID} parked", _ANNOUNCED: "6"}},
        says="but must be running until",
    ),
)

_MATCHES = (
    Unsafe(
        policy="lifecycle-promotion-matches-weights",
        why="the last step by hand, without a promotion: the next rollout would begin from blue",
        base="ramp",
        edits={"ListenerRule chat": {**_ALL_GREEN, _ROLLING_OUT: "false"}},
        says="chat: the active colour is blue, but must be green, which has all the weight. Roll out with scripts.ramp",
    ),
    Unsafe(
        policy="lifecycle-promotion-matches-weights",
        why="a rollback that moved the weights and forgot the promotion",
        base="promoted",
        edits={"ListenerRule chat": {f"{_WEIGHTS}[0].weight": 100, f"{_WEIGHTS}[1].weight": 0}},
        says="chat: the active colour is green, but must be blue",
    ),
    Unsafe(
        policy="lifecycle-promotion-matches-weights",
        why="an announcement for a serial that has moved on",
        base="ramp",
        edits={"ListenerRule chat": {**_ALL_GREEN, _ROLLING_OUT: GONE, _ANNOUNCED: "4"}},
        says="but must be green",
    ),
    Unsafe(
        policy="lifecycle-promotion-matches-weights",
        why="called active, but parked, and without weight",
        base="reaped",
        edits={"ListenerRule chat": {_ACTIVE: "blue"}},
        also=("capacity-active-color-runs",),
        says="chat: the active colour is blue, but must be green",
    ),
)

_ROLLOUT = (
    Unsafe(
        policy="lifecycle-rollout-ends-the-promise",
        why="a rollback would take the candidate for the way back",
        base="ramp",
        edits={"ListenerRule chat": {_KEEP_UNTIL: LATER}},
        says="chat: keep_until is 2099-01-01T00:00:00Z, but must be over or empty while a rollout onto green",
    ),
    Unsafe(
        policy="lifecycle-rollout-ends-the-promise",
        why="a promotion that left the rollout open",
        base="promoted",
        edits={"ListenerRule chat": {_ROLLING_OUT: "true"}},
        says="while a rollout onto blue is under way",
    ),
)

_PROTECTED = (
    *(
        Unsafe(
            policy="lifecycle-protected",
            why=f"{resource} could be deleted by a slip",
            base="ramp",
            edits={resource: {"#protect": False}},
            says=f"{resource.split()[1]}: protect is false, but must be true. Set protect to true in the stack config",
        )
        for resource in (
            *("ListenerRule chat", "TargetGroup chat-blue", "TargetGroup chat-green", "LoadBalancer chat"),
            *("Listener chat", "NodeGroup chat-green", "Deployment chat-blue", "Namespace chat"),
        )
    ),
    Unsafe(
        policy="lifecycle-protected",
        why="the node pool of pods that serve could be deleted by a slip, and its nodes with it",
        base="karpenter",
        edits={"NodePool chat-blue": {"#protect": False}},
        says="chat-blue: protect is false",
    ),
    Unsafe(
        policy="lifecycle-protected",
        why="the load balancer could be deleted in AWS",
        base="ramp",
        edits={"LoadBalancer chat": {"enableDeletionProtection": GONE}},
        says="chat: enableDeletionProtection is not set, but must be true",
    ),
    Unsafe(
        policy="lifecycle-protected",
        why="somebody switched the load balancer's own protection off",
        base="ramp",
        edits={"LoadBalancer chat": {"enableDeletionProtection": False}},
        says="chat: enableDeletionProtection is false, but must be true",
    ),
    Unsafe(
        policy="lifecycle-protected",
        why="nothing said of replicas: there is one",
        base="reaped",
        edits={
            "Deployment chat-blue": {"spec.replicas": GONE, "#protect": False},
            "PodDisruptionBudget chat-blue": {"spec.maxUnavailable": 0},
        },
        also=("capacity-desired-holds-running-colors",),
        says="chat-blue: protect is false",
    ),
)

UNSAFE = (*_SAYS, *_KEPT, *_MATCHES, *_ROLLOUT, *_PROTECTED)

SAFE = (
    Safe(
        why="a rule without a keep-warm window, and without its tag",
        base="promoted",
        edits={"ListenerRule chat": {_KEEP_UNTIL: GONE, _ANNOUNCED: GONE, _ROLLING_OUT: GONE}},
    ),
    Safe(
        why="times in any zone, and in small letters",
        base="promoted",
        edits={"ListenerRule chat": {_KEEP_UNTIL: "2099-01-01t00:00:00.5+01:00"}},
    ),
    Safe(why="a serial that an import wrote as a number", base="ramp", edits={"ListenerRule chat": {_SERIAL: 5}}),
    Safe(
        why="another rule of the same listener, which is not weighted",
        base="ramp",
        edits={"ListenerRule chat-blue-candidate": {"priority": 12}},
    ),
    Safe(
        why="blue is parked once its time is over",
        base="promoted",
        edits={**_PARKED_BLUE, "ListenerRule chat": {_BLUE: f"{BLUE_ID} parked", _KEEP_UNTIL: _OVER}},
    ),
    Safe(
        why="blue is parked before its time is over, by announcement",
        base="promoted",
        edits={**_PARKED_BLUE, "ListenerRule chat": {_BLUE: f"{BLUE_ID} parked", _ANNOUNCED: "7"}},
    ),
    Safe(
        why="all but one percent without a promotion",
        base="ramp",
        edits={
            "ListenerRule chat": {f"{_WEIGHTS}[0].weight": 1, f"{_WEIGHTS}[1].weight": 99, _ROLLING_OUT: "false"},
        },
    ),
    Safe(
        why="the last step of a ramp, which promotes once it has held",
        base="ramp",
        edits={"ListenerRule chat": _ALL_GREEN},
    ),
    Safe(
        why="the last step by hand, by announcement",
        base="ramp",
        edits={"ListenerRule chat": {**_ALL_GREEN, _ROLLING_OUT: "false", _ANNOUNCED: "5"}},
    ),
    Safe(
        why="a new stack: no colour runs, whatever the weights",
        base="first",
        edits={"ListenerRule chat": {**_ALL_GREEN, _BLUE: "unused"}, "Deployment chat-blue": GONE},
    ),
    Safe(
        why="a rollout that begins when the last keep-warm window is over",
        base="ramp",
        edits={"ListenerRule chat": {_KEEP_UNTIL: _OVER}},
    ),
    Safe(
        why="a teardown of one service",
        base="ramp",
        edits={
            "ListenerRule chat": {"#protect": False},
            "LoadBalancer chat": {"#protect": False, "enableDeletionProtection": False},
            "Namespace chat": {"#protect": False},
        },
        config={"lifecycle-protected": {"exempt": ["chat"]}},
    ),
    Safe(
        why="the node pool of a colour that is not needed may go",
        base="karpenter",
        edits={
            "ListenerRule chat": {
                "actions[0].forward.targetGroups[0].weight": 100,
                "actions[0].forward.targetGroups[1].weight": 0,
            },
            "NodePool chat-green": {"spec.disruption.budgets": [{"nodes": "100%"}], "#protect": False},
        },
    ),
    Safe(
        why="a group without nodes may go: to another instance type, say",
        base="reaped",
        edits={"NodeGroup chat-blue": {"#protect": False}, "Deployment chat-blue": {"#protect": False}},
    ),
    Safe(
        why="rules that only lead to what is protected",
        base="public",
        edits={"ListenerRule chat-green-candidate": {"#protect": False}, "Listener chat-redirect": {"#protect": False}},
    ),
    Safe(
        why="a load balancer of no service",
        base="ramp",
        edits={"LoadBalancer chat": {"#protect": False, _SERVICE: GONE}},
    ),
    Safe(
        why="a Deployment of the service that is none of its colours",
        base="ramp",
        added=(
            Declared(
                type="kubernetes:apps/v1:Deployment",
                name="chat-console",
                props={"metadata": {"labels": {"vllm-blue-green/service": "chat"}}, "spec": {"replicas": 1}},
            ),
        ),
    ),
)
