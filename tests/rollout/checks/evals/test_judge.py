"""The judge sees both colours' answers in both orders, and decides only where it agrees with people."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.config.sections.check_settings import EvalSettings
from components.domain.naming import Color, fingerprint
from rollout.adapters.judge_model import HttpJudge
from rollout.checks.evals.judge import PreferenceJudge
from rollout.model.answers import Answer
from rollout.model.errors import RolloutError, StoppedError
from rollout.model.verdict import GateVerdict, Verdict
from tests.rollout.checks.evals.judges import Decides, JudgeServer, fair
from tests.rollout.fakes import NEW, OLD, FakeClock, FakeRoute

NAMES: Mapping[Color, str] = {
    "blue": fingerprint("blue", OLD.release_id),
    "green": fingerprint("green", NEW.release_id),
}
PROMPTS = [{"id": f"sum-{number}", "prompt": f"What is {number} + 2?"} for number in range(20)]
LABELS = [
    {
        "prompt": f"What is {number} + 3?",
        "a": f"{number} + 3 = {number + 3 + number % 2}.",
        "b": f"{number} + 3 = {number + 4 - number % 2}.",
        "better": "b" if number % 2 else "a",
    }
    for number in range(20)
]
Says = Callable[[Color, int], str | None]


def right(_color: Color, number: int) -> str:
    return f"{number} + 2 = {number + 2}."


def green_is_wrong(color: Color, number: int) -> str:
    return f"{number} + 2 = {number + (2 if color == 'blue' else 3)}."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, lines in (("prompts", PROMPTS), ("labels", LABELS)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def judge(
    folder: Path, server: JudgeServer, says: Says = right, clock: FakeClock | None = None, **more: Any
) -> PreferenceJudge:
    asked = {"url": "https://judge/v1", "model": "j", "prompts": "prompts.jsonl", "labels": "labels.jsonl", **more}
    settings = EvalSettings.model_validate({"judge": asked})
    assert settings.judge is not None

    def answer(color: Color, body: Mapping[str, Any]) -> Answer:
        text = says(color, int(body["messages"][0]["content"].split()[2]))
        if text is None:
            return Answer(status=500, error="status 500")
        return Answer(status=200, text=text, fingerprint=NAMES[color], finish_reason="stop")

    model = HttpJudge(settings=settings.judge, folder=folder, sleep=FakeClock().sleep)
    model.transport = httpx.MockTransport(server)
    return PreferenceJudge(
        model=model,
        route=FakeRoute(answer),
        clock=clock or FakeClock(),
        settings=settings,
        judge=settings.judge,
        work_dir=folder,
    )


def run(folder: Path, decides: Decides = fair, says: Says = right, **more: Any) -> GateVerdict:
    asked = judge(folder, JudgeServer(decides), says, **more)
    asked.prepare()
    return asked.run("green", NEW.release_id, OLD.release_id)


def test_a_worse_candidate_loses(folder: Path) -> None:
    verdict = run(folder, says=green_is_wrong)
    assert (verdict.verdict, verdict.dry_run) == (Verdict.FAIL, False)
    assert (verdict.evidence["judge_lost"], verdict.evidence["judge_agreement_percent"]) == (20, 100)


def test_a_better_candidate_wins(folder: Path) -> None:
    verdict = run(folder, says=lambda color, number: right(color, number) if color == "green" else "I do not know.")
    assert (verdict.verdict, verdict.evidence["judge_won"]) == (Verdict.PASS, 20)


def test_answers_with_the_same_text_are_ties_that_nobody_is_asked_about(folder: Path) -> None:
    server = JudgeServer()
    verdict = judge(folder, server).run("green", NEW.release_id, OLD.release_id)
    assert (verdict.verdict, verdict.evidence["judge_tied"]) == (Verdict.PASS, 20)
    assert len(server.requests) == 2 * len(LABELS)


@pytest.mark.parametrize("habit", ["A", "B", "TIE"])
def test_a_judge_that_looks_only_at_the_order_decides_nothing(folder: Path, habit: str) -> None:
    verdict = run(folder, lambda _one, _other: habit, green_is_wrong)
    assert verdict.dry_run
    assert (verdict.evidence["judge_lost"], verdict.evidence["judge_agreement_percent"]) == (0, 0)


def test_a_judge_with_the_opposite_taste_decides_nothing(folder: Path) -> None:
    opposite = {"A": "B", "B": "A", "TIE": "TIE"}
    verdict = run(folder, lambda one, other: opposite[fair(one, other)], green_is_wrong)
    assert verdict.dry_run
    assert verdict.evidence["judge_won"] == 20


def test_a_candidate_without_an_answer_loses_and_an_active_colour_without_one_is_missing(folder: Path) -> None:
    verdict = run(folder, says=lambda color, number: None if color == "green" and number < 9 else right(color, number))
    assert (verdict.verdict, verdict.evidence["judge_lost"]) == (Verdict.FAIL, 9)
    verdict = run(folder, says=lambda color, number: None if color == "blue" and number < 9 else right(color, number))
    assert (verdict.verdict, verdict.evidence["judge_missing"]) == (Verdict.INCONCLUSIVE, 9)


def test_a_judge_that_does_not_answer_is_named_and_no_pass(folder: Path) -> None:
    server = JudgeServer()
    server.statuses = [401] * 1000
    verdict = judge(folder, server).run("green", NEW.release_id, OLD.release_id)
    assert (verdict.verdict, verdict.dry_run) == (Verdict.INCONCLUSIVE, False)
    assert "chose in none of the labels: the judge: status 401" in verdict.reason


def test_a_judge_that_is_cut_off_is_told_apart_from_one_that_does_not_choose(folder: Path) -> None:
    asked = judge(folder, JudgeServer())
    choice = {"index": 0, "message": {"content": None, "reasoning": "Hm"}, "finish_reason": "length"}
    assert isinstance(asked.model, HttpJudge)
    asked.model.transport = httpx.MockTransport(lambda _request: httpx.Response(200, json={"choices": [choice]}))
    verdict = asked.run("green", NEW.release_id, OLD.release_id)
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert verdict.reason.endswith("raise rollout.gates.eval.judge.max_tokens")


def test_what_it_is_told_has_the_criteria_and_the_whole_conversation(folder: Path) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 1 + 2?"}]
    (folder / "labels.jsonl").write_text(
        "\n".join(json.dumps({**one, "prompt": None, "messages": chat}) for one in LABELS)
    )
    server = JudgeServer()
    judge(folder, server, criteria="Politeness.").run("green", NEW.release_id, OLD.release_id)
    system, user = json.loads(server.requests[0].content)["messages"]
    assert system["content"].endswith("What counts: Politeness.")
    assert "<conversation>\nsystem: Be brief.\nuser: What is 1 + 2?\n</conversation>" in user["content"]


def test_it_stops_when_the_rollout_is_asked_to(folder: Path) -> None:
    with pytest.raises(StoppedError):
        judge(folder, JudgeServer(), clock=FakeClock(stop_at=0)).run("green", NEW.release_id, OLD.release_id)


@pytest.mark.parametrize(
    ("name", "content", "reported"),
    [
        ("prompts", None, r"judge\.prompts: .*prompts\.jsonl cannot be read \(No such file"),
        ("labels", "{", r"judge\.labels labels\.jsonl, line 1: "),
        ("labels", '{"prompt": "x", "a": "1", "b": "2", "better": "c"}', "line 1: better: Input should be 'a' or 'b'"),
        ("labels", '{"prompt": "x", "a": "1", "better": "a"}', "line 1: b: Field required"),
        ("prompts", '{"prompt": "x", "messages": []}', "line 1: needs either prompt or messages, not both"),
        ("labels", '{"prompt": "x", "a": "1", "b": "1", "better": "a"}', "line 1: a and b must differ"),
        ("prompts", '{"messages": []}', "line 1: prompt or messages must not be empty"),
        ("prompts", '{"prompt": ""}', "line 1: prompt or messages must not be empty"),
        ("prompts", b"\xff", r"judge\.prompts: .*prompts\.jsonl is not text in UTF-8\. Save it"),
        ("prompts", '{"prompt": "x", "check": {}}', "line 1: check: Extra inputs"),
        ("prompts", "\n", r"prompts\.jsonl: has no prompt"),
        ("prompts", '{"prompt": "x"}\n' * 6, "has 6 prompts, but fewer than 7 rule out chance in no case"),
        ("labels", json.dumps(LABELS[0]), "has 1 labels, but fewer than 7 cannot show an agreement of 65 %"),
    ],
)
def test_files_that_cannot_be_used_are_refused_beforehand(
    folder: Path, name: str, content: str | bytes | None, reported: str
) -> None:
    path = folder / f"{name}.jsonl"
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RolloutError, match=reported):
        judge(folder, JudgeServer()).prepare()
