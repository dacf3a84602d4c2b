"""The evaluation asks both colours the same questions, and passes nothing that it could not measure."""

import json
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.config.sections.check_settings import EvalSettings
from components.domain.naming import Color, fingerprint
from rollout.adapters.candidate_route import CandidateRoute
from rollout.adapters.relay import Relay
from rollout.checks.evals.evaluation import Evaluation
from rollout.model.answers import Answer
from rollout.model.errors import RefusedError, StoppedError
from rollout.model.verdict import GateVerdict, Verdict
from rollout.ports import Clock
from rollout.system.clock import SystemClock
from tests.rollout.fakes import NEW, OLD, FakeClock, FakeConfig, FakeRoute, World

NAMES: Mapping[Color, str] = {
    "blue": fingerprint("blue", OLD.release_id),
    "green": fingerprint("green", NEW.release_id),
}
Knows = Callable[[Color, int], bool]


class Colours:
    """Both colours behind an endpoint. Each knows the answers to some of the sums."""

    def __init__(self, knows: Knows = lambda _color, _number: True) -> None:
        self.knows = knows
        self.requests: list[httpx.Request] = []
        self.status = 200
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.requests.append(request)
        if request.method == "GET":
            return httpx.Response(200, json={"data": [{"id": "chat", "root": "acme/assistant"}]})
        color: Color = "green" if request.headers["x-candidate-route"] == "green-s3cret" else "blue"
        number = int(json.loads(request.content)["messages"][0]["content"].split()[-1])
        text = f"It is {number}." if self.knows(color, number) else "I do not know."
        choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
        return httpx.Response(self.status, json={"choices": [choice], "system_fingerprint": NAMES[color]})


def evaluation(folder: Path, colours: Colours, clock: Clock | None = None, **settings: Any) -> Evaluation:
    route = CandidateRoute(
        endpoint_url=lambda: "http://service",
        route_secret=lambda: "s3cret",
        api_key=lambda: "sesame",
        served_model_name="chat",
        transport=httpx.MockTransport(colours),
    )
    return Evaluation(
        route=route,
        relay=lambda color: Relay(route, color, timeout_seconds=5),
        config=World().config,
        clock=clock or FakeClock(),
        settings=EvalSettings.model_validate(settings),
        served_model_name="chat",
        work_dir=folder,
    )


