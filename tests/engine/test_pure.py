"""The engine's pure parts: paths, durations, config keys, texts, encryption."""

from typing import Any

import pytest

from rehearsal.engine.config_paths import lookup, parse_path
from rehearsal.engine.errors import CommandError
from rehearsal.engine.goal import duration_seconds
from rehearsal.engine.passphrase import PassphraseSecrets
from rehearsal.engine.paths import begins_with, differences, keep_old, parse
from rehearsal.engine.project import as_text, fits
from rehearsal.engine.state import ResourceState, Snapshot, deserialize, serialize
from rehearsal.engine.urns import make_urn, name_of, package_of, type_of
from rehearsal.engine.values import from_struct, make_secret, to_struct


def test_property_paths_are_split_into_steps() -> None:
    assert parse('spec.ports[0].name["a.b"]') == ["spec", "ports", 0, "name", "a.b"]
    assert parse("items[*].weight") == ["items", "*", "weight"]
    assert begins_with("actions[1].weight", "actions[*]")
    assert not begins_with("action", "actions")


def test_ignored_paths_keep_their_old_values_wildcards_too() -> None:
    olds: dict[str, Any] = {"tags": {"x": "1"}, "groups": [{"weight": 1}, {"weight": 99}], "gone": 1}
    news: dict[str, Any] = {"tags": {"x": "2", "y": "2"}, "groups": [{"weight": 5}, {"weight": 95}], "fresh": 1}
    kept = keep_old(news, olds, ["tags.x", "groups[*].weight", "gone", "fresh"])
    assert kept == {"tags": {"x": "1", "y": "2"}, "groups": [{"weight": 1}, {"weight": 99}], "gone": 1}
    assert news["tags"]["x"] == "2"


def test_differences_name_paths_and_kinds() -> None:
    old: Any = {"a": 1, "b": {"c": [1, 2]}, "d": 1}
    new: Any = {"a": 2, "b": {"c": [1, 3, 4], "e.f": 1}}
    assert differences(old, new) == {
        "a": "update",
        "b.c[1]": "update",
        "b.c[2]": "add",
        'b["e.f"]': "add",
        "d": "delete",
    }


def test_durations_are_read_in_seconds() -> None:
    assert duration_seconds("1h30m") == 5400
    assert duration_seconds("1.5s") == 1.5
    with pytest.raises(CommandError):
        duration_seconds("ten minutes")


def test_config_paths_name_a_key_and_a_place_inside_it() -> None:
    assert parse_path('aws:tags[0]["x.y"].z') == ["aws:tags", 0, "x.y", "z"]
    assert lookup({"a": [{"b": 1}]}, ["a", 0, "b"]) == 1
    with pytest.raises(CommandError):
        parse_path("[0]")


def test_config_values_fit_their_declared_types() -> None:
    assert fits("integer", None, "12")
    assert fits("array", {"type": "boolean"}, [True, "false"])
    assert not fits("integer", None, True)
    assert not fits("array", {"type": "integer"}, ["x"])
    assert as_text({"a": [1, True]}) == '{"a":[1,true]}'


def test_names_are_built_below_components_but_not_below_the_stack() -> None:
    stack = make_urn("dev", "probe", "", "pulumi:pulumi:Stack", "probe-dev")
    box = make_urn("dev", "probe", stack, "probe:index:Box", "x")
    thing = make_urn("dev", "probe", box, "test:index:Thing", "a::b")
    assert thing == "urn:pulumi:dev::probe::probe:index:Box$test:index:Thing::a::b"
    assert (type_of(thing), name_of(thing)) == ("test:index:Thing", "a::b")
    assert package_of("pulumi:providers:aws") == package_of("aws:lb/listener:Listener") == "aws"


def test_values_survive_the_wire() -> None:
    values: Any = {"n": 1, "f": 2.5, "b": True, "z": None, "l": [{"s": "x"}], "secret": make_secret([1]), "e": {}}
    assert from_struct(to_struct(values)) == values


def test_what_the_pulumi_cli_encrypted_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    # Written by Pulumi CLI 3.260.0 with the passphrase "x".
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "x")
    secrets = PassphraseSecrets("v1:QPdLe1mg0R4=:v1:odgsudwhnHEruIgm:ZDyClEhz7F7dcfnlU4k8MfEBFwVNFw==")
    assert secrets.decrypt("v1:0VAs/T4gZwFJpj8g:9ncs7zjb6/fwha6rqSgB6HQEyT0=") == "hush"
    assert secrets.decrypt(secrets.encrypt("grün")) == "grün"


def test_the_state_file_holds_secrets_only_encrypted() -> None:
    resource = ResourceState("urn:pulumi:dev::p::t::a", "t", custom=True, inputs={"key": make_secret({"deep": "hush"})})
    document = serialize(Snapshot([resource]), None, lambda text: text[::-1])
    (written,) = document["resources"]
    assert written["inputs"]["key"]["ciphertext"] == '}"hsuh":"peed"{'
    (read,) = deserialize(document, lambda text: text[::-1]).resources
    assert read.inputs == resource.inputs
