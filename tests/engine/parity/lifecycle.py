"""Scenarios: what happens to resources from their first registration to their deletion."""

from tests.engine.parity.driver import Driver
from tests.engine.parity.registry import scenario

ONE = """
thing = Thing("a", size=1, name="first")
pulumi.export("serial", thing.serial)
"""

CHAIN = """
a = Thing("a", size=1)
b = Thing("b", size=a.serial)
c = Thing("c", opts=ResourceOptions(depends_on=[b]))
"""


@scenario
def create_preview_and_no_change(stack: Driver) -> None:
    stack.program(ONE)
    assert stack.preview().changes == {"create": 2}
    assert stack.calls() == []
    assert stack.up("-m", "the first one").changes == {"create": 2}
    assert stack.outputs() == {"serial": 1}
    assert stack.up("--expect-no-changes").changes == {}
    assert stack.calls() == [("create", "a")]


@scenario
def update_in_place(stack: Driver) -> None:
    stack.program(ONE)
    stack.up()
    stack.program(ONE.replace("size=1", "size=2"))
    preview = stack.preview("--diff")
    assert preview.changes == {"update": 1}
    assert preview.steps == {("update", "a")}
    assert "size: 1 => 2" in " ".join(preview.stdout.split())
    assert stack.up().changes == {"update": 1}
    assert stack.outputs() == {"serial": 2}
    assert stack.state("a")["inputs"]["size"] == 2


@scenario
def properties_added_and_removed(stack: Driver) -> None:
    stack.program('Thing("a", tags={"x": [1, 2.5, {"deep": True}]}, note="")')
    stack.up()
    stack.program('Thing("a", tags={"x": [1, 3.5, {"deep": None}], "y": "é"})')
    assert stack.preview().changes == {"update": 1}
    assert stack.up().changes == {"update": 1}
    assert "note" not in stack.state("a")["inputs"]


@scenario
def replacement_creates_before_it_deletes(stack: Driver) -> None:
    stack.program(ONE)
    stack.up()
    stack.calls()
    stack.program(ONE.replace("first", "second"))
    assert stack.preview().changes == {"replace": 1}
    assert stack.up().steps == {("create-replacement", "a"), ("replace", "a"), ("delete-replaced", "a")}
    assert stack.calls() == [("create", "a"), ("delete", "a")]
    assert stack.in_cloud() == {"a-2"}


@scenario
def replacement_deletes_first_where_the_plugin_says_so(stack: Driver) -> None:
    stack.program('Thing("a", slot="one")')
    stack.up()
    stack.calls()
    stack.program('Thing("a", slot="two")')
    assert stack.preview().changes == {"replace": 1}
    assert stack.up().changes == {"replace": 1}
    assert stack.calls() == [("delete", "a"), ("create", "a")]


@scenario
def delete_before_replace_takes_dependents_along(stack: Driver) -> None:
    program = """
    base = Thing("base", name="one", opts=ResourceOptions(delete_before_replace=True))
    Thing("tied", slot=base.id)
    Thing("loose", size=base.serial)
    """
    stack.program(program)
    stack.up()
    stack.calls()
    stack.program(program.replace("one", "two"))
    assert stack.preview().changes["replace"] == 2
    assert stack.up().changes == {"replace": 2}
    assert stack.calls() == [("delete", "tied"), ("delete", "base"), ("create", "base"), ("create", "tied")]


@scenario
def replacement_updates_those_who_use_its_outputs(stack: Driver) -> None:
    program = """
    base = Thing("base", name="one")
    user = Thing("user", size=base.id)
    Thing("follower", name=user.size, opts=ResourceOptions(depends_on=[base]))
    """
    stack.program(program)
    stack.up()
    stack.calls()
    stack.program(program.replace("one", "two"))
    assert stack.preview().changes == {"replace": 2, "update": 1}
    assert stack.up().changes == {"replace": 2, "update": 1}
    assert stack.calls()[:2] == [("create", "base"), ("update", "user")]
    assert stack.state("user")["inputs"]["size"] == "base-2"


