"""The checks against real servers on sockets: one stand-in for each colour, behind a router by header."""

import json
import sys
from collections.abc import Collection, Generator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.config.release.release import Release
from components.config.sections.rollout_settings import GateSettings
from components.config.settings import ServiceSettings
from components.domain.naming import Color, fingerprint
from rollout.adapters.candidate_route import CandidateRoute
from rollout.adapters.judge_model import HttpJudge
from rollout.adapters.relay import Relay
from rollout.checks.catalogue import CheckDependencies, make_checks
from rollout.model.verdict import GateVerdict, Verdict
from rollout.ports import Check
from rollout.statistics.demand import Lengths, Rate, Throughput
from rollout.statistics.measurements import Counters, PrefixCache
from rollout.system.clock import SystemClock
from tests.rehearsal.vllm.server_process import FAST, MODEL, ServerProcess
from tests.rollout.checks.evals.judges import JudgeServer
from tests.rollout.checks.two_servers import Router
from tests.rollout.fakes import BASE, FakeConfig

pytestmark = pytest.mark.slow

IMAGE = f"vllm/vllm-openai@sha256:{'a' * 64}"
TEMPLATE = "{% for m in messages %}<<{{ m.role }}>> {{ m.content }}\n{% endfor %}<<assistant>>"
PROMPTS = {"system.txt": "Answer for Acme, briefly.", "chat_template.jinja": TEMPLATE}


def release(letter: str) -> Release:
    return Release(model=MODEL, model_revision=letter * 7, image=IMAGE, prompts=PROMPTS)


ACTIVE, GOOD, WRONG, CROWDED = release("a"), release("b"), release("c"), release("d")
RULES = "Name where it rises, where it ends, and every town that it passes on its way, the largest ones first. " * 2
SUMS = [
    {"id": f"{number}", "prompt": f"What is {number} + 5?", "check": {"contains": f"= {number + 5}."}}
    for number in range(12)
]


class Scrapes:
    """Reads the counters from the servers, as Prometheus would."""

    def __init__(self, servers: dict[Color, ServerProcess]) -> None:
        self.servers = servers

    def counters(self, at: datetime, by: Collection[str] = ()) -> dict[Color, Counters]:
        raise NotImplementedError

    def running_requests(self, color: Color) -> float | None:
        raise NotImplementedError

    def prefix_cache(self, color: Color) -> PrefixCache | None:
        samples = self.servers[color].metrics()

        def total(name: str) -> float:
            return sum(value for key, value in samples.items() if key.startswith(f"vllm:prefix_cache_{name}_total"))

        return PrefixCache(queries=total("queries"), hits=total("hits"))


class Users:
    """Users who ask for 80 answers in a second, of 24 tokens each."""

    def rates(self, start: datetime, end: datetime, *, rate_seconds: float) -> list[Rate]:
        assert (end - start).total_seconds() > rate_seconds
        return [Rate(at=end, throughput=Throughput(requests_per_second=80, tokens_per_second=1920))]

    def throughput(self, color: Color, at: datetime, *, rate_seconds: float) -> Throughput:
        raise NotImplementedError

    def lengths(self, color: Color, start: datetime, end: datetime) -> Lengths:
        raise NotImplementedError


