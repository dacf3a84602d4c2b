"""The pack as a folder that stands alone, on the real CLI, beside a small stack of somebody else's."""

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from policies.standalone import write
from tests.engine.conftest import World

pytestmark = [pytest.mark.binaries, pytest.mark.timeout(300)]

LISTENER = {
    "port": 443,
    "protocol": "HTTPS",
    "sslPolicy": "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09",
    "defaultActions": [{"type": "fixed-response", "fixedResponse": {"contentType": "text/plain", "statusCode": "404"}}],
}
PROGRAM = """
pulumi.CustomResource("aws:alb/listener:Listener", "front", {properties!r})
"""


class Somebodys:
    """A project outside the repository, and a copy of the pack."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder / "world")
        self.world.plugin("aws", version("pulumi-aws"), "tests.engine.provider.clouds")
        self.world.open()
        self.pack = folder / "policy-pack"
        write(self.pack)

    def preview(self, config: dict[str, Any] | None = None, *, passes: bool, **properties: Any) -> str:
        self.world.program(PROGRAM.format(properties={**LISTENER, **properties}))
        file = self.pack.parent / "policies.json"
        file.write_text(json.dumps(config or {}), encoding="utf-8")
        flags = ("--policy-pack", str(self.pack), "--policy-pack-config", str(file))
        answer = self.world.pulumi("preview", *flags, status=None)
        assert (answer.returncode == 0) == passes, answer.stdout + answer.stderr
        return re.sub(r"\s+", " ", answer.stdout + answer.stderr)


@pytest.fixture(scope="module")
def somebodys(tmp_path_factory: pytest.TempPathFactory) -> Somebodys:
    return Somebodys(tmp_path_factory.mktemp("standalone"))


def test_a_good_resource_passes(somebodys: Somebodys) -> None:
    shown = somebodys.preview(passes=True)
    assert "vllm-blue-green" in shown
    assert "2 to create" in shown


def test_a_bad_resource_is_refused_with_the_fix(somebodys: Somebodys) -> None:
    shown = somebodys.preview(passes=False, sslPolicy="ELBSecurityPolicy-2016-08")
    assert re.search(r"\[mandatory\] (\[severity: \w+\] )?exposure-tls-policy", shown), shown
    assert "front: sslPolicy is ELBSecurityPolicy-2016-08, but must be one for TLS 1.2 or newer." in shown


def test_its_config_sets_levels_and_options(somebodys: Somebodys) -> None:
    advisory = {"exposure-tls-policy": {"enforcementLevel": "advisory"}}
    assert "[advisory]" in somebodys.preview(advisory, passes=True, sslPolicy="ELBSecurityPolicy-2016-08")
    newest = {"exposure-tls-policy": {"minimum_tls": "1.3"}}
    assert "must be one for TLS 1.3 or newer." in somebodys.preview(newest, passes=False)


def test_without_its_modules_it_does_not_load(somebodys: Somebodys) -> None:
    # So the repository, which has them too, is not on the pack's search path.
    module = somebodys.pack / "components" / "domain" / "naming.py"
    kept = module.read_bytes()
    module.unlink()
    try:
        assert "No module named 'components.domain.naming'" in somebodys.preview(passes=False)
    finally:
        module.write_bytes(kept)
