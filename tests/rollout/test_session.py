"""What a session finds out about its service before a command acts."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.model.errors import RefusedError
from rollout.session import Place, Session
from tests.components.example import config

KEYS = {"api_key_secret": {"name": "vllm-keys", "key": "api-key"}}


def session(folder: Path, **changes: Any) -> Session:
    secret = "vllm-blue-green:candidate_route_secret"
    values = {key: json.dumps(text) if text[0] not in "[{" else text for key, text in config(**changes).items()}
    written = {key: yaml.safe_load(text) for key, text in values.items()} | {secret: {"secure": "v1:abc:def"}}
    (folder / "Pulumi.yaml").write_text("name: vllm-blue-green\n")
    (folder / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": written}))
    return Session(Place(stack="prod", service=None, work_dir=folder), "a test")


def test_a_service_with_an_api_key_needs_the_operators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyed = session(tmp_path, pods=KEYS)
    monkeypatch.delenv("ENDPOINT_API_KEY", raising=False)
    with pytest.raises(RefusedError, match=r"ENDPOINT_API_KEY: is not set, but the service has pods\.api_key_secret"):
        keyed.api_key()
    monkeypatch.setenv("ENDPOINT_API_KEY", "sesame")
    assert keyed.api_key() == "sesame"


def test_a_service_without_one_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENDPOINT_API_KEY", raising=False)
    assert session(tmp_path).api_key() is None
