"""Settings of the notifications: where events of a rollout are sent, and which ones."""

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from components.config.reading.forms import Form, all_different, matching
from components.config.reading.model import STRICT, Items
from components.config.reading.violations import Violation, wrong
from components.config.sections.prometheus_settings import SecretSource

EventName = Literal[
    "started",
    "step_in_effect",
    "hold_extended",
    "approval_wanted",
    "paused",
    "rollback",
    "promoted",
    "watch_failed",
    "way_back_at_risk",
    "reap_due",
    "ended",
]
# A FIFO topic, whose name ends in .fifo, would need a message group.
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
TOPIC: Final = Form(
    "the ARN of a standard SNS topic",
    "arn:aws:sns:us-east-1:123456789012:rollouts",
    matching(r"arn:aws(-[a-z]+)*:sns:[a-z]+(-[a-z]+)+-[0-9]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}"),
)


class WebhookSettings(BaseModel):
    """A web server of yours that takes events as JSON."""

    model_config = STRICT

    url_from: Annotated[SecretSource, Field(description="Where the URL is read: it may contain a secret.")]
    signing_secret_from: Annotated[
        SecretSource | None,
        Field(description="Where the secret is read that signs each request. Default: requests are not signed."),
    ] = None


class SlackSettings(BaseModel):
    """An incoming webhook of Slack."""

    model_config = STRICT

    url_from: Annotated[SecretSource, Field(description="Where the URL of the incoming webhook is read: it is secret.")]


class SnsSettings(BaseModel):
    """A topic of Amazon SNS."""

    model_config = STRICT

    topic_arn: Annotated[str, TOPIC, Field(description="Topic to publish to.")]


class NotificationTarget(BaseModel):
    """One target of notifications, of exactly one kind."""

    model_config = STRICT

    webhook: Annotated[WebhookSettings | None, Field(description="A web server of yours, which gets JSON.")] = None
    slack: Annotated[SlackSettings | None, Field(description="A channel of Slack, which gets text.")] = None
    sns: Annotated[SnsSettings | None, Field(description="A topic of Amazon SNS, which gets JSON.")] = None
    events: Annotated[Items[EventName], Field(description="Events to send. Default: all.")] = ()

    @property
    def kind(self) -> str:
        """The name of the target's kind."""
        return next(name for name in ("webhook", "slack", "sns") if getattr(self, name) is not None)

    @field_validator("events")
    @classmethod
    def _name_each_once(cls, events: tuple[EventName, ...]) -> tuple[EventName, ...]:
        all_different(events)
        return events

    @model_validator(mode="after")
    def _have_one_kind(self) -> Self:
        kinds = [name for name in ("webhook", "slack", "sns") if getattr(self, name) is not None]
        if len(kinds) != 1:
            fix = "Set one of them; write one target for each."
            got = " and ".join(kinds) or "none"
            raise wrong(Violation((), f"must have exactly one of webhook, slack and sns (got {got})", fix))
        return self
