"""The shadow check replays recorded prompts to both colours, from a file or from S3."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from components.config.sections.check_settings import ShadowSettings
from components.domain.naming import Color, fingerprint
from rollout.checks.log_lines import RecordedRequest
from rollout.checks.recorded_prompts import RecordedPrompts, RequestLog
from rollout.checks.shadow import Shadow
from rollout.model.answers import Answer
from rollout.model.errors import RefusedError, StoppedError
from rollout.model.verdict import Verdict
from tests.rollout.fakes import NEW, OLD, FakeClock, FakeRoute, World

NAMES: Mapping[Color, str] = {
    "blue": fingerprint("blue", OLD.release_id),
    "green": fingerprint("green", NEW.release_id),
}


def good(color: Color, body: Mapping[str, Any]) -> Answer:
    return Answer(
        status=200,
        text=f"An answer to {body['messages'][0]['content']}.",
        fingerprint=NAMES[color],
        finish_reason="stop",
        ttft_seconds=0.1,
        inter_token_seconds=(0.01,),
    )


def prompts(count: int) -> list[RecordedRequest]:
    return [
        RecordedRequest(body={"messages": [{"role": "user", "content": f"question {number}"}]}, at=float(number))
        for number in range(count)
    ]


def shadow(route: FakeRoute, clock: FakeClock | None = None, log: RequestLog | None = None) -> Shadow:
    return Shadow(
        route=route,
        config=World().config,
        clock=clock or FakeClock(),
        settings=ShadowSettings(samples=40, minimum_samples=30),
        recorded=lambda: log or RequestLog(requests=prompts(100)),
    )


def test_both_colours_are_asked_the_same_and_the_active_one_twice() -> None:
    route = FakeRoute(good)
    verdict = shadow(route).run("green", NEW)
    assert verdict.verdict is Verdict.PASS
    assert (route.asked_of("blue"), route.asked_of("green")) == (80, 40)
    assert all(stream for _, _, stream in route.asked)
    bodies = {color: {json.dumps(body) for to, body, _ in route.asked if to == color} for color in NAMES}
    assert bodies["blue"] == bodies["green"]


def test_a_candidate_that_answers_otherwise_fails() -> None:
    def answer(color: Color, body: Mapping[str, Any]) -> Answer:
        given = good(color, body)
        return replace(given, finish_reason="length") if color == "green" else given

    verdict = shadow(FakeRoute(answer)).run("green", NEW)
    assert verdict.verdict is Verdict.FAIL
    assert "finish reason 40" in verdict.reason


def test_answers_by_another_release_do_not_count() -> None:
    verdict = shadow(FakeRoute(lambda _, body: good("green", body))).run("green", NEW)
    assert verdict.verdict is Verdict.INCONCLUSIVE


def test_a_replay_stops_when_the_rollout_is_asked_to() -> None:
    with pytest.raises(StoppedError):
        shadow(FakeRoute(good), FakeClock(stop_at=0)).run("green", NEW)


REDACTED = [
    RecordedRequest(body={"messages": [{"role": "user", "content": "hello"}]}, at=float(at)) for at in range(40)
]


def test_one_prompt_asked_forty_times_is_no_evidence() -> None:
    route = FakeRoute(good)
    check = shadow(route, log=RequestLog(requests=REDACTED, redacted=["line 7"]))
    message = "1 different prompts, minimum_samples asks for 30 .*1 line with a redaction mark .*line 7"
    with pytest.raises(RefusedError, match=f"rollout.gates.recorded_prompts: {message}"):
        check.prepare()
    verdict = check.run("green", NEW)
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert not route.asked


@pytest.mark.parametrize(("count", "verdict"), [(29, Verdict.INCONCLUSIVE), (30, Verdict.PASS)])
def test_as_many_different_prompts_as_the_minimum_are_evidence(count: int, verdict: Verdict) -> None:
    log = RequestLog(requests=prompts(count) * 3)
    assert shadow(FakeRoute(good), log=log).run("green", NEW).verdict is verdict


def test_a_verdict_says_which_lines_were_left_out() -> None:
    log = RequestLog(requests=prompts(100), redacted=["line 3"])
    verdict = shadow(FakeRoute(good), log=log).run("green", NEW)
    assert verdict.verdict is Verdict.PASS
    assert verdict.reason.endswith("left out: 1 line with a redaction mark instead of a prompt (line 3)")


LINES = [json.dumps({"timestamp": number, "prompt": f"p{number}"}) for number in range(6)]


def source(where: str, folder: Path) -> RecordedPrompts:
    def s3() -> Any:
        return boto3.client("s3", region_name="eu-central-1")

    return RecordedPrompts(source=where, work_dir=folder, s3=s3)


def asked(found: RequestLog) -> list[str]:
    return [one.body["prompt"] for one in found.requests]


def test_prompts_come_from_a_file_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "gateway.jsonl").write_text("\n".join([*LINES, '{"prompt": "half a li']))
    assert asked(source("gateway.jsonl", tmp_path).read()) == [f"p{number}" for number in range(6)]
    assert len(source(str(tmp_path / "gateway.jsonl"), Path("/")).read().requests) == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: .*No such file"),
        ("", "contains nothing"),
        ("{}\n[]\n", "contains 2 lines but no OpenAI"),
        ('{"prompt": "***"}\n' * 4, r"contains 4 lines with a redaction mark .*\(line 1, line 2, line 3 and 1 more\)"),
    ],
)
def test_a_file_without_prompts_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "gateway.jsonl").write_text(content)
    with pytest.raises(RefusedError, match=f"rollout.gates.recorded_prompts: .*{message}"):
        source("gateway.jsonl", tmp_path).read()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="eu-central-1")
        client.create_bucket(Bucket="gateway", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield client


def test_prompts_come_from_the_objects_under_an_s3_prefix(bucket: Any, tmp_path: Path) -> None:
    bucket.put_object(Bucket="gateway", Key="chat/1.jsonl", Body="\n".join(LINES[:3]).encode())
    bucket.put_object(Bucket="gateway", Key="chat/2.jsonl.gz", Body=gzip.compress("\n".join(LINES[3:]).encode()))
    bucket.put_object(Bucket="gateway", Key="other/3.jsonl", Body=b'{"prompt": "foreign"}')
    assert sorted(asked(source("s3://gateway/chat/", tmp_path).read())) == [f"p{number}" for number in range(6)]


def test_a_redacted_line_of_an_object_is_named(bucket: Any, tmp_path: Path) -> None:
    lines = ['{"prompt": "a\u2028b"}', '{"prompt": "[REDACTED]"}']
    bucket.put_object(Bucket="gateway", Key="chat/1.jsonl", Body="\n".join(lines).encode())
    found = source("s3://gateway/chat/", tmp_path).read()
    assert (asked(found), found.redacted, found.others) == (["a\u2028b"], ["chat/1.jsonl line 2"], 0)


def test_an_s3_prefix_that_cannot_be_read_is_refused(bucket: Any, tmp_path: Path) -> None:
    assert bucket.list_buckets()
    with pytest.raises(RefusedError, match="s3://nobodys/chat/ cannot be read"):
        source("s3://nobodys/chat/", tmp_path).read()
    with pytest.raises(RefusedError, match="contains nothing"):
        source("s3://gateway/empty/", tmp_path).read()
