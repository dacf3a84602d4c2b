"""Hooks of a packaged component: they are called in the provider's process, as long as that runs."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import struct_pb2

from tests.package.host import Package, another_program, running_package
from tests.package.inputs import inputs, release

pytestmark = pytest.mark.slow

COMPONENT = '''
import gc
from typing import TypedDict

import pulumi
from pulumi.provider.experimental import component_provider_host


class Args(TypedDict):
    limit: int
    """What the hook permits."""


class BlueGreenService(pulumi.ComponentResource):
    """A component with a hook of its own."""

    def __init__(self, name: str, args: Args, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vllm-blue-green:index:BlueGreenService", name, {}, opts)

        def refuse(event: pulumi.ResourceHookArgs) -> None:
            raise ValueError(f"{name} in {pulumi.get_stack()} permits {args['limit']:g}")

        hook = pulumi.ResourceHook(f"{name}-guards", refuse, pulumi.ResourceHookOptions(on_dry_run=True))
        binding = pulumi.ResourceHookBinding(before_update=[hook])
        pulumi.ComponentResource("test:index:Part", name, {}, pulumi.ResourceOptions(parent=self, hooks=binding))
        gc.collect()
        self.register_outputs({})


component_provider_host(components=[BlueGreenService], name="vllm-blue-green")
'''


def test_a_constructed_components_hooks_are_registered_bound_and_called_after_it_was_made(tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text(COMPONENT, encoding="utf-8")
    with running_package(tmp_path) as package:
        package.construct("chat", {"limit": 50})
        package.construct("code", {"limit": 25})
        assert set(package.monitor.hooks) == {"chat-guards", "code-guards"}
        assert all(hook.on_dry_run for hook in package.monitor.hooks.values())
        assert list(package.monitor.named("Part", "chat").hooks.before_update) == ["chat-guards"]
        assert "code in dev permits 25" in package.call_hook("code-guards", package.monitor.named("Part", "code"))
        assert "chat in dev permits 50" in package.call_hook("chat-guards", package.monitor.named("Part", "chat"))


@pytest.mark.parametrize(("weight", "refused"), [(50, False), (100, True)])
def test_the_guards_refuse_too_large_a_step_of_a_packaged_service(package: Package, weight: int, refused: bool) -> None:
    releases = {
        "blue": {"replicas": 1, "release": release()},
        "green": {"replicas": 1, "release": release(modelRevision="beef123")},
    }
    with another_program(package) as program:
        program.construct("llm", inputs(**releases, greenWeight=weight), preview=True)
        rule = program.monitor.named("ListenerRule", "llm")
        (guard,) = rule.hooks.before_update
        assert program.monitor.hooks[guard].on_dry_run
        before: Any = struct_pb2.Struct()
        before.CopyFrom(rule.object)
        blue, green = before["actions"][0]["forward"]["targetGroups"]
        blue["weight"], green["weight"] = 100, 0
        message = program.call_hook(guard, rule, before)
        assert bool(message) is refused
        assert not refused or "max_step_points" in message
