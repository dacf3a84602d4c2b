"""Worlds that stay up are found by name. A wrong name and a lost keeper get different messages."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rehearsal.standing.worlds import Record, StandingError, Worlds
from rehearsal.world.hold import mark


@pytest.fixture
def messages() -> list[str]:
    return []


@pytest.fixture
def worlds(tmp_path: Path, messages: list[str]) -> Worlds:
    return Worlds(tmp_path, messages.append)


def stand(worlds: Worlds, name: str) -> Record:
    """Return the record of a world whose keeper is this test."""
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
def test_an_invalid_name_is_refused(worlds: Worlds, name: str) -> None:
    with pytest.raises(StandingError, match=f"--world {name}: a name has"):
        worlds.get(name)


def test_a_world_is_found_and_only_its_owner_may_read_its_record(worlds: Worlds) -> None:
    record = stand(worlds, "demo")
    assert worlds.get("demo") == record
    assert worlds.names() == ["demo"]
    assert (record.folder / "world.json").stat().st_mode & 0o777 == 0o600


def test_an_unknown_name_is_answered_with_the_nearest_or_with_all(worlds: Worlds) -> None:
    with pytest.raises(StandingError, match="no world demo is up; `up` builds one"):
        worlds.get("demo")
    stand(worlds, "demo")
    with pytest.raises(StandingError, match=r"no world dmo is up; did you mean demo\?"):
        worlds.down("dmo")
    with pytest.raises(StandingError, match="no world x is up; up are: demo"):
        worlds.get("x")


def test_a_world_that_is_being_built_is_neither_up_nor_free(worlds: Worlds) -> None:
    worlds.claim("demo")
    with pytest.raises(StandingError, match="is being built or taken down; try again"):
        worlds.get("demo")
    with pytest.raises(StandingError, match="is being built or taken down by another command"):
        worlds.claim("demo")


def test_a_world_without_a_keeper_is_removed_and_reported(worlds: Worlds, messages: list[str]) -> None:
    left = worlds.folder("demo")
    (left / "kubernetes").mkdir(parents=True)
    mark(left)
    assert worlds.find("demo") is None
    assert not left.exists()
    assert messages == ["world demo has lost its keeper (killed, or a restart); its remains have been removed"]


def test_a_folder_that_is_not_a_world_is_left_alone(worlds: Worlds) -> None:
    notes = worlds.folder("notes")
    (notes / "mine").mkdir(parents=True)
    assert worlds.names() == []
    with pytest.raises(StandingError, match=r"--world notes: .*/notes is not a world; remove it"):
        worlds.down("notes")
    assert (notes / "mine").exists()


def test_a_record_of_another_version_is_refused(worlds: Worlds) -> None:
    record = stand(worlds, "demo")
    (record.folder / "world.json").write_text("{}")
    with pytest.raises(StandingError, match="built by another version"):
        worlds.get("demo")