class Stack:
    """Blue serves the active release; green serves one of the candidates."""

    def __init__(self, folder: Path, servers: dict[Color, ServerProcess], others: dict[str, ServerProcess]) -> None:
        self.folder = folder
        self.servers = servers
        self.others = others

    def checks(self, candidate: str = "b", **gates: Any) -> dict[str, Check]:
        servers: dict[Color, ServerProcess] = {**self.servers, "green": self.others[candidate]}
        route = CandidateRoute(
            endpoint_url=lambda: "http://service",
            route_secret=lambda: "s3cret",
            api_key=lambda: None,
            served_model_name="chat",
            transport=Router({color: server.port for color, server in servers.items()}),
        )
        wanted: dict[str, Any] = {
            "recorded_prompts": "gateway.jsonl",
            "smoke": {"requests": 4, "timeout_seconds": 10},
            "eval": {"suite": "sums.jsonl", "max_tokens": 16},
            "warm_up": {"prefixes": 3, "max_seconds": 10},
            "shadow": {"samples": 12, "minimum_samples": 9, "max_tokens": 8, "latency_ratio_limit": 50},
            **gates,
        }
        rollout = {"gates": GateSettings.model_validate(wanted).model_dump(mode="json"), "poll_seconds": 0.05}
        blue = {"release": ACTIVE.model_dump(mode="json"), "replicas": 1}
        values = {**BASE, "blue": blue, "rollout": {**rollout, "steps": BASE["rollout"]["steps"]}}
        uses = CheckDependencies(
            route=route,
            relay=lambda color: Relay(route, color, timeout_seconds=20),
            judge_model=lambda judge: HttpJudge(
                settings=judge, folder=self.folder, transport=httpx.MockTransport(JudgeServer())
            ),
            closed_loop=lambda color, bodies, timeout_seconds: CandidateRoute(
                endpoint_url=lambda: f"http://127.0.0.1:{servers[color].port}",
                route_secret=lambda: "s3cret",
                api_key=lambda: None,
                served_model_name="chat",
            ).closed_loop(color, bodies, timeout_seconds=timeout_seconds),
            replicas=lambda _: 1,
            checked=list,
            demand=Users(),
            config=FakeConfig(values),
            clock=SystemClock(lambda: None),
            metrics=Scrapes(servers),
            s3=lambda: None,
            work_dir=self.folder,
        )
        return dict(make_checks(uses, ServiceSettings.model_validate(values), "chat"))

    def run(self, check: str, candidate: str = "b", **gates: Any) -> GateVerdict:
        found = self.checks(candidate, **gates)[check]
        found.prepare()
        return found.run("green", {"b": GOOD, "c": WRONG, "crowded": CROWDED}[candidate])


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    (folder / "template.jinja").write_text(TEMPLATE)
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, SUMS)))
    gateway = [
        {"messages": [{"role": "user", "content": f"Tell me of river {number}. {RULES}"}]} for number in range(20)
    ]
    (folder / "gateway.jsonl").write_text("\n".join(map(json.dumps, gateway)))
    wrong = {**FAST, "faults": {"wrong_answer_fraction": 1.0}}
    with ExitStack() as running:

        def server(color: Color, of: Release, behavior: Any) -> ServerProcess:
            where = tmp_path_factory.mktemp(of.model_revision)
            flags = ("--served-model-name", "chat", "--chat-template", str(folder / "template.jinja"))
            name = ("--fingerprint-mode", "custom", "--fingerprint-value", fingerprint(color, of.release_id))
            started = ServerProcess(where, *flags, *name, behavior=behavior)
            return running.enter_context(started).wait_until_ready()

        active = server("blue", ACTIVE, FAST)
        crowded = {**FAST, "capacity_tokens_per_second": 800}
        others = {
            "b": server("green", GOOD, FAST),
            "c": server("green", WRONG, wrong),
            "crowded": server("green", CROWDED, crowded),
        }
        yield Stack(folder, {"blue": active}, others)


def test_smoke_sees_the_releases_prompts_in_effect(stack: Stack) -> None:
    verdict = stack.run("smoke")
    assert verdict.verdict is Verdict.PASS, verdict.reason
    assert "prompts in effect: system.txt, chat_template.jinja" in verdict.reason


def test_smoke_refuses_a_server_that_runs_without_the_releases_template(stack: Stack) -> None:
    other = GOOD.model_copy(update={"prompts": {**PROMPTS, "chat_template.jinja": "[INST] {{ messages[0].content }}"}})
    verdict = stack.checks()["smoke"].run("green", other)
    assert verdict.verdict is Verdict.FAIL
    assert "answered by" in verdict.reason  # another release also has another fingerprint


def test_eval_passes_a_candidate_that_answers_as_well(stack: Stack) -> None:
    verdict = stack.run("eval")
    assert verdict.verdict is Verdict.PASS, verdict.reason
    assert (verdict.evidence["right"], verdict.evidence["active_right"]) == (12, 12)


