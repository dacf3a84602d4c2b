"""Detailed differences and how their paths are written."""

import pytest

from rehearsal.providers.difference import Path, changed, render


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("actions", 0, "forward", "targetGroups", 1, "weight"), "actions[0].forward.targetGroups[1].weight"),
        (("tags", "vllm-blue-green/color"), 'tags["vllm-blue-green/color"]'),
        (("tags", "Name"), "tags.Name"),
    ],
)
def test_a_path_is_written_as_pulumi_writes_it(path: Path, text: str) -> None:
    assert render(path) == text


def test_only_what_differs_is_named_with_its_kind() -> None:
    old = {"a": 1, "tags": {"x": "1", "y": "1"}, "list": ["a", "b"], "__defaults": ["a"]}
    new = {"a": 1.0, "tags": {"x": "2"}, "list": ["a", "b", "c"], "b": True}
    found = {render(change.path): change.kind for change in changed(old, new, lambda _path: False)}
    assert found == {"tags.x": "update", "tags.y": "delete", "list[2]": "add", "b": "add"}


def test_true_is_not_one() -> None:
    assert len(changed({"a": True}, {"a": 1}, lambda _path: False)) == 1


def test_only_the_replacing_path_is_marked() -> None:
    changes = changed({"port": 1, "tags": {}}, {"port": 2, "tags": {"a": "b"}}, lambda path: path[0] == "port")
    assert {change.path: change.replaces for change in changes} == {("port",): True, ("tags", "a"): False}
