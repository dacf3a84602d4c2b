"""Which targets of notifications are refused, with which message, and that no message shows a secret."""

from typing import Any

import pytest

from tests.components.config.test_settings import settings, violations

URL = {"url_from": {"env": "HOOK_URL"}}
TOPIC = "arn:aws:sns:us-east-1:123456789012:rollouts"


def of(*targets: Any) -> dict[str, Any]:
    return {"rollout": {"notifications": list(targets)}}


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"webhook": URL}, "webhook"),
        ({"webhook": {"url_from": {"file": "hook"}, "signing_secret_from": {"env": "A"}}}, "webhook"),
        ({"slack": URL, "events": ["paused", "rollback"]}, "slack"),
        ({"sns": {"topic_arn": TOPIC}}, "sns"),
        ({"sns": {"topic_arn": "arn:aws-us-gov:sns:us-gov-west-1:123456789012:a_b-c"}}, "sns"),
    ],
)
def test_each_kind_is_accepted(given: dict[str, Any], kind: str) -> None:
    (service,) = settings(**of(given)).services.values()
    assert [one.kind for one in service.rollout.notifications] == [kind]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "[0]: must have exactly one of webhook, slack and sns (got none)"),
        (
            {"webhook": URL, "slack": URL},
            "[0]: must have exactly one of webhook, slack and sns (got webhook and slack)",
        ),
        ({"slack": {"url_from": "https://precious"}}, "[0].slack.url_from: must be an object with the key env"),
        ({"slack": {**URL, "url": "x"}}, "[0].slack.url: is not a known key"),
        ({"webhook": {}}, "[0].webhook.url_from"),
        ({"sns": {"topic_arn": f"{TOPIC}.fifo"}}, "[0].sns.topic_arn: must be the ARN of a standard SNS topic"),
        ({"sns": {"topic_arn": TOPIC}, "events": ["ended", "ended"]}, "[0].events: must not name ended more than once"),
        ({"sns": {"topic_arn": TOPIC}, "events": ["endet"]}, "[0].events[0]: "),
    ],
)
def test_a_bad_target_is_one_error_with_its_field(given: dict[str, Any], message: str) -> None:
    (found,) = violations(**of(given))
    assert f"rollout.notifications{message}" in found
    assert "precious" not in found
