"""Worlds that stay are found by name; a wrong name, and a world that lost its keeper, are told apart."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rehearsal.standing.worlds import Record, StandingError, Worlds
from rehearsal.world.hold import mark


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def worlds(tmp_path: Path, said: list[str]) -> Worlds:
    return Worlds(tmp_path, said.append)


def stand(worlds: Worlds, name: str) -> Record:
    """A world whose keeper is this test."""
    folder, _ = worlds.claim(name)
    record = Record(
        name=name,
        folder=folder,
        since=datetime.now(UTC),
        keeper=os.getpid(),
        processes={},
        engine="v3.274.1",
        load_balancer_controller="stand-in",
        endpoint_url="http://127.0.0.1:1",
        kubeconfig=folder / "kubeconfig",
        environment={},
    )
    record.write()
    return record


@pytest.mark.parametrize("name", ["", "A", "-a", "a/b", "..", "a" * 32, "wörld"])
def test_what_cannot_be_a_name_is_refused(worlds: Worlds, name: str) -> None:
    with pytest.raises(StandingError, match=f"--world {name}: a name has"):
        worlds.get(name)


def test_a_world_is_found_and_only_its_owner_may_read_its_record(worlds: Worlds) -> None:
    record = stand(worlds, "demo")
    assert worlds.get("demo") == record
    assert worlds.names() == ["demo"]
    assert (record.folder / "world.json").stat().st_mode & 0o777 == 0o600


def test_an_unknown_name_is_answered_with_the_nearest_or_with_all(worlds: Worlds) -> None:
    with pytest.raises(StandingError, match="no world demo stands; `up` builds one"):
        worlds.get("demo")
    stand(worlds, "demo")
    with pytest.raises(StandingError, match=r"no world dmo stands; did you mean demo\?"):
        worlds.down("dmo")
    with pytest.raises(StandingError, match="no world x stands; there are: demo"):
        worlds.get("x")


def test_a_world_in_the_making_is_neither_there_nor_free(worlds: Worlds) -> None:
    worlds.claim("demo")
    with pytest.raises(StandingError, match="is being built or taken down just now"):
        worlds.get("demo")
    with pytest.raises(StandingError, match="is being built or taken down by another command"):
        worlds.claim("demo")


def test_a_world_without_a_keeper_is_removed_and_this_is_said(worlds: Worlds, said: list[str]) -> None:
    left = worlds.folder("demo")
    (left / "kubernetes").mkdir(parents=True)
    mark(left)
    assert worlds.find("demo") is None
    assert not left.exists()
    assert said == ["world demo has lost its keeper (killed, or a restart); what it left has been removed"]


def test_a_folder_that_is_no_world_is_left_alone(worlds: Worlds) -> None:
    notes = worlds.folder("notes")
    (notes / "mine").mkdir(parents=True)
    assert worlds.names() == []
    with pytest.raises(StandingError, match=r"--world notes: .*/notes is no world; remove it"):
        worlds.down("notes")
    assert (notes / "mine").exists()


def test_a_record_of_another_version_is_said_to_be_one(worlds: Worlds) -> None:
    record = stand(worlds, "demo")
    (record.folder / "world.json").write_text("{}")
    with pytest.raises(StandingError, match="built by another version"):
        worlds.get("demo")
