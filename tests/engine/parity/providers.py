"""Scenarios: default and explicit providers, functions, and resources that are read."""

from tests.engine.parity.driver import URN, Driver
from tests.engine.parity.registry import scenario

PROVIDER = """
class Test(pulumi.ProviderResource):
    def __init__(self, name, opts=None, **props):
        super().__init__("test", name, props, opts)
"""


@scenario
def an_explicit_provider_is_configured_and_its_replacement_replaces_its_resources(stack: Driver) -> None:
    program = PROVIDER + 'Thing("a", size=1, opts=ResourceOptions(provider=Test("mine", account="one")))\n'
    stack.program(program)
    assert stack.preview().changes == {"create": 3}
    stack.up()
    assert stack.state("a")["provider"].startswith(f"{URN}pulumi:providers:test::mine::")
    stack.program(program.replace('account="one"', 'account="two"'))
    assert stack.preview().changes == {"replace": 2}
    assert stack.up().changes == {"replace": 2}
    assert stack.in_cloud() == {"a-2"}


@scenario
def an_explicit_provider_changes_in_place(stack: Driver) -> None:
    stack.config(secret={"key": "hunter2-and-more"})
    program = (
        PROVIDER
        + """
mine = Test("mine", account="one", region="here", key=pulumi.Config().require_secret("key"))
Thing("a", size=1, opts=ResourceOptions(provider=mine))
"""
    )
    stack.program(program)
    stack.up()
    stack.calls()
    stack.program(program.replace("here", "there"))
    assert stack.preview().changes == {"update": 1}
    assert stack.up().changes == {"update": 1}
    assert stack.state("mine")["inputs"]["region"] == "there"
    stack.program("")
    assert stack.up().changes == {"delete": 2}


@scenario
def resources_inherit_the_provider_of_their_component(stack: Driver) -> None:
    program = (
        PROVIDER
        + """
box = Box("box", ResourceOptions(providers=[Test("mine", account="one")]))
a = Thing("a", size=1, opts=ResourceOptions(parent=box))
Thing("b", size=a.serial, opts=ResourceOptions(parent=a))
Thing("c", size=1)
"""
    )
    stack.program(program)
    stack.up()
    assert "::mine::" in stack.state("b")["provider"]
    assert "::default::" in stack.state("c")["provider"]
    stack.program(program.replace("box = Box", "Thing('d')\nbox = Box"))
    assert stack.up().changes == {"create": 1}


@scenario
def another_provider_replaces_the_resource(stack: Driver) -> None:
    stack.program(PROVIDER + 'Thing("a", size=1, opts=ResourceOptions(provider=Test("one", account="one")))\n')
    stack.up()
    stack.program(PROVIDER + 'Thing("a", size=1, opts=ResourceOptions(provider=Test("two", account="two")))\n')
    assert stack.preview().changes == {"create": 1, "replace": 1, "delete": 1}
    assert stack.up().changes == {"create": 1, "replace": 1, "delete": 1}
    assert stack.in_cloud() == {"a-2"}


@scenario
def a_provider_that_is_not_known_before_the_update(stack: Driver) -> None:
    stack.program(
        PROVIDER
        + """
base = Thing("base", size=1)
Thing("a", size=1, opts=ResourceOptions(provider=Test("mine", account=base.token)))
"""
    )
    assert stack.preview().changes == {"create": 4}
    assert stack.up().changes == {"create": 4}
    assert stack.up().changes == {}


@scenario
def the_default_provider_takes_its_config_from_the_stack(stack: Driver) -> None:
    stack.program('Thing("a", size=1)')
    stack.command("config", "set", "test:region", "here")
    stack.command("config", "set", "--secret", "test:key", "hunter2-and-more")
    stack.up()
    assert stack.state("default")["inputs"]["region"] == "here"
    stack.command("config", "set", "test:region", "there")
    stack.command("config", "set", "test:note", "what the plugin does not care about")
    assert stack.up().changes == {}
    assert stack.state("default")["inputs"]["region"] == "there"


@scenario
def a_resource_asks_for_a_version_of_its_plugin(stack: Driver) -> None:
    stack.program('Thing("a", size=1, opts=ResourceOptions(version="1.0.0"))\nThing("b", size=1)')
    stack.up()
    assert "::default_1_0_0::" in stack.state("a")["provider"]
    stack.program('Thing("a", size=1)\nThing("b", size=1)')
    assert stack.up().changes == {}


@scenario
def functions_are_called_and_resources_read(stack: Driver) -> None:
    stack.program('Thing("a", size=7, password=pulumi.Output.secret("x"))')
    stack.up()
    stack.program(
        """
        Thing("a", size=7, password=pulumi.Output.secret("x"))
        known = Thing("known", opts=ResourceOptions(id="a-1", additional_secret_outputs=["token"]))
        user = Thing("user", size=known.serial)
        pulumi.export("doubled", pulumi.runtime.invoke_output("test:index:double", {"number": 21})
                      .apply(lambda answer: answer["doubled"]))
        """
    )
    stack.preview()
    stack.up()
    assert stack.outputs()["doubled"] == 42
    assert stack.state("known")["external"] is True
    assert stack.up().changes.get("update") is None
    stack.calls()
    stack.destroy()
    assert sorted(stack.calls()) == [("delete", "a"), ("delete", "user")]


@scenario
def a_resource_that_is_read_does_not_exist(stack: Driver) -> None:
    stack.program('Thing("known", opts=ResourceOptions(id="nowhere"))')
    stack.up(fails="does not exist")


@scenario
def a_missing_plugin_is_named(stack: Driver) -> None:
    stack.program('pulumi.CustomResource("nowhere:index:Thing", "a", {})')
    stack.preview(fails="nowhere")


@scenario
def a_plugin_fails_to_call_its_function(stack: Driver) -> None:
    stack.program('pulumi.export("x", pulumi.runtime.invoke_output("test:index:double", {}))')
    stack.preview(fails="number")
