"""The benchmark runs the real pack on the program's real resources, and prints the figures in its last line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.policy_scale import SIZES, pack, requests_for, services_for
from benchmarks.program_scale import registrations
from policies.catalogue import POLICIES
from policies.resources import LISTENER_RULE
from tests.components.example import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.long_world
@pytest.mark.usefixtures("control_plane_binaries")
def test_it_times_both_and_ends_with_the_figures() -> None:
    command = [sys.executable, "-m", "benchmarks.policy_scale", "--resources", "10", "5", "--repetitions", "1"]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=280).stdout
    _, header, *rows, policies, last = output.splitlines()
    assert header.split()[0] == "resources"
    assert [row.split()[0] for row in rows] == ["5", "10"]
    assert policies.startswith(f"policies {len(POLICIES)}, ")
    figures = json.loads(last)
    ratio = figures.pop("preview_ratio")
    assert ratio > 0
    kinds = ("milliseconds", "empty_calls_milliseconds", "wall_milliseconds")
    assert set(figures) == {f"{kind}_per_resource" for kind in kinds}
    for row in rows:
        size, cpu, _, empty, wall, *_ = row.split()
        assert [figures[f"{kind}_per_resource"][size] for kind in kinds] == [float(cpu), float(empty), float(wall)]
        assert 0 < float(empty) < 1000
        assert 0 < float(cpu) < 1000


def test_the_real_pack_evaluates_the_programs_resources(tmp_path: Path) -> None:
    registered = registrations(services_for(50), tmp_path)
    assert all(len(registered) / services_for(50) >= size / services_for(size) for size in SIZES)
    with pack() as enabled, pack(disabled=True) as idle:
        assert enabled.ask(requests_for(registered, len(registered))) == []
        assert set(enabled.timings) == {len(registered)}
        rule = next(one for one in registered if one["type"] == LISTENER_RULE and one["name"] == "s000")
        rule["inputs"]["actions"][0]["forward"]["targetGroups"][0]["weight"] += 1
        broken = requests_for([rule], 1)
        assert any("must be whole percents that add up to 100" in found for found in enabled.ask(broken))
        assert idle.ask(broken) == []


def test_requests_have_whole_services_and_some_of_every_kind_from_the_last_one() -> None:
    names = [f"{service}-{number}" for number in range(6) for service in ("a", "b", "c")]
    registered = [{"type": "test:index:Thing", "name": one, "inputs": {}, "protect": one == "b-0"} for one in names]
    requests = requests_for(registered, 9)
    taken = [one.name for one in requests.each]
    assert taken == [*(f"a-{number}" for number in range(6)), "b-0", "b-2", "b-4"]
    assert [one.name for one in requests.whole.resources] == taken
    assert [one.options.protect for one in requests.each].index(True) == 6
    assert len(requests_for(registered, 18).each) == 18
