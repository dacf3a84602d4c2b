"""Scenarios: what is refused, by protection, by hooks, by plugins and by the engine itself."""

from tests.engine.parity.driver import Driver
from tests.engine.parity.registry import scenario

GUARDED = """
def guard(args):
    old, new = args.old_inputs["size"], args.new_inputs["size"]
    if new > old + 1:
        raise ValueError(f"{args.name}: size may not jump to {int(new)}")

hook = pulumi.ResourceHook("guard", guard, pulumi.ResourceHookOptions(on_dry_run=True))
a = Thing("a", size=1, opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(before_update=[hook])))
Thing("b", size=a.size)
"""


@scenario
def a_protected_resource_is_not_deleted(stack: Driver) -> None:
    stack.program('a = Thing("a", size=1, opts=ResourceOptions(protect=True))\nThing("b", size=a.serial)')
    stack.up()
    stack.calls()
    stack.program("")
    stack.preview(fails="protected")
    assert stack.calls() == []
    stack.up(fails="protected")
    # Its turn comes when what depends on it is gone already.
    assert stack.calls() == [("delete", "b")]
    assert stack.in_cloud() == {"a-1"}


@scenario
def a_protected_resource_is_not_replaced(stack: Driver) -> None:
    program = 'Thing("a", name="first", opts=ResourceOptions(protect=True))'
    stack.program(program)
    stack.up()
    stack.calls()
    stack.program(program.replace("first", "second"))
    stack.preview(fails="marked for protection")
    stack.up(fails="marked for protection")
    assert stack.calls() == []


@scenario
def a_protected_dependent_stops_delete_before_replace(stack: Driver) -> None:
    program = """
    base = Thing("base", slot="one")
    Thing("tied", slot=base.id, opts=ResourceOptions(protect=True))
    """
    stack.program(program)
    stack.up()
    stack.calls()
    stack.program(program.replace("one", "two"))
    stack.up(fails="protect")
    assert stack.calls() == []


@scenario
def a_hook_refuses_in_preview_and_in_update(stack: Driver) -> None:
    stack.program(GUARDED)
    stack.up()
    stack.program(GUARDED.replace("size=1", "size=2"))
    assert stack.preview().changes == {"update": 2}
    stack.program(GUARDED.replace("size=1", "size=9"))
    stack.preview(fails="a: size may not jump to 9")
    stack.calls()
    stack.up(fails="a: size may not jump to 9")
    assert stack.calls() == []
    assert stack.state("a")["inputs"]["size"] == 1


@scenario
def hooks_run_around_every_operation(stack: Driver) -> None:
    hooks = """
    from pathlib import Path
    def note(kind, dry=False):
        def hook(args):
            known = [bool(each) for each in (args.id, args.new_inputs, args.old_inputs, args.new_outputs,
                                             args.old_outputs)]
            with Path("notes").open("a") as file:
                file.write(f"{kind} {args.name} {known}\\n")
        return pulumi.ResourceHook(kind, hook, pulumi.ResourceHookOptions(on_dry_run=dry))
    kinds = ("before_create", "after_create", "before_update", "after_update", "before_delete", "after_delete")
    binding = pulumi.ResourceHookBinding(**{kind: [note(kind, kind == "before_create")] for kind in kinds})
    """
    stack.program(f'{hooks}\n    Thing("a", size=1, name="x", opts=ResourceOptions(hooks=binding))')
    stack.preview()
    stack.up()
    for change in ('size=2, name="x"', 'size=2, name="y"'):
        stack.program(f'{hooks}\n    Thing("a", {change}, opts=ResourceOptions(hooks=binding))')
        stack.up()
    stack.program(hooks)
    stack.up()
    notes = (stack.world.project / "notes").read_text(encoding="utf-8").splitlines()
    assert [line.split()[0] for line in notes] == [
        "before_create",
        "before_create",
        "after_create",
        "before_update",
        "after_update",
        "before_create",
        "after_create",
        "before_delete",
        "after_delete",
        "before_delete",
        "after_delete",
    ]
    assert notes[1:3] == [
        "before_create a [False, True, False, False, False]",
        "after_create a [True, True, False, True, False]",
    ]


@scenario
def a_failing_after_hook_fails_the_update_but_keeps_the_resource(stack: Driver) -> None:
    stack.program(
        """
        def fail(args):
            raise RuntimeError("the aftermath is bad")
        hook = pulumi.ResourceHook("fail", fail)
        a = Thing("a", size=1, opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(after_create=[hook])))
        Thing("b", size=a.serial)
        """
    )
    stack.up(fails="the aftermath is bad")
    assert stack.in_cloud() == {"a-1"}
    assert stack.state("a")["id"] == "a-1"


@scenario
def a_delete_hook_refuses(stack: Driver) -> None:
    hook = """
    def refuse(args):
        raise RuntimeError("still needed")
    hook = pulumi.ResourceHook("refuse", refuse)
    """
    binding = "opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(before_delete=[hook]))"
    stack.program(f'{hook}\n    Thing("a", size=1, {binding})')
    stack.up()
    stack.program(hook)
    stack.up(fails="still needed")
    assert stack.in_cloud() == {"a-1"}


@scenario
def inputs_that_the_plugin_rejects_stop_preview_and_update(stack: Driver) -> None:
    stack.program('a = Thing("a", size=1)\nThing("b", size=-1, opts=ResourceOptions(depends_on=[a]))')
    stack.preview(fails="must not be negative")
    stack.up(fails="must not be negative")
    assert stack.in_cloud() == {"a-1"}


@scenario
def two_resources_of_one_name_are_refused(stack: Driver) -> None:
    stack.program('a = Thing("a", size=1)\nThing("a", size=2, opts=ResourceOptions(depends_on=[a]))')
    stack.preview(fails="Duplicate resource URN")


@scenario
def a_program_that_raises_midway_deletes_nothing(stack: Driver) -> None:
    stack.program('Thing("a", size=1)\nThing("b", size=1)')
    stack.up()
    stack.program('Thing("a", size=2)\nraise ValueError("nonsense in line seven")')
    stack.up(fails="nonsense in line seven")
    assert stack.in_cloud() == {"a-1", "b-1"}


@scenario
def expected_no_changes_but_some_come(stack: Driver) -> None:
    stack.program('Thing("a", size=1)')
    stack.preview("--expect-no-changes", fails="no changes were expected")
    stack.up("--expect-no-changes", fails="no changes were expected")
    assert stack.preview("--expect-no-changes").changes == {}
