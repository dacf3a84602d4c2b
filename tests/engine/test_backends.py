"""The real CLI with its state in S3 and its secrets encrypted by KMS, however the stack is named."""

import json
import os
import socket
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import boto3
import pytest

from rollout.adapters.pulumi.stack import PulumiStack
from rollout.model.errors import RefusedError, StackLockedError, UpdateFailedError
from tests.engine.conftest import pulumi_cli
from tests.moto_server import moto_server

pytestmark = pytest.mark.slow

BUCKET: Final = "state"
SECRET: Final = "0123456789abcdef0123456789abcdef"
LOCK: Final = ".pulumi/locks/organization/vllm-blue-green/prod/aa.json"


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """A project whose stack ``prod`` is in a bucket of the test, and the client of that bucket."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "PULUMI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(pulumi_cli().parent), prepend=":")
    (tmp_path / "Pulumi.yaml").write_text("name: vllm-blue-green\nruntime: python\n")
    with moto_server() as url:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": url,
            "PULUMI_BACKEND_URL": f"s3://{BUCKET}?endpoint={url}&s3ForcePathStyle=true&region=us-east-1",
            "PULUMI_HOME": str(tmp_path / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }.items():
            monkeypatch.setenv(name, value)
        session = boto3.Session(region_name="us-east-1")
        client: Any = session.client("s3", endpoint_url=url)
        client.create_bucket(Bucket=BUCKET)
        key = session.client("kms", endpoint_url=url).create_key()["KeyMetadata"]["KeyId"]
        run("stack", "init", "prod", "--secrets-provider", f"awskms://{key}?region=us-east-1", folder=tmp_path)
        run("config", "set", "--secret", "candidate_route_secret", SECRET, folder=tmp_path)
        yield client


def run(*arguments: str, folder: Path) -> None:
    subprocess.run(
        ["pulumi", "--non-interactive", *arguments], cwd=folder, check=True, capture_output=True, timeout=120
    )


def open_stack(name: str, folder: Path) -> PulumiStack:
    return PulumiStack(name, folder, update_timeout_seconds=60, check=lambda: None)


@pytest.mark.usefixtures("s3")
def test_a_stack_in_s3_with_a_key_of_kms_is_read_under_each_of_its_names(tmp_path: Path) -> None:
    assert SECRET not in (tmp_path / "Pulumi.prod.yaml").read_text()
    for name in ("prod", "organization/prod", "organization/vllm-blue-green/prod"):
        stack = open_stack(name, tmp_path)
        assert stack.secret("candidate_route_secret") == SECRET
        assert stack.rule_in_state("chat") is None
    with pytest.raises(RefusedError, match="organization name must be 'organization'"):
        open_stack("acme/prod", tmp_path)


def left_by(host: str, process: int) -> bytes:
    """Return a lock as the CLI writes it: https://github.com/pulumi/pulumi/blob/v3.272.0/pkg/backend/diy/lock.go."""
    fields = {"pid": process, "username": "ann", "hostname": host, "timestamp": "2026-11-28T08:00:00Z"}
    return json.dumps(fields).encode()


def is_locked(client: Any) -> bool:
    return bool(client.list_objects_v2(Bucket=BUCKET, Prefix=LOCK).get("KeyCount"))


def test_a_lock_in_s3_is_cancelled_only_if_its_process_was_here_and_has_ended(s3: Any, tmp_path: Path) -> None:
    stack = open_stack("organization/vllm-blue-green/prod", tmp_path)
    s3.put_object(Bucket=BUCKET, Key=LOCK, Body=left_by("elsewhere", 42))
    with pytest.raises(StackLockedError, match=r"ann@elsewhere \(pid 42\)"):
        stack.up("a change")
    assert is_locked(s3)
    ended = subprocess.Popen(["true"])
    ended.wait()
    s3.put_object(Bucket=BUCKET, Key=LOCK, Body=left_by(socket.gethostname(), ended.pid))
    # The project has no program that could run: what counts is that the update gets as far as that.
    with pytest.raises(UpdateFailedError) as raised:
        stack.up("a change")
    assert not isinstance(raised.value, StackLockedError)
    assert not is_locked(s3)