@pytest.fixture
def suite(tmp_path: Path) -> str:
    lines = [
        {"id": f"n{number}", "prompt": f"Say {number}", "check": {"regex": rf"\b{number}\b"}} for number in range(40)
    ]
    (tmp_path / "suite.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return "suite.jsonl"


def ask(folder: Path, suite: str, knows: Knows, **settings: Any) -> GateVerdict:
    asked = evaluation(folder, Colours(knows), suite=suite, **settings)
    asked.prepare()
    return asked.run("green", NEW)


def test_a_candidate_that_knows_as_much_passes(tmp_path: Path, suite: str) -> None:
    colours = Colours()
    verdict = evaluation(tmp_path, colours, suite=suite).run("green", NEW)
    assert verdict.verdict is Verdict.PASS
    assert (verdict.evidence["right"], verdict.evidence["active_right"]) == (40, 40)
    assert len(colours.requests) == 80
    assert {json.loads(request.content)["temperature"] for request in colours.requests} == {0}


def test_a_candidate_that_answers_but_wrongly_fails(tmp_path: Path, suite: str) -> None:
    verdict = ask(tmp_path, suite, lambda color, number: color == "blue" or number % 3 > 0)
    assert verdict.verdict is Verdict.FAIL
    assert "35.0 points worse" in verdict.reason
    assert "n0, n3" in verdict.reason


def test_only_what_is_below_the_minimum_fails_when_nothing_is_compared(tmp_path: Path, suite: str) -> None:
    alone: dict[str, Any] = {"max_drop_points": None, "minimum_score_percent": 50}
    assert ask(tmp_path, suite, lambda _, number: number < 20, **alone).verdict is Verdict.PASS
    assert ask(tmp_path, suite, lambda _, number: number < 19, **alone).verdict is Verdict.FAIL


def test_errors_are_wrong_answers_of_the_candidate_and_named(tmp_path: Path, suite: str) -> None:
    colours = Colours()
    colours.status = 503
    verdict = evaluation(tmp_path, colours, suite=suite).run("green", NEW)
    assert verdict.verdict is not Verdict.PASS
    assert "40 without an answer, e.g. status 503" in verdict.reason


def test_answers_of_another_colour_are_no_answers(tmp_path: Path, suite: str) -> None:
    verdict = evaluation(tmp_path, Colours(), suite=suite).run("green", OLD)
    assert verdict.verdict is not Verdict.PASS
    assert f"answered by {NAMES['green']}" in verdict.reason


@pytest.mark.parametrize(
    ("content", "reported"),
    [
        (None, "cannot be read"),
        (b"{", "line 1"),
        (b"", "has no question"),
        (b"\xff\xfe", r"eval\.suite: .*suite\.jsonl is not text in UTF-8\. Save it as UTF-8"),
    ],
)
def test_a_suite_that_cannot_be_used_is_refused_beforehand(
    tmp_path: Path, content: bytes | None, reported: str
) -> None:
    if content is not None:
        (tmp_path / "suite.jsonl").write_bytes(content)
    with pytest.raises(RefusedError, match=reported):
        evaluation(tmp_path, Colours(), suite="suite.jsonl").prepare()


def test_the_built_in_suite_is_asked_by_default(tmp_path: Path) -> None:
    evaluation(tmp_path, Colours()).prepare()


def test_a_suite_stops_when_the_rollout_is_asked_to(tmp_path: Path, suite: str) -> None:
    with pytest.raises(StoppedError):
        evaluation(tmp_path, Colours(), FakeClock(stop_at=0), suite=suite).run("green", NEW)


class Impatient(FakeClock):
    """Time advances at every look."""

    def monotonic(self) -> float:
        self.elapsed += 100
        return self.elapsed


def test_a_suite_that_takes_too_long_is_no_pass(tmp_path: Path, suite: str) -> None:
    held = threading.Event()

    def wait(color: Color, _body: Mapping[str, Any]) -> Answer:
        held.wait(5)
        return Answer(status=200, text="", fingerprint=NAMES[color], finish_reason="stop")

    asked = evaluation(tmp_path, Colours(), suite=suite, timeout_seconds=50)
    slow = Evaluation(
        route=FakeRoute(wait),
        relay=asked.relay,
        config=FakeConfig(World().config.values),
        clock=Impatient(),
        settings=asked.settings,
        served_model_name="chat",
        work_dir=tmp_path,
    )
    try:
        verdict = slow.run("green", NEW)
    finally:
        held.set()
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert "not answered within 50 s" in verdict.reason


# Commands: real processes that know only a base URL.

ASK = """
import json, os, sys, urllib.request
right = 0
for number in range(10):
    body = json.dumps({"model": os.environ["EVAL_MODEL"], "messages": [{"role": "user", "content": f"Say {number}"}]})
    request = urllib.request.Request(
        os.environ["EVAL_BASE_URL"] + "/chat/completions", body.encode(), {"Content-Type": "application/json"}
    )
    answer = json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"]
    right += f"{number}." in answer
"""


@pytest.fixture
def command(tmp_path: Path) -> Callable[[str], list[str]]:
    def written(script: str) -> list[str]:
        (tmp_path / "command.py").write_text(script)
        return [sys.executable, "command.py", "{folder}"]

    return written


def run(folder: Path, words: list[str], knows: Knows = lambda _c, _n: True, **settings: Any) -> GateVerdict:
    clock = SystemClock(lambda: None)
    return evaluation(folder, Colours(knows), clock, command=words, **settings).run("green", NEW)


def test_a_command_reaches_each_colour_by_a_base_url_alone(
    tmp_path: Path, command: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENDPOINT_API_KEY", "sesame")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "open")
    script = ASK + (
        "assert not {'ENDPOINT_API_KEY', 'PULUMI_CONFIG_PASSPHRASE'} & os.environ.keys()\n"
        "assert 's3cret' not in str(os.environ)\n"
        "print('thinking')\nprint(json.dumps({'score': right / 10}))"
    )
    verdict = run(tmp_path, command(script), lambda color, number: color == "green" or number < 9)
    assert verdict.verdict is Verdict.PASS
    assert verdict.reason == "score 100.00 %, the active colour 90.00 %"
    worse = run(tmp_path, command(script), lambda color, number: color == "blue" or number < 9)
    assert worse.verdict is Verdict.FAIL
    assert "10.00 points worse" in worse.reason


def test_a_score_may_be_in_a_file_whose_name_nobody_knows_beforehand(
    tmp_path: Path, command: Callable[[str], list[str]]
) -> None:
    script = ASK + (
        "from pathlib import Path\n"
        "path = Path(sys.argv[1]) / 'chat' / 'results_2026-11-21.json'\n"
        "path.parent.mkdir()\n"
        "path.write_text(json.dumps({'results': {'sums': {'acc,none': right}}}))\n"
    )
    verdict = run(
        tmp_path,
        command(script),
        score_file="*/results_*.json",
        score_path="results.sums.acc,none",
        full_score=10,
    )
    assert verdict.evidence["score_percent"] == 100


@pytest.mark.parametrize(
    ("script", "reported"),
    [
        ("import sys; print('no data set', file=sys.stderr); sys.exit(3)", "exited with 3: no data set"),
        (ASK, "it printed nothing"),
        (ASK + "print('done')", "is not JSON: 'done'"),
        (
            "print('{\"score\": 1}')",
            "green answered none of its requests; let the command send its requests to {base_url}",
        ),
    ],
)
def test_a_command_without_a_score_of_the_candidate_is_no_pass(
    tmp_path: Path, command: Callable[[str], list[str]], script: str, reported: str
) -> None:
    verdict = run(tmp_path, command(script))
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert reported in verdict.reason


@pytest.mark.parametrize("program", ["no-such-command", ".venv-evals/bin/lm_eval", "./folder", "./notes"])
def test_a_program_that_cannot_be_run_is_refused_beforehand(tmp_path: Path, program: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes").write_text("")
    with pytest.raises(RefusedError, match=r"eval\.command: .* is no program that can be run in"):
        evaluation(tmp_path, Colours(), command=[program, "x"]).prepare()
    evaluation(tmp_path, Colours(), command=["sh", "-c", ":"]).prepare()


def test_only_a_file_is_read_for_the_score(tmp_path: Path, command: Callable[[str], list[str]]) -> None:
    script = ASK + (
        "folder = os.environ['EVAL_FOLDER']\n"
        "os.mkdir(folder + '/folder.json')\n"
        "os.symlink('nowhere', folder + '/link.json')"
    )
    verdict = run(tmp_path, command(script), score_file="*.json")
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert "it left no '*.json' in {folder}" in verdict.reason


def test_a_command_that_is_not_there_is_no_pass(tmp_path: Path) -> None:
    assert "'no-such-command' cannot be run: No such file" in run(tmp_path, ["no-such-command"]).reason


def test_a_command_that_does_not_end_is_ended_with_all_that_it_started(
    tmp_path: Path, command: Callable[[str], list[str]]
) -> None:
    script = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "pathlib.Path('draft').write_text(str(child.pid))\n"
        "pathlib.Path('draft').rename('child')\n"
        "time.sleep(60)"
    )

    class Patient(FakeClock):
        def sleep(self, seconds: float) -> None:
            if (tmp_path / "child").exists():
                super().sleep(seconds * 1000)

    asked = evaluation(tmp_path, Colours(), Patient(), command=command(script), timeout_seconds=30)
    verdict = asked.run("green", NEW)
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert "did not end within 30 s" in verdict.reason
    stat = Path("/proc") / (tmp_path / "child").read_text() / "stat"
    assert not stat.exists() or stat.read_text().split()[2] == "Z"


def test_the_relay_forwards_nothing_else_and_only_to_who_knows_its_address(tmp_path: Path) -> None:
    colours = Colours()
    with evaluation(tmp_path, colours).relay("green") as relay:
        address = relay.base_url.rsplit("/", 2)[0]
        with httpx.Client() as client:
            assert client.get(f"{address}/v1/models").status_code == 404
            assert client.get(relay.base_url.removesuffix("/v1") + "/metrics").status_code == 404
            assert colours.requests == []
            headers = {"Authorization": "Bearer mine", "x-candidate-route": "blue-guess"}
            assert client.get(f"{relay.base_url}/models", headers=headers).json()["data"]
    (sent,) = colours.requests
    assert (sent.headers["authorization"], sent.headers["x-candidate-route"]) == ("Bearer sesame", "green-s3cret")
    assert (relay.answered, relay.failed) == (1, 0)
