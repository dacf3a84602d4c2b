"""One stack under two engines: what one has written, the other goes on with."""

import os
from collections.abc import Iterator
from pathlib import Path

import pulumi.automation as auto
import pytest

from tests.engine.conftest import World, real_pulumi

PROGRAM = """
config = pulumi.Config()
box = Box("box", ResourceOptions(protect=False))
a = Thing("a", size=config.require_int("size"), tags={"x": [1, 2.5]}, opts=ResourceOptions(parent=box))
b = Thing("b", size=a.serial, password=config.require_secret("password"), opts=ResourceOptions(
    parent=box, ignore_changes=["grade"], custom_timeouts=pulumi.CustomTimeouts(create="2m"),
    additional_secret_outputs=["serial"], retain_on_delete=False, deleted_with=a))
box.register_outputs({"serial": b.serial})
pulumi.export("token", b.token)
"""


@pytest.fixture
def path_kept() -> Iterator[None]:
    """Worlds change PATH; it is put back."""
    path = os.environ["PATH"]
    yield
    os.environ["PATH"] = path


def _open(world: World) -> auto.Stack:
    world.program(PROGRAM)
    stack = world.open()
    if "probe:size" not in stack.get_all_config():
        stack.set_config("size", auto.ConfigValue("1"))
        stack.set_config("password", auto.ConfigValue("hunter2-and-more", secret=True))
    return stack


@pytest.mark.usefixtures("path_kept")
@pytest.mark.skipif(real_pulumi() is None, reason="no real Pulumi CLI on PATH or in REHEARSAL_REAL_PULUMI")
@pytest.mark.parametrize(("first", "second"), [("embedded", "real"), ("real", "embedded")])
def test_the_other_engine_takes_over_state_config_and_secrets(tmp_path: Path, first: str, second: str) -> None:
    one = World(tmp_path / "one", first)
    stack = _open(one)
    stack.up()
    other = World(tmp_path / "other", second)
    for folder in ("state", "project", "cloud"):
        (other.root / folder).rename(other.root / f"unused-{folder}")
        (other.root / folder).symlink_to(one.root / folder)
    stack = _open(other)
    assert stack.get_config("password").value == "hunter2-and-more"
    assert other.up() == {}
    assert stack.outputs()["token"].value == "hunter2-and-more"
    stack.set_config("size", auto.ConfigValue("2"))
    assert other.up()["update"] == 2
    assert [each.result for each in stack.history()] == ["succeeded"] * 3
    stack.destroy()
    assert other.resources() == {}
