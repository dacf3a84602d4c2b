"""Scenarios: only some of the resources are touched, or what the cloud has become is adopted."""

from tests.engine.parity.driver import URN, Driver
from tests.engine.parity.registry import scenario

THING = f"{URN}test:index:Thing::"
CHAIN = """
a = Thing("a", size=1)
b = Thing("b", size=a.size)
Thing("c", size=b.size)
Thing("d", size=1)
"""


def _drift(stack: Driver, identity: str, old: str, new: str) -> None:
    path = stack.cloud(identity)
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


@scenario
def only_targeted_resources_are_updated(stack: Driver) -> None:
    stack.program(CHAIN)
    stack.up()
    stack.calls()
    stack.program(CHAIN.replace("size=1", "size=2") + 'Thing("e", size=2)')
    assert stack.preview("--target", f"{THING}a").changes == {"update": 1}
    assert stack.up("--target", f"{THING}a").changes == {"update": 1}
    assert stack.calls() == [("update", "a")]
    assert stack.up().changes == {"update": 3, "create": 1}


@scenario
def dependents_of_targets_are_updated_too(stack: Driver) -> None:
    stack.program(CHAIN)
    stack.up()
    stack.calls()
    stack.program(CHAIN.replace("size=1", "size=2"))
    assert stack.up("--target", f"{THING}a", "--target-dependents").changes == {"update": 3}
    assert stack.calls() == [("update", "a"), ("update", "b"), ("update", "c")]


@scenario
def a_targeted_resource_needs_one_that_is_not_targeted(stack: Driver) -> None:
    stack.program('a = Thing("a", size=1)\nThing("b", size=a.serial)')
    stack.up("--target", f"{THING}b", fails="not specified in --target list")
    assert stack.in_cloud() == set()
    assert stack.up("--target", f"{THING}*").changes == {"create": 2}


@scenario
def what_is_not_targeted_is_not_deleted(stack: Driver) -> None:
    stack.program('Thing("a", size=1)\nThing("b", size=1)')
    stack.up()
    stack.program("")
    assert stack.up("--target", f"{THING}a").changes == {"delete": 1}
    assert stack.in_cloud() == {"b-1"}


@scenario
def destroy_of_targets(stack: Driver) -> None:
    stack.program(CHAIN)
    stack.up()
    stack.destroy("--target", f"{THING}b", fails="c' will be destroyed but was not specified")
    assert len(stack.in_cloud()) == 4
    assert stack.destroy("--target", f"{THING}b", "--target-dependents").changes == {"delete": 2}
    assert stack.in_cloud() == {"a-1", "d-1"}


@scenario
def refresh_adopts_drift(stack: Driver) -> None:
    stack.program('a = Thing("a", size=1)\nb = Thing("b", size=1)\nThing("c", size=b.serial)')
    stack.up()
    _drift(stack, "a-1", '"size": 1', '"size": 5')
    stack.cloud("b-1").unlink()
    stack.refresh("--preview-only")
    assert stack.state("a")["outputs"]["size"] == 1
    assert stack.refresh().changes == {"update": 1, "delete": 1}
    assert stack.state("a")["outputs"]["size"] == 5
    assert stack.up().changes == {"create": 1, "update": 1}


@scenario
def refresh_finds_nothing_new(stack: Driver) -> None:
    stack.program('box = Box("box")\nThing("a", size=1, opts=ResourceOptions(parent=box))')
    stack.up()
    assert stack.refresh("--expect-no-changes").changes == {}
    assert stack.up().changes == {}


@scenario
def refresh_of_targets(stack: Driver) -> None:
    stack.program('Thing("a", size=1)\nThing("b", size=1)')
    stack.up()
    for identity in ("a-1", "b-1"):
        _drift(stack, identity, '"size": 1', '"size": 5')
    assert stack.refresh("--target", f"{THING}a").changes == {"update": 1}
    assert stack.state("b")["outputs"]["size"] == 1


@scenario
def up_with_refresh_repairs_drift(stack: Driver) -> None:
    stack.program('a = Thing("a", size=1)\nThing("b", size=a.size)')
    stack.up()
    stack.calls()
    _drift(stack, "a-1", '"size": 1', '"size": 5')
    assert stack.preview("--refresh").changes["update"] >= 1
    stack.up("--refresh")
    assert ("update", "a") in stack.calls()
    assert '"size": 1' in stack.cloud("a-1").read_text(encoding="utf-8")
    assert stack.up().changes == {}


@scenario
def refresh_that_cannot_read(stack: Driver) -> None:
    stack.program('Thing("a", size=1, fail="read")\nThing("b", size=1)')
    stack.up()
    stack.refresh(fails="the cloud refuses to read this")
    assert stack.state("a")["id"] == "a-1"


@scenario
def refresh_records_why_a_resource_is_not_ready_any_more(stack: Driver) -> None:
    stack.program('Thing("a", size=1)')
    stack.up()
    _drift(stack, "a-1", '"size": 1', '"size": 5, "sick": true')
    stack.refresh()
    assert stack.state("a")["initErrors"] == ["it has become sick"]
    assert stack.state("a")["outputs"]["size"] == 5
    assert stack.up().changes == {"update": 1}
    assert "initErrors" not in stack.state("a")


@scenario
def a_resource_vanishes_before_destroy(stack: Driver) -> None:
    stack.program('a = Thing("a", size=1)\nThing("b", size=a.serial)')
    stack.up()
    stack.cloud("a-1").unlink()
    stack.refresh()
    assert "dependencies" not in stack.state("b")
    stack.destroy()
    assert stack.in_cloud() == set()
