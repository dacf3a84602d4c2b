"""The pack as its own process beside the whole program: what it refuses is refused before anything moves.

The clouds are files, so this says nothing about AWS or Kubernetes; it is about what the CLI shows to policies, when
they ask, and what becomes of the answers. Two services in one stack, so that nothing holds only for one.
"""

import json
import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from pulumi.automation.events import EngineEvent

from components.config.release.release import Release
from components.domain.naming import COLORS, Color
from policies.catalogue import POLICIES
from rollout.adapters.config_file import ConfigFile
from rollout.adapters.pulumi.stack import PulumiStack
from rollout.model.errors import UnexpectedChangeError, UpdateFailedError
from rollout.model.rule import LiveRule
from rollout.steps.updates import Updater
from tests.components.example import ROOT, release
from tests.engine.conftest import World
from tests.engine.program import PROGRAM, Stack
from tests.policies.bundles import bundle
from tests.rollout import fakes

pytestmark = [pytest.mark.binaries, pytest.mark.timeout(900)]

A, B = release(), release(model_revision="beef123")
SERIAL = 7
GREEN = {"replicas": 3, "release": B}
CHAT: dict[str, Any] = {"rollout_serial": SERIAL, "green_weight": 25, "rolling_out": True, "green": GREEN}
LIVE: dict[str, Any] = {
    "blue": {"replicas": 3, "release": A},
    "green": {"replicas": 3},
    "services": {"chat": CHAT, "search": {}},
}
PACK = ("--policy-pack", "policies")

TAMPERED = """
import runpy

import pulumi

def tamper(args):
    if (args.type_, args.name) == ("aws:lb/listenerRule:ListenerRule", "chat"):
        forward, opts = args.props["actions"][0].forward, args.opts
        {change}
        return pulumi.ResourceTransformationResult(args.props, opts)

pulumi.runtime.register_stack_transformation(tamper)
runpy.run_path("program.py", run_name="__main__")
"""


@dataclass(frozen=True)
class Reported:
    """What one policy says in a preview or an update."""

    policy: str
    level: str
    message: str

    @property
    def is_not_evaluated(self) -> bool:
        return self.level == "advisory" and "can't run policy" in self.message


class PackStack(Stack):
    """The program's stack, checked by the pack."""

    def __init__(self, world: World) -> None:
        super().__init__(world, LIVE)
        (world.project / "policies").symlink_to(ROOT / "policies")

    def reported(self, command: Literal["preview", "up"]) -> list[Reported]:
        """What policies say of a preview or an update, which passes."""
        events: list[EngineEvent] = []
        run = self.world.stack.preview if command == "preview" else self.world.stack.up
        run(policy_packs=["policies"], on_event=events.append)
        found = [event.policy_event for event in events if event.policy_event]
        return [Reported(one.policy_name, one.enforcement_level, one.message.strip()) for one in found]

    @contextmanager
    def tampered(self, change: str) -> Generator[None]:
        """Have somebody's own program around ours change the weighted rule of chat."""
        program = self.world.project / "__main__.py"
        shutil.copy(program, self.world.project / "program.py")
        program.write_text(TAMPERED.format(change=change), encoding="utf-8")
        try:
            yield
        finally:
            shutil.copy(ROOT / "__main__.py", program)

    def everything(self) -> dict[str, Any]:
        """All that is recorded."""
        return {one["urn"]: (one.get("inputs"), one.get("outputs"), one.get("protect")) for one in self.resources()}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackStack]:
    """A rollout of one service, a quarter of the way, and another service; not deployed yet."""
    made = PackStack(World(tmp_path_factory.mktemp("pack") / "world"))
    with made.world.warmed(PROGRAM, "policies.catalogue"), made.world.around():
        yield made


@pytest.fixture
def live(stack: PackStack) -> Iterator[PackStack]:
    """The same, deployed under the pack's eyes; tests leave it as it is."""
    stack.configure()
    if not stack.resources():
        assert stack.reported("up") == []
    before = stack.everything()
    stack.world.forget_calls()
    yield stack
    stack.configure()
    assert stack.everything() == before


@pytest.fixture
def put_back(live: PackStack) -> Iterator[None]:
    """What a test does to the stack is undone in its state."""
    with live.world.put_back():
        yield


