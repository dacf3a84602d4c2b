"""Scenarios: what programs see of the engine, and what the CLI prints for programs."""

import json

from tests.engine.parity.driver import Driver
from tests.engine.parity.registry import scenario


@scenario
def config_of_every_type_reaches_the_program(stack: Driver) -> None:
    stack.config(
        secret={"token": "hunter2-and-more"},
        text="plain",
        number="7",
        yes="true",
        list='["a","b"]',
        object='{"deep":{"n":1}}',
    )
    stack.command("config", "set", "--path", "structured.items[0].name", "first")
    stack.command("config", "set", "--path", "structured.flag", "true")
    stack.command("config", "set", "--secret", "--path", "structured.hidden", "hunter3-and-more")
    stack.program(
        """
        config = pulumi.Config()
        pulumi.export("all", {
            "text": config.require("text"), "number": config.require_int("number"), "yes": config.require_bool("yes"),
            "list": config.require_object("list"), "object": config.require_object("object"),
        })
        pulumi.export("structured", config.require_secret_object("structured"))
        pulumi.export("token", config.require_secret("token"))
        pulumi.export("who", [pulumi.get_project(), pulumi.get_stack(), pulumi.get_organization()])
        """
    )
    stack.up()
    assert stack.outputs()["all"]["list"] == ["a", "b"]
    assert stack.outputs()["who"] == ["probe", "dev", "organization"]


@scenario
def missing_config_stops_the_program(stack: Driver) -> None:
    stack.program('pulumi.Config().require("absent")')
    stack.preview(fails="Missing required configuration variable 'probe:absent'")


@scenario
def outputs_are_unknown_in_a_preview(stack: Driver) -> None:
    stack.program(
        """
        a = Thing("a", size=1)
        Thing("b", size=a.serial, text=pulumi.Output.format("x-{0}", a.serial), list=[1, a.token])
        pulumi.export("serial", a.serial)
        pulumi.export("known", a.size)
        if pulumi.runtime.is_dry_run():
            a.serial.apply(lambda value: pulumi.log.warn(f"known: {value}"))
        """
    )
    assert "known: " not in str(stack.preview().messages("warning"))
    stack.up()
    assert stack.state("b")["inputs"]["text"] == "x-1"


@scenario
def log_messages_of_the_program(stack: Driver) -> None:
    stack.program(
        """
        a = Thing("a", size=1)
        pulumi.log.info("an information", a)
        pulumi.log.warn("a warning")
        print("printed")
        """
    )
    outcome = stack.preview()
    assert "a warning" in outcome.messages("warning")
    stack.up()


@scenario
def a_logged_error_does_not_fail_the_update(stack: Driver) -> None:
    stack.program('Thing("a", size=1)\npulumi.log.error("this is wrong")')
    assert stack.preview().errors == "this is wrong"
    assert stack.up().changes == {"create": 2}


@scenario
def a_preview_as_json(stack: Driver) -> None:
    stack.program('Thing("a", size=1, name="x")\nThing("b", size=1)')
    stack.up()
    stack.program('Thing("a", size=1, name="y")\nThing("c", size=2)')
    document = json.loads(stack.preview("--json").stdout)
    assert document["changeSummary"] == {"create": 1, "delete": 1, "replace": 1, "same": 1}
    operations = {(step["op"], step["urn"].rsplit("::", 1)[-1]) for step in document["steps"]}
    assert operations == {
        ("same", "probe-dev"),
        ("create", "c"),
        ("delete", "b"),
        ("replace", "a"),
    }


@scenario
def many_resources_side_by_side(stack: Driver) -> None:
    stack.program('for number in range(20):\n    Thing(f"t{number}", size=number)')
    assert stack.up("--parallel", "4").changes == {"create": 21}
    stack.program('for number in range(0, 20, 2):\n    Thing(f"t{number}", size=number + 1)')
    assert stack.up().changes == {"update": 10, "delete": 10}
    assert len(stack.in_cloud()) == 10
