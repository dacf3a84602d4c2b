"""Where the direct update of a rollback looks for the rule, by what the config says about listeners."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.direct_update import send_back
from rollout.model.errors import RolloutError

ARN = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/shared/50dc6c495c0c9188/"
CHAT = {"blue": {}, "listener": {"arn": f"{ARN}chat"}}
CODE = {"blue": {}, "listener": {"arn": f"{ARN}code"}}


@pytest.mark.parametrize(
    ("config", "service", "listeners"),
    [
        ({"vllm-blue-green:listener": CHAT["listener"]}, None, ["chat"]),
        ({"vllm-blue-green:services": {"chat": CHAT, "code": CODE}}, "code", ["code"]),
        ({"models:chat": CHAT}, "chat", ["chat"]),
        ({"models:chat": CHAT}, None, ["chat"]),
        ({"chat": json.dumps(CHAT)}, "chat", ["chat"]),
        ({"models:chat": CHAT, "models:code": CODE}, "code", ["code"]),
        ({"models:chat": CHAT, "models:theme": "dark"}, "code", []),
    ],
)
def test_listeners_are_found_in_the_config_of_either_program(
    config: dict[str, Any], service: str | None, listeners: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str | None] = []

    class Nowhere:
        def __init__(self, _client: object, *, listener_arn: str | None, **_: object) -> None:
            tried.append(listener_arn)

        def rule(self) -> None:
            raise RolloutError("no rule has our tags")

    monkeypatch.setattr("rollout.adapters.aws.load_balancer.Elbv2LoadBalancer", Nowhere)
    (tmp_path / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": {"aws:region": "us-east-1", **config}}))
    with pytest.raises(RolloutError, match="no rule has our tags"):
        send_back("prod", service, tmp_path, force=False)
    # Last, without a listener: the tags of all load balancers are searched.
    assert tried == [*(f"{ARN}{one}" for one in listeners), None]
