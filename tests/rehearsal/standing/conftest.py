"""A person who types the commands of the standing worlds."""

from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

from tests.rehearsal.standing.commands import environment_of


@pytest.fixture(scope="module")
def environment(
    control_plane_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Generator[Mapping[str, str]]:
    """The environment of a person with built binaries."""
    assert control_plane_binaries
    with environment_of(tmp_path_factory.mktemp("by-hand")) as chosen:
        yield chosen
