"""The evaluation harnesses of docs/evals.md run as the document says, against the stand-in, and see a worse release."""

import json
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from components.config.sections.rollout_settings import RolloutSettings
from components.domain.naming import Color, fingerprint
from rehearsal.vllm.hub import Faults
from rehearsal.vllm.protocol import render_chat
from rollout.adapters.candidate_route import CandidateRoute
from rollout.adapters.relay import Relay
from rollout.checks.evals.evaluation import Evaluation
from rollout.model.verdict import GateVerdict, Verdict
from rollout.system.clock import SystemClock
from tests.components.example import ROOT
from tests.rehearsal.vllm.server_process import FAST, ServerProcess
from tests.rollout.checks.evals.test_docs import blocks
from tests.rollout.checks.two_servers import Router
from tests.rollout.fakes import NEW, OLD, World

HARNESSES = ROOT / ".venv-evals" / "bin"
ITEMS = [json.loads(line) for line in (ROOT / "examples/evals/sums.jsonl").read_text(encoding="utf-8").splitlines()]
WORSE = Faults(wrong_answer_fraction=0.3)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (HARNESSES / "lm_eval").exists(), reason="no .venv-evals: `make setup-evals` installs the harnesses"
    ),
]


def settings_of(harness: str) -> Any:
    """Return the settings of the example in docs/evals.md that runs this program."""
    (found,) = [block for block in blocks("evals.md", "yaml") if f"/{harness}\n" in block]
    rollout: Any = yaml.safe_load(found)["config"]["vllm-blue-green:rollout"]
    return RolloutSettings.model_validate(rollout).gates.eval


def score_of(faults: Faults) -> float:
    """Return the share of the items, in percent, that a server with these faults answers rightly."""
    asked = [render_chat([{"role": "user", "content": f"{item['question']} End with the number."}]) for item in ITEMS]
    return 100 * sum(faults.of(prompt) is None for prompt in asked) / len(asked)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, int]]:
    with ExitStack() as running:

        def server(name: str, color: Color, release_id: str, faults: Faults) -> int:
            folder = tmp_path_factory.mktemp(name)
            flags = ("--fingerprint-mode", "custom", "--fingerprint-value", fingerprint(color, release_id))
            behavior = {**FAST, "faults": faults.model_dump()}
            started = ServerProcess(folder, "--served-model-name", "chat", *flags, behavior=behavior)
            return running.enter_context(started).wait_until_ready().port

        yield {
            "active": server("active", "blue", OLD.release_id, Faults()),
            "as good": server("good", "green", NEW.release_id, Faults()),
            "worse": server("worse", "green", NEW.release_id, WORSE),
        }


@pytest.fixture
def evaluate(servers: dict[str, int], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that evaluates a candidate with a harness. The harness can reach nothing but the stand-in."""
    for name, value in {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path_factory.getbasetemp() / "hub")}.items():
        monkeypatch.setenv(name, value)

    def run(harness: str, candidate: str) -> GateVerdict:
        ports: dict[Color, int] = {"blue": servers["active"], "green": servers[candidate]}
        route = CandidateRoute(
            endpoint_url=lambda: "http://service",
            route_secret=lambda: "s3cret",
            api_key=lambda: None,
            served_model_name="chat",
            transport=Router(ports),
        )
        evaluation = Evaluation(
            route=route,
            relay=lambda color: Relay(route, color, timeout_seconds=20),
            config=World().config,
            clock=SystemClock(lambda: None),
            settings=settings_of(harness),
            served_model_name="chat",
            work_dir=ROOT,
        )
        return evaluation.run("green", NEW)

    return run


@pytest.mark.parametrize("harness", ["lm_eval", "inspect"])
def test_a_candidate_that_answers_as_well_passes(evaluate: Any, harness: str) -> None:
    verdict = evaluate(harness, "as good")
    assert verdict.verdict is Verdict.PASS, verdict.reason
    assert (verdict.evidence["score_percent"], verdict.evidence["active_score_percent"]) == (100, 100)


@pytest.mark.parametrize("harness", ["lm_eval", "inspect"])
def test_a_worse_candidate_fails_by_the_answers_that_it_got_wrong(evaluate: Any, harness: str) -> None:
    verdict = evaluate(harness, "worse")
    assert verdict.verdict is Verdict.FAIL, verdict.reason
    assert 50 < score_of(WORSE) < 90
    assert verdict.evidence["score_percent"] == pytest.approx(score_of(WORSE), abs=0.01)
