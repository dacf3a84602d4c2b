"""Scenarios: components, parents, aliases and the names that follow from them."""

from tests.engine.parity.driver import URN, Driver
from tests.engine.parity.registry import scenario


@scenario
def a_component_registers_its_outputs(stack: Driver) -> None:
    program = """
    box = Box("box")
    inner = Box("inner", ResourceOptions(parent=box))
    a = Thing("a", size=1, opts=ResourceOptions(parent=inner))
    Thing("b", size=a.serial, opts=ResourceOptions(parent=a))
    inner.register_outputs({"serial": a.serial, "hidden": pulumi.Output.secret("x")})
    box.register_outputs({})
    """
    stack.program(program)
    assert stack.preview().changes == {"create": 5}
    assert stack.up().changes == {"create": 5}
    assert stack.state("b")["urn"] == f"{URN}probe:index:Box$probe:index:Box$test:index:Thing$test:index:Thing::b"
    assert stack.state("inner")["outputs"]["serial"] == 1
    stack.program(program.replace('"serial": a.serial', '"serial": 2'))
    assert stack.up().changes == {}
    assert stack.state("inner")["outputs"]["serial"] == 2


@scenario
def an_alias_renames_without_touching_the_resource(stack: Driver) -> None:
    stack.program('a = Thing("old", size=1)\nThing("child", opts=ResourceOptions(depends_on=[a]))')
    stack.up()
    stack.calls()
    stack.program(
        'a = Thing("new", size=1, opts=ResourceOptions(aliases=[pulumi.Alias(name="old")]))\n'
        'Thing("child", opts=ResourceOptions(depends_on=[a]))'
    )
    assert stack.preview().changes == {}
    assert stack.up().changes == {}
    assert stack.calls() == []
    assert stack.state("new")["id"] == "old-1"
    assert stack.state("child")["dependencies"] == [stack.state("new")["urn"]]


@scenario
def a_renamed_component_takes_its_children_along(stack: Driver) -> None:
    stack.program('box = Box("box")\nThing("box-a", size=1, opts=ResourceOptions(parent=box))')
    stack.up()
    stack.calls()
    stack.program(
        'box = Box("crate", ResourceOptions(aliases=[pulumi.Alias(name="box")]))\n'
        'Thing("crate-a", size=1, opts=ResourceOptions(parent=box))'
    )
    assert stack.up().changes == {}
    assert stack.calls() == []
    assert stack.state("crate-a")["parent"].endswith("::crate")


@scenario
def a_resource_moves_under_another_parent(stack: Driver) -> None:
    stack.program('a = Thing("a", size=1)\nThing("b", size=a.serial)')
    stack.up()
    stack.calls()
    stack.program(
        """
        box = Box("box")
        a = Thing("a", size=1, opts=ResourceOptions(
            parent=box, aliases=[pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)]))
        Thing("b", size=a.serial)
        """
    )
    assert stack.up().changes == {"create": 1}
    assert stack.calls() == []
    assert stack.state("b")["dependencies"] == [stack.state("a")["urn"]]
    assert "box" in stack.state("a")["parent"]


@scenario
def a_rename_together_with_a_change_updates(stack: Driver) -> None:
    stack.program('Thing("old", size=1)')
    stack.up()
    stack.calls()
    urn = f"{URN}test:index:Thing::old"
    stack.program(f'Thing("new", size=2, opts=ResourceOptions(aliases=["{urn}"]))')
    assert stack.preview().steps == {("update", "new")}
    assert stack.up().changes == {"update": 1}
    assert stack.calls() == [("update", "new")]


@scenario
def a_rename_together_with_a_replacement(stack: Driver) -> None:
    stack.program('a = Thing("old", name="one")\nThing("user", size=a.id)')
    stack.up()
    stack.calls()
    stack.program(
        'a = Thing("new", name="two", opts=ResourceOptions(aliases=[pulumi.Alias(name="old")]))\n'
        'Thing("user", size=a.id)'
    )
    assert stack.up().changes == {"replace": 1, "update": 1}
    assert stack.in_cloud() == {"new-1", "user-1"}


@scenario
def depends_on_a_component_means_its_children(stack: Driver) -> None:
    stack.program(
        """
        box = Box("box")
        Thing("a", opts=ResourceOptions(parent=box))
        Thing("b", opts=ResourceOptions(depends_on=[box]))
        """
    )
    stack.up()
    assert stack.calls() == [("create", "a"), ("create", "b")]
    stack.destroy()
    assert stack.calls() == [("delete", "b"), ("delete", "a")]
