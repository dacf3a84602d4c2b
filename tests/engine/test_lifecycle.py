"""What happens to resources from their first registration to their deletion."""

import pulumi.automation as auto
import pytest

from tests.engine.conftest import World

ONE = """
thing = Thing("a", size=1, name="first")
pulumi.export("serial", thing.serial)
"""


def test_a_resource_is_created_and_then_stays_the_same(world: World) -> None:
    world.program(ONE)
    stack = world.open()
    assert world.preview() == {"create": 2}
    assert world.calls() == []
    assert world.up() == {"create": 2}
    assert stack.outputs()["serial"].value == 1
    assert world.up() == {}
    assert world.calls() == [("create", "a")]


def test_a_changed_property_updates_in_place(world: World) -> None:
    world.program(ONE)
    stack = world.open()
    stack.up()
    world.program(ONE.replace("size=1", "size=2"))
    assert world.preview() == {"update": 1}
    assert world.up() == {"update": 1}
    assert stack.outputs()["serial"].value == 2
    assert world.resources()["a"]["inputs"]["size"] == 2


def test_a_replacement_creates_before_it_deletes(world: World) -> None:
    world.program(ONE)
    stack = world.open()
    stack.up()
    first = world.resources()["a"]["id"]
    world.forget_calls()
    world.program(ONE.replace("first", "second"))
    assert world.preview() == {"replace": 1}
    assert world.up() == {"replace": 1}
    assert world.calls() == [("create", "a"), ("delete", "a")]
    assert world.resources()["a"]["id"] != first
    assert not (world.cloud / f"{first}.json").exists()


def test_delete_before_replace_takes_dependents_along(world: World) -> None:
    program = """
    base = Thing("base", slot="one", opts=ResourceOptions(delete_before_replace=True))
    Thing("tied", slot=base.id)
    Thing("loose", size=base.serial)
    """
    world.program(program)
    stack = world.open()
    stack.up()
    world.forget_calls()
    world.program(program.replace("one", "two"))
    assert world.preview()["replace"] == 2
    assert world.up() == {"replace": 2}
    assert world.calls() == [("delete", "tied"), ("delete", "base"), ("create", "base"), ("create", "tied")]


def test_what_the_program_no_longer_declares_is_deleted_dependents_first(world: World) -> None:
    world.program(
        """
        a = Thing("a", size=1)
        b = Thing("b", size=a.serial)
        Thing("c", opts=ResourceOptions(depends_on=[b]))
        """
    )
    stack = world.open()
    stack.up()
    world.forget_calls()
    world.program("")
    assert world.preview() == {"delete": 3}
    assert world.up() == {"delete": 3}
    assert world.calls() == [("delete", "c"), ("delete", "b"), ("delete", "a")]
    assert stack.destroy().summary.resource_changes == {"delete": 1}
    assert world.resources() == {}


def test_an_alias_renames_without_touching_the_resource(world: World) -> None:
    world.program('a = Thing("old", size=1)\nThing("child", opts=ResourceOptions(depends_on=[a]))')
    stack = world.open()
    stack.up()
    identity = world.resources()["old"]["id"]
    world.forget_calls()
    world.program(
        'a = Thing("new", size=1, opts=ResourceOptions(aliases=[pulumi.Alias(name="old")]))\n'
        'Thing("child", opts=ResourceOptions(depends_on=[a]))'
    )
    assert world.up() == {}
    assert world.calls() == []
    resources = world.resources()
    assert resources["new"]["id"] == identity
    assert "old" not in resources
    assert resources["child"]["dependencies"] == [resources["new"]["urn"]]


def test_a_component_that_is_renamed_takes_its_children_along(world: World) -> None:
    world.program('box = Box("box")\nThing("box-a", size=1, opts=ResourceOptions(parent=box))')
    stack = world.open()
    stack.up()
    world.forget_calls()
    world.program(
        'box = Box("crate", ResourceOptions(aliases=[pulumi.Alias(name="box")]))\n'
        'Thing("crate-a", size=1, opts=ResourceOptions(parent=box))'
    )
    assert world.up() == {}
    assert world.calls() == []
    assert world.resources()["crate-a"]["parent"].endswith("::crate")


def test_a_protected_resource_is_not_deleted(world: World) -> None:
    world.program('Thing("a", size=1, opts=ResourceOptions(protect=True))')
    stack = world.open()
    stack.up()
    world.program("")
    with pytest.raises(auto.CommandError, match="protected"):
        stack.preview()
    with pytest.raises(auto.CommandError, match="protected"):
        stack.up()
    with pytest.raises(auto.CommandError, match="protected"):
        stack.destroy()
    assert ("delete", "a") not in world.calls()
    world.program('Thing("a", size=1)')
    stack.up()
    world.program("")
    assert world.up() == {"delete": 1}


def test_a_protected_resource_is_not_replaced(world: World) -> None:
    program = 'Thing("a", name="first", opts=ResourceOptions(protect=True))'
    world.program(program)
    stack = world.open()
    stack.up()
    world.forget_calls()
    world.program(program.replace("first", "second"))
    with pytest.raises(auto.CommandError, match="marked for protection"):
        stack.up()
    assert world.calls() == []


