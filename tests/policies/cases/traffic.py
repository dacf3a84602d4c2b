"""Cases: traffic."""

from tests.policies.case import Safe, Unsafe
from tests.policies.edits import GONE

_GROUPS = "actions[0].forward.targetGroups"

UNSAFE = (
    Unsafe(
        policy="traffic-weights-add-up",
        why="green_weight was edited for one colour alone: shares are no percents any more",
        base="ramp",
        edits={"ListenerRule chat": {f"{_GROUPS}[1].weight": 26}},
        says="chat: the sum of the weights is 101, but must be 100.",
    ),
    Unsafe(
        policy="traffic-both-target-groups",
        why="green left the rule: nobody checks its health before the next rollout",
        base="promoted",
        edits={"ListenerRule chat": {f"{_GROUPS}[0]": GONE}},
        says="the target groups of the forward action is green, but must be blue, green",
    ),
)

SAFE = (Safe(why="a rollout a quarter of the way, as the program declares it", base="ramp"),)
