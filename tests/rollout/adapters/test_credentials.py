"""When the credentials end that boto3 finds: in the environment, a profile, a process."""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.domain.moments import format_rfc3339
from rollout.adapters.aws.credentials import read_credentials
from rollout.model.account import Credentials
from rollout.model.errors import RolloutError
from rollout.system.failures import describe_error

IN_AN_HOUR = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
KEYS = {"AWS_ACCESS_KEY_ID": "ASIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
TEMPORARY = {**KEYS, "AWS_SESSION_TOKEN": "token"}


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any credentials, with the files of AWS's tools in a folder of the test."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Credentials:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return read_credentials(os.environ)


@pytest.mark.parametrize(
    "text",
    [
        format_rfc3339(IN_AN_HOUR),
        IN_AN_HOUR.isoformat(),
        IN_AN_HOUR.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    ],
    ids=["RFC 3339", "with an offset", "with milliseconds"],  # each worker must collect the same names
)
def test_the_environment_says_when_its_own_end(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert read(monkeypatch, **TEMPORARY, AWS_CREDENTIAL_EXPIRATION=text) == Credentials(ends=IN_AN_HOUR)


def test_without_that_the_end_of_temporary_ones_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, **TEMPORARY) == Credentials(end_unknown=True)
    assert read(monkeypatch, AWS_CREDENTIAL_EXPIRATION="") == Credentials(end_unknown=True)


def test_permanent_ones_have_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, **KEYS) == Credentials()


@pytest.mark.parametrize("text", ["soon", "2026-12-01T08:00:00", '"2026-12-01T08:00:00Z"'])
def test_an_end_that_is_no_time_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with pytest.raises(RolloutError, match="AWS_CREDENTIAL_EXPIRATION: must be a time with its zone"):
        read(monkeypatch, **TEMPORARY, AWS_CREDENTIAL_EXPIRATION=text)


def test_a_profile_says_nothing_about_the_end_of_copied_ones(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["[default]", "aws_access_key_id = A", "aws_secret_access_key = s"]
    (machine / "credentials").write_text("\n".join(lines))
    # The variable is about credentials in the environment, which are not used here.
    assert read(monkeypatch, AWS_CREDENTIAL_EXPIRATION=format_rfc3339(IN_AN_HOUR)) == Credentials()
    (machine / "credentials").write_text("\n".join([*lines, "aws_session_token = t"]))
    assert read(monkeypatch) == Credentials(end_unknown=True)


@pytest.mark.parametrize(("end", "unknown"), [({"Expiration": format_rfc3339(IN_AN_HOUR)}, False), ({}, True)])
def test_ones_that_can_be_asked_for_again_have_no_end(
    machine: Path, monkeypatch: pytest.MonkeyPatch, end: dict[str, str], unknown: bool
) -> None:
    answer = {"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s", "SessionToken": "t", **end}
    (machine / "answer").write_text(json.dumps(answer))
    program = machine / "program"
    program.write_text(f"#!{sys.executable}\nprint(open({str(machine / 'answer')!r}).read())\n")
    program.chmod(0o755)
    (machine / "config").write_text(f"[default]\ncredential_process = {program}\n")
    assert read(monkeypatch) == Credentials(end_unknown=unknown)


def test_having_none_is_an_error_with_the_ways_to_get_some(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exception, match="Unable to locate credentials") as raised:
        read(monkeypatch)
    assert "Set AWS_PROFILE, or log in" in describe_error(raised.value)