@scenario
def what_is_no_longer_declared_is_deleted_dependents_first(stack: Driver) -> None:
    stack.program(CHAIN)
    stack.up()
    stack.calls()
    stack.program("")
    assert stack.preview().changes == {"delete": 3}
    assert stack.up().changes == {"delete": 3}
    assert stack.calls() == [("delete", "c"), ("delete", "b"), ("delete", "a")]
    assert stack.in_cloud() == set()


@scenario
def destroy_ends_with_an_empty_state(stack: Driver) -> None:
    stack.program(CHAIN)
    stack.up()
    stack.calls()
    assert stack.destroy().changes == {"delete": 4}
    assert stack.calls() == [("delete", "c"), ("delete", "b"), ("delete", "a")]
    assert stack.recorded() == []
    assert stack.up().changes == {"create": 4}


@scenario
def dependencies_that_turn_around_are_replaced_in_an_order_that_works(stack: Driver) -> None:
    stack.program('a = Thing("a", name="x")\nThing("b", name=a.id)')
    stack.up()
    stack.calls()
    stack.program('b = Thing("b", name="y")\nThing("a", name=b.id)')
    assert stack.up().changes == {"replace": 2}
    assert sorted(stack.calls()[:2]) == [("create", "a"), ("create", "b")]
    assert stack.in_cloud() == {"a-2", "b-2"}


@scenario
def an_output_alone_changes(stack: Driver) -> None:
    stack.program('Thing("a", size=1)\npulumi.export("x", 1)\npulumi.export("gone", [1])')
    stack.up()
    stack.program('Thing("a", size=1)\npulumi.export("x", {"deep": [1, None]})\npulumi.export("new", "1")')
    assert stack.preview().changes == {}
    assert stack.up().changes == {}
    assert stack.outputs() == {"x": {"deep": [1, None]}, "new": "1"}


@scenario
def a_failure_in_the_middle_keeps_what_was_done(stack: Driver) -> None:
    program = """
    a = Thing("a", size=1)
    b = Thing("b", size=a.serial, fail="create")
    Thing("c", size=b.serial)
    """
    stack.program(program)
    stack.up(fails="the cloud refuses to create this")
    assert {each["urn"].rsplit("::")[-1] for each in stack.recorded()} & {"a", "b", "c"} == {"a"}
    stack.program(program.replace(', fail="create"', ""))
    assert stack.up().changes == {"create": 2}


@scenario
def a_failing_update_leaves_the_old_inputs(stack: Driver) -> None:
    stack.program('Thing("a", size=1)')
    stack.up()
    stack.program('Thing("a", size=2, fail="update")')
    assert stack.preview().changes == {"update": 1}
    stack.up(fails="the cloud refuses to update this")
    assert stack.state("a")["inputs"]["size"] == 1
    stack.program('Thing("a", size=3)')
    assert stack.up().changes == {"update": 1}


@scenario
def a_failing_deletion_of_a_replaced_resource_is_tried_again(stack: Driver) -> None:
    stack.program('Thing("a", name="first", fail="delete")')
    stack.up()
    stack.program('Thing("a", name="second")')
    stack.up(fails="the cloud refuses to delete this")
    assert [each["delete"] for each in stack.recorded() if each.get("delete")] == [True]
    assert stack.preview().steps == {("delete-replaced", "a")}
    stack.up(fails="the cloud refuses to delete this")
    assert stack.in_cloud() == {"a-1", "a-2"}


@scenario
def a_resource_that_never_becomes_ready_is_recorded_with_the_reasons(stack: Driver) -> None:
    stack.program('Thing("a", unready=True)')
    stack.up(fails="it never became ready")
    assert stack.state("a")["initErrors"] == ["it never became ready"]
    assert stack.preview().changes == {"update": 1}
    assert stack.up().changes == {"update": 1}
    assert "initErrors" not in stack.state("a")