def test_a_retained_resource_is_forgotten_but_not_deleted(world: World) -> None:
    world.program('Thing("a", size=1, opts=ResourceOptions(retain_on_delete=True))')
    stack = world.open()
    stack.up()
    world.program("")
    assert world.up() == {"delete": 1}
    assert ("delete", "a") not in world.calls()


def test_ignored_changes_are_not_made(world: World) -> None:
    program = 'Thing("a", size=1, tags={"x": "1", "y": "1"}, opts=ResourceOptions(ignore_changes=["size", "tags.x"]))'
    world.program(program)
    stack = world.open()
    stack.up()
    world.program(program.replace("size=1", "size=2").replace('"x": "1"', '"x": "2"'))
    assert world.up() == {}
    world.program(program.replace("size=1", "size=2").replace('"y": "1"', '"y": "2"'))
    assert world.up() == {"update": 1}
    inputs = world.resources()["a"]["inputs"]
    assert inputs["size"] == 1
    assert inputs["tags"] == {"x": "1", "y": "2"}


def test_replace_on_changes_turns_an_update_into_a_replacement(world: World) -> None:
    program = 'Thing("a", size=1, opts=ResourceOptions(replace_on_changes=["size"]))'
    world.program(program)
    stack = world.open()
    stack.up()
    world.program(program.replace("size=1", "size=2"))
    assert world.up() == {"replace": 1}


def test_a_resource_deleted_with_another_is_not_deleted_by_itself(world: World) -> None:
    world.program('a = Thing("a", size=1)\nThing("b", size=1, opts=ResourceOptions(deleted_with=a))')
    stack = world.open()
    stack.up()
    world.forget_calls()
    stack.destroy()
    assert world.calls() == [("delete", "a")]


def test_an_explicit_provider_is_configured_and_its_replacement_replaces_its_resources(world: World) -> None:
    program = """
    class Test(pulumi.ProviderResource):
        def __init__(self, name, **props):
            super().__init__("test", name, props)

    Thing("a", size=1, opts=ResourceOptions(provider=Test("mine", account="one")))
    """
    world.program(program)
    stack = world.open()
    stack.up()
    assert "::mine::" in world.resources()["a"]["provider"]
    world.program(program.replace('account="one"', 'account="two"'))
    assert world.up() == {"replace": 2}


def test_custom_timeouts_reach_the_plugin(world: World) -> None:
    world.program('Thing("a", opts=ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="1m30s")))')
    world.open().up()
    assert '"timeout": 90' in (world.cloud / "log.jsonl").read_text(encoding="utf-8")


def test_functions_of_the_plugin_are_called_and_resources_read(world: World) -> None:
    world.program('Thing("a", size=7)')
    stack = world.open()
    stack.up()
    identity = world.resources()["a"]["id"]
    world.program(
        f"""
        Thing("a", size=7)
        known = Thing("known", opts=ResourceOptions(id="{identity}"))
        pulumi.export("read", known.serial)
        answer = pulumi.runtime.invoke_async
        async def double():
            return (await answer("test:index:double", {{"number": 21}}))["doubled"]
        pulumi.export("doubled", double())
        """
    )
    stack.up()
    outputs = stack.outputs()
    assert (outputs["read"].value, outputs["doubled"].value) == (1, 42)
    assert world.resources()["known"]["external"] is True
    stack.destroy()
    assert world.calls("delete") == [("delete", "a")]


def test_independent_resources_are_created_at_the_same_time(world: World) -> None:
    world.program('for number in range(6):\n    Thing(f"t{number}", slow=1)')
    world.open()
    begin_to_end = world.stack.up().summary
    assert begin_to_end.end_time is not None
    assert (begin_to_end.end_time - begin_to_end.start_time).total_seconds() < 6


def test_only_targeted_resources_are_updated(world: World) -> None:
    program = 'Thing("a", size=1)\nThing("b", size=1)'
    world.program(program)
    stack = world.open()
    stack.up()
    world.forget_calls()
    world.program(program.replace("size=1", "size=2") + '\nThing("c", size=2)')
    assert world.up(target=["urn:pulumi:dev::probe::test:index:Thing::a"]) == {"update": 1}
    assert world.calls() == [("update", "a")]
    assert "c" not in world.resources()
    assert world.up() == {"update": 1, "create": 1}


def test_refresh_adopts_what_the_cloud_has_become(world: World) -> None:
    world.program('Thing("a", size=1)\nThing("b", size=1)')
    stack = world.open()
    stack.up()
    resources = world.resources()
    changed = world.cloud / f"{resources['a']['id']}.json"
    changed.write_text(changed.read_text(encoding="utf-8").replace('"size": 1', '"size": 5'), encoding="utf-8")
    (world.cloud / f"{resources['b']['id']}.json").unlink()
    stack.refresh()
    after = world.resources()
    assert after["a"]["outputs"]["size"] == 5
    assert "b" not in after
    assert world.up() == {"create": 1, "update": 1}