def test_a_first_preview_is_refused_by_no_policy_and_reports_what_is_not_evaluated_yet(stack: PackStack) -> None:
    assert stack.resources() == []
    reported = stack.reported("preview")
    assert [one for one in reported if not one.is_not_evaluated] == []
    # The target groups of a new stack have no names yet, so it is unknown which colour gets which weight.
    assert "traffic-weights-add-up" in {one.policy for one in reported}
    assert {one.policy for one in reported} <= {policy.name for policy in POLICIES}


def test_the_pack_starts_where_nothing_is_imported_yet(stack: PackStack) -> None:
    stack.world.pulumi("preview", *PACK, REHEARSAL_WARM_SOCKET="")


def test_once_deployed_every_policy_has_judged_and_passed(live: PackStack) -> None:
    assert live.reported("preview") == []
    assert live.reported("up") == []


def test_a_step_of_a_rollout_is_judged_before_it_is_made(live: PackStack) -> None:
    live.configure(services={"chat": {**CHAT, "green_weight": 50, "rollout_serial": SERIAL + 1}, "search": {}})
    assert live.reported("preview") == []


Refusals = tuple[tuple[str, str], ...]
"""Each policy that refuses, and how its message begins."""

REFUSED_PROGRAMS: dict[str, tuple[str, Refusals]] = {
    "weights that are no percents, and cookies that outrank them": (
        "forward.target_groups[1].weight += 1; forward.stickiness.enabled = True",
        (
            ("traffic-weights-add-up", "chat: the sum of the weights is 101, but must be 100."),
            ("traffic-stickiness-off", "chat: "),
        ),
    ),
    "a rule without the idle colour": (
        "del forward.target_groups[1]",
        (
            (
                "traffic-both-target-groups",
                "chat: the target groups of the forward action is blue, but must be blue, green.",
            ),
            ("traffic-weights-add-up", "chat: the sum of the weights is 75, but must be 100."),
        ),
    ),
    "weights that updates pass over": (
        'opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["actions"]))',
        (("traffic-weights-not-ignored", "chat: "),),
    ),
}


def services(**chat: Any) -> dict[str, Any]:
    return {"services": {"chat": {**CHAT, **chat}, "search": {}}}


TOO_FEW_REPLICAS: dict[str, Any] = services(
    green={**GREEN, "replicas": 1}, green_weight=50, announced=f"{SERIAL} in a hurry"
)
TOO_FEW: Refusals = (
    (
        "capacity-weight-needs-replicas",
        "chat: the number of green replicas is 1, but must be at least 2 at weight 50, with 3 of blue.",
    ),
)


@pytest.mark.parametrize("case", REFUSED_PROGRAMS)
def test_a_program_that_is_unsafe_is_refused_in_its_preview(live: PackStack, case: str) -> None:
    change, refusals = REFUSED_PROGRAMS[case]
    with live.tampered(change):
        said = live.refused("preview", *PACK)
    assert_refused_for(said, refusals)
    assert "search: " not in said


def test_a_config_that_is_accepted_and_unsafe_is_refused_in_its_preview(live: PackStack) -> None:
    live.configure(**TOO_FEW_REPLICAS, protect=False)
    assert_refused_for(live.refused("preview", *PACK), (*TOO_FEW, ("lifecycle-protected", "chat: ")))


@pytest.mark.parametrize(
    "case", ["weights that are no percents, and cookies that outrank them", "weights that updates pass over"]
)
def test_an_update_without_a_preview_is_refused_before_the_rule_changes(live: PackStack, case: str) -> None:
    change, refusals = REFUSED_PROGRAMS[case]
    with live.tampered(change):
        said = live.refused("up", "--yes", "--skip-preview", *PACK)
    assert_refused_for(said, refusals)
    assert live.world.calls() == []


def test_a_weight_by_hand_needs_the_bundle_of_its_release(live: PackStack, tmp_path: Path) -> None:
    options = tmp_path / "policies.json"
    options.write_text(json.dumps({"traffic-weight-needs-evidence": {"bundles": [str(tmp_path)]}}))
    pack = (*PACK, "--policy-pack-config", str(options))
    by_hand = {"rolling_out": False, "green_weight": 30}
    live.configure(**services(**by_hand))
    missing = "chat: the tag vllm-blue-green/evidence is not set, but must be"
    assert_refused_for(live.refused("preview", *pack), (("traffic-weight-needs-evidence", missing),))
    document = json.dumps(bundle(checks={"smoke": "pass"}, release_id=Release.model_validate(B).release_id))
    for folder in (tmp_path, live.world.project):
        (folder / "bundle.json").write_text(document)
    live.configure(**services(**by_hand, evidence="bundle.json"))  # from the folder of Pulumi.yaml
    live.preview(*pack)


