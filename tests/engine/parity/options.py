"""Scenarios: the options of resources."""

from tests.engine.parity.driver import Driver
from tests.engine.parity.registry import scenario


@scenario
def ignored_changes_are_not_made(stack: Driver) -> None:
    program = 'Thing("a", size=1, tags={"x": "1", "y": "1"}, opts=ResourceOptions(ignore_changes=["size", "tags.x"]))'
    stack.program(program)
    stack.up()
    changed = program.replace("size=1", "size=2")
    stack.program(changed.replace('"x": "1"', '"x": "2"'))
    assert stack.up().changes == {}
    stack.program(changed.replace('"y": "1"', '"y": "2"'))
    assert stack.up().changes == {"update": 1}
    inputs = stack.state("a")["inputs"]
    assert (inputs["size"], inputs["tags"]) == (1, {"x": "1", "y": "2"})


@scenario
def options_alone_change(stack: Driver) -> None:
    stack.program('a = Thing("a", size=1)\nThing("b", size=1)')
    stack.up()
    stack.calls()
    stack.program(
        'a = Thing("a", size=1, opts=ResourceOptions(protect=True, retain_on_delete=True))\n'
        'Thing("b", size=1, opts=ResourceOptions(depends_on=[a], ignore_changes=["size"], deleted_with=a,'
        ' custom_timeouts=pulumi.CustomTimeouts(delete="5m"), replace_on_changes=["grade"]))'
    )
    assert stack.up().changes == {}
    assert stack.calls() == []
    assert stack.state("a")["protect"] is True
    assert stack.state("b")["deletedWith"] == stack.state("a")["urn"]


@scenario
def a_retained_resource_is_forgotten_but_not_deleted(stack: Driver) -> None:
    stack.program('Thing("a", name="one", opts=ResourceOptions(retain_on_delete=True))')
    stack.up()
    stack.program('Thing("a", name="two", opts=ResourceOptions(retain_on_delete=True))')
    assert stack.up().changes == {"replace": 1}
    stack.program("")
    assert stack.up().changes == {"delete": 1}
    assert stack.calls("delete") == []
    assert stack.in_cloud() == {"a-1", "a-2"}


@scenario
def a_resource_deleted_with_another_is_not_deleted_by_itself(stack: Driver) -> None:
    stack.program('a = Thing("a", name="x")\nThing("b", size=1, opts=ResourceOptions(deleted_with=a))')
    stack.up()
    stack.calls()
    assert stack.destroy().changes == {"delete": 3}
    assert stack.calls() == [("delete", "a")]


@scenario
def a_resource_deleted_with_another_is_replaced_with_it(stack: Driver) -> None:
    program = 'a = Thing("a", slot="x")\nThing("b", size=1, opts=ResourceOptions(deleted_with=a))'
    stack.program(program)
    stack.up()
    stack.calls()
    stack.program(program.replace('"x"', '"y"'))
    assert stack.up().changes == {"replace": 2}
    assert stack.calls("delete") == [("delete", "a")]
    assert stack.in_cloud() == {"a-2", "b-1", "b-2"}


@scenario
def custom_timeouts_reach_the_plugin(stack: Driver) -> None:
    stack.program(
        'Thing("a", opts=ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="1m30s", update="1h", '
        'delete="0.5s")))'
    )
    stack.up()
    assert '"timeout": 90' in (stack.world.cloud / "log.jsonl").read_text(encoding="utf-8")


@scenario
def replace_on_changes_turns_an_update_into_a_replacement(stack: Driver) -> None:
    program = """
    Thing("a", size=1, tags={"x": 1}, opts=ResourceOptions(replace_on_changes=["size"]))
    Thing("b", size=1, opts=ResourceOptions(replace_on_changes=["*"], delete_before_replace=True))
    """
    stack.program(program)
    stack.up()
    stack.program(program.replace('"x": 1', '"x": 2'))
    assert stack.preview().changes == {"update": 1}
    stack.program(program.replace("size=1", "size=2"))
    assert stack.preview().changes == {"replace": 2}
    assert stack.up().changes == {"replace": 2}
    assert stack.in_cloud() == {"a-2", "b-2"}


@scenario
def secrets_stay_secret(stack: Driver) -> None:
    stack.config(secret={"password": "hunter2-and-more"}, size="3")
    program = """
    config = pulumi.Config()
    a = Thing("a", size=config.require_int("size"), password=config.require_secret("password"), opts=ResourceOptions(
        additional_secret_outputs=["serial"]))
    Thing("b", size=a.serial, nested={"list": [1, a.token]})
    pulumi.export("token", a.token)
    pulumi.export("plain", a.size)
    """
    stack.program(program)
    assert "hunter2" not in str(stack.preview("--diff").events)
    outcome = stack.up()
    assert "hunter2" not in str(outcome.events) + str(outcome.checkpoint) + outcome.stdout
    assert "ciphertext" in stack.outputs()["token"]
    assert stack.up().changes == {}
    stack.config(secret={"password": "another-one"})
    assert stack.up().changes == {"update": 2}
    assert '"another-one"' in stack.cloud("b-1").read_text(encoding="utf-8")


@scenario
def transforms_change_what_is_registered(stack: Driver) -> None:
    stack.program(
        """
        def tagged(args):
            if args.type_ == "test:index:Thing":
                return pulumi.ResourceTransformationResult({**args.props, "tags": {"by": "transform"}}, args.opts)
        pulumi.runtime.register_stack_transformation(tagged)
        Thing("a", size=1)
        """
    )
    stack.up()
    assert stack.state("a")["inputs"]["tags"] == {"by": "transform"}


@scenario
def protection_is_inherited_and_can_be_taken_off(stack: Driver) -> None:
    program = 'box = Box("box", ResourceOptions(protect=True))\nThing("a", opts=ResourceOptions(parent=box))'
    stack.program(program)
    stack.up()
    assert stack.state("a")["protect"] is True
    stack.destroy(fails="protected")
    assert stack.in_cloud() == {"a-1"}
    stack.program(program.replace("True", "False"))
    assert stack.up().changes == {}
    assert "protect" not in stack.state("a")
    stack.program("")
    assert stack.up().changes == {"delete": 2}
