"""States, exports, stacks and locks that the embedded engine cannot use: one clear error, nothing changed."""

import json
import re

import pytest

from tests.engine.conftest import World
from tests.engine.killing import recorded, state_file
from tests.engine.refusals import UP, begin, refused

pytestmark = pytest.mark.parametrize("engine", ["embedded"], indirect=True)


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        ("(.{30}).*", r"\1", "dev.json is damaged: Unterminated string"),
        (".*", "", "dev.json is damaged: Expecting value: line 1 column 1"),
        (".*", "[]", "dev.json is damaged: it holds no JSON object"),
        (".*", '{"version": 3}', "dev.json is damaged: it has no `checkpoint`"),
        ('"version":3', '"version":99', "dev.json has version 99; only version 3 can be read"),
        ('"urn":', '"nru":', "the state is damaged: a resource or a pending operation lacks a field"),
    ],
)
def test_a_damaged_state_is_refused_and_kept(world: World, pattern: str, replacement: str, message: str) -> None:
    begin(world)
    world.pulumi(*UP)
    text = re.sub(pattern, replacement, state_file(world).read_text(encoding="utf-8"), count=1, flags=re.DOTALL)
    state_file(world).write_text(text, encoding="utf-8")
    for command in UP, ("stack", "output"):
        assert message in refused(world, *command)
        assert state_file(world).read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "this is no exported deployment: Expecting property name"),
        ("[]", "this is no exported deployment: list indices"),
        ("{}", "this is no exported deployment: 'version'"),
        ('{"version": 3, "checkpoint": {}}', "this is no exported deployment: 'deployment'"),
        ('{"version": 9, "deployment": {}}', "the deployment has version 9; only version 3 can be read"),
        (
            '{"version": 3, "deployment": {"resources": [{"type": "a:b:C"}]}}',
            "the state is damaged: a resource or a pending operation lacks",
        ),
        (
            '{"version": 3, "deployment": {"resources": [{"urn": "urn:pulumi:dev::probe::a:b:C::d"}]}}',
            "the state is damaged: a resource or a pending operation lacks a field",
        ),
    ],
)
def test_what_is_no_deployment_is_not_imported(world: World, text: str, message: str) -> None:
    begin(world)
    world.pulumi(*UP)
    before = state_file(world).read_bytes()
    path = world.root / "import.json"
    path.write_text(text, encoding="utf-8")
    assert message in refused(world, "stack", "import", "--file", str(path))
    assert refused(world, "stack", "import", "--file", "/nowhere.json") == "/nowhere.json: No such file or directory"
    assert state_file(world).read_bytes() == before


def test_a_deployment_that_does_not_hold_together_is_imported_only_by_force(world: World) -> None:
    begin(world)
    world.pulumi(*UP)
    document = json.loads(world.pulumi("stack", "export").stdout)
    resources = document["deployment"]["resources"]
    edited = world.root / "edited.json"

    def write(edited_resources: list[object]) -> None:
        deployment = {**document["deployment"], "resources": edited_resources}
        edited.write_text(json.dumps({**document, "deployment": deployment}), encoding="utf-8")

    command = ("stack", "import", "--file", str(edited))
    write(resources[::-1])
    assert "which is not before it; importing this could be dangerous" in refused(world, *command)
    write([*resources, resources[-1]])
    assert refused(world, *command).startswith(f"there are two resources '{resources[-1]['urn']}'")
    edited.write_text(json.dumps(document).replace("urn:pulumi:dev:", "urn:pulumi:prod:"), encoding="utf-8")
    assert "is from a different stack (prod != dev)" in refused(world, *command)
    assert recorded(world) == {"a-1": ""}
    write(resources[::-1])
    assert "warning: resource " in world.pulumi(*command, "--force").stderr


def test_an_unknown_stack_is_refused_with_the_nearest(world: World) -> None:
    begin(world)
    assert refused(world, *UP, "--stack", "dve") == "no stack named 'dve' found; did you mean 'dev'?"
    assert refused(world, "stack", "select", "production") == "no stack named 'production' found"
    assert refused(world, "stack", "init", "x:y z").startswith("invalid stack name 'x:y z'")


def test_a_damaged_lock_still_locks(world: World) -> None:
    begin(world)
    lock = world.root / "state" / ".pulumi" / "locks" / "organization" / "probe" / "dev" / "x.json"
    lock.parent.mkdir(parents=True)
    lock.write_text("{", encoding="utf-8")
    answer = world.pulumi(*UP, status=1)
    assert "the stack is currently locked by 1 lock(s)" in answer.stderr
    assert f"file://{lock}: its file is damaged" in answer.stderr
    world.pulumi("cancel", "--yes")
    world.pulumi(*UP)