@pytest.mark.usefixtures("put_back")
def test_a_config_that_is_unsafe_is_refused_without_a_preview_too(live: PackStack) -> None:
    before = live.recorded()[live.urn("ListenerRule", "chat")]
    live.configure(**TOO_FEW_REPLICAS)
    said = live.refused("up", "--yes", "--skip-preview", *PACK)
    after = live.recorded()[live.urn("ListenerRule", "chat")]
    assert_refused_for(said, TOO_FEW)
    assert after == before


@pytest.mark.usefixtures("put_back")
def test_a_script_says_which_policy_refused_and_leaves_config_and_stack_alone(live: PackStack) -> None:
    updater, _, _ = script(live)
    before = live.file.read_bytes()
    with live.tampered("forward.target_groups[1].weight += 1"), pytest.raises(UpdateFailedError) as raised:
        updater.change_weight(50, message="Set green to 50 %")
    assert str(raised.value).startswith("update 'Set green to 50 %' failed: policy refused: traffic-weights-add-up: ")
    assert "chat: the sum of the weights is 101, but must be 100." in str(raised.value)
    assert live.file.read_bytes() == before
    assert live.world.calls() == []
    updater.change_weight(50, message="Set green to 50 %")
    updater.change_weight(25, message="Set green to 25 %")
    assert [name for _, name in live.world.calls()] == ["chat", "chat"]


@pytest.mark.usefixtures("put_back")
def test_a_step_that_has_changed_more_of_the_rule_than_its_weight_says_what(live: PackStack) -> None:
    updater, journal, _ = script(live)
    before = live.file.read_bytes()
    with live.tampered('args.props["priority"] = 777'), pytest.raises(UnexpectedChangeError, match="chat: priority"):
        updater.change_weight(30, message="Set green to 30 %")
    assert [name for _, name in live.world.calls()] == ["chat"]
    assert [record.get("unexpected") for record in journal.of("update")] == [None, ["chat: priority"]]
    live.file.write_bytes(before)


def test_a_script_whose_update_is_refused_says_so_too(live: PackStack) -> None:
    _, _, pulumi = script(live)
    with live.tampered("forward.target_groups[1].weight += 1"), pytest.raises(UpdateFailedError) as raised:
        pulumi.up("a change", targets=[live.urn("ListenerRule", "chat")])
    assert str(raised.value).startswith("update 'a change' failed: policy refused: traffic-weights-add-up: ")


def assert_refused_for(said: str, refusals: Refusals) -> None:
    # The CLI says the severity, too.
    found = re.findall(r"\[mandatory\]\s+(?:\[severity: \w+\]\s+)?([\w-]+)", said)
    assert set(found) == {policy for policy, _ in refusals}, said
    for _, message in refusals:
        assert message in said


class Balancer(fakes.World):
    """A load balancer whose rule is what the stack's state says."""

    def __init__(self, stack: PackStack) -> None:
        super().__init__()
        self.stack = stack

    def rule(self) -> LiveRule:
        inputs, outputs = self.stack.recorded()[self.stack.urn("ListenerRule", "chat")]
        groups: list[dict[str, Any]] = inputs["actions"][0]["forward"]["targetGroups"]
        by_color: dict[Color, dict[str, Any]] = dict(zip(COLORS, groups, strict=True))
        return LiveRule(
            arn=outputs["arn"],
            weights={color: int(group["weight"]) for color, group in by_color.items()},
            target_groups={color: group["arn"] for color, group in by_color.items()},
            active_color="blue",
            keep_until=None,
            rollout_serial=SERIAL,
        )


def script(stack: PackStack) -> tuple[Updater, fakes.FakeJournal, PulumiStack]:
    """What a script works with: the stack and its config file are real."""
    pulumi = PulumiStack("dev", stack.world.project, update_timeout_seconds=600, check=lambda: None)
    journal = fakes.FakeJournal(fakes.FakeClock())
    world = Balancer(stack)
    ports = replace(
        world.ports(), journal=journal, config=ConfigFile(stack.file, "chat"), stack=pulumi, load_balancer=world
    )
    return Updater(ports, "chat"), journal, pulumi