def test_a_candidate_with_wrong_answers_passes_smoke_and_fails_eval(stack: Stack) -> None:
    assert stack.run("smoke", "c").verdict is Verdict.PASS
    verdict = stack.run("eval", "c")
    assert verdict.verdict is Verdict.FAIL
    assert "0 of 12 questions right" in verdict.reason


def test_a_command_evaluates_by_its_base_url(stack: Stack) -> None:
    script = (
        "import json, os, urllib.request\n"
        "body = json.dumps({'model': os.environ['EVAL_MODEL'], 'stream': True, 'messages': "
        "[{'role': 'user', 'content': 'What is 2 + 3?'}]}).encode()\n"
        "url = os.environ['OPENAI_BASE_URL'] + '/chat/completions'\n"
        "request = urllib.request.Request(url, body, {'Content-Type': 'application/json'})\n"
        "events = urllib.request.urlopen(request).read().decode().split('data: ')[1:-1]\n"
        "texts = [c['delta'].get('content') or '' for e in events for c in json.loads(e)['choices']]\n"
        "print(json.dumps({'score': float(''.join(texts) == '2 + 3 = 5.')}))\n"
    )
    (stack.folder / "command.py").write_text(script)
    command = {"command": [sys.executable, "command.py"], "timeout_seconds": 30}
    verdict = stack.run("eval", eval=command)
    assert verdict.reason == "score 100.00 %, the active colour 100.00 %"
    assert stack.run("eval", "c", eval=command).verdict is Verdict.FAIL


def test_a_judge_fails_a_candidate_that_no_question_asks_about(stack: Stack) -> None:
    label = {"prompt": "What is 4 + 4?", "a": "4 + 4 = 8.", "b": "4 + 4 = 9.", "better": "a"}
    for name, lines in (("prompts", SUMS), ("labels", [label] * 12)):
        chosen = [{key: value for key, value in line.items() if key not in ("id", "check")} for line in lines]
        (stack.folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, chosen)))
    judge = {"url": "https://judge/v1", "model": "j", "prompts": "prompts.jsonl", "labels": "labels.jsonl"}
    lenient = {"suite": "sums.jsonl", "minimum_score_percent": 0, "max_drop_points": None, "judge": judge}
    assert stack.run("eval", eval=lenient).verdict is Verdict.PASS
    verdict = stack.run("eval", "c", eval=lenient)
    assert verdict.verdict is Verdict.FAIL
    assert "the judge prefers the candidate in 0 of 12 pairs and the active colour in 12" in verdict.reason


def test_warm_up_fills_the_candidates_cache(stack: Stack) -> None:
    verdict = stack.run("warm_up")
    assert verdict.verdict is Verdict.PASS
    assert "level at" in verdict.reason
    assert float(verdict.evidence["hit_rate_percent"] or 0) > 50


def test_shadow_compares_both_colours(stack: Stack) -> None:
    verdict = stack.run("shadow")
    assert verdict.verdict is Verdict.PASS, verdict.reason
    assert (verdict.evidence["compared"], verdict.evidence["similarity"]) == (12, 1)
    other = stack.run("shadow", "c", shadow={"samples": 12, "minimum_samples": 9, "max_similarity_drop": 0.3})
    assert other.verdict is Verdict.FAIL
    assert "text similarity" in other.reason


def test_load_finds_a_candidate_that_is_as_quick_as_any_until_it_is_crowded(stack: Stack) -> None:
    load = {"level_seconds": 0.4, "inter_token_p95_limit_seconds": 0.012, "max_tokens": 24, "max_concurrency": 32}
    assert stack.run("smoke", "crowded").verdict is Verdict.PASS
    verdict = stack.run("load", "crowded", load=load)
    assert verdict.verdict is Verdict.FAIL, verdict.reason
    assert "time between tokens p95" in verdict.reason
    # It gives 800 tokens/s in all, and each stream 200: from 4 open requests on, more of them are no faster.
    assert float(verdict.evidence["concurrency"] or 0) <= 12
    assert 0 < float(verdict.evidence["tokens_per_second_per_replica"] or 0) <= 850
    assert verdict.evidence["load_tokens"]
