"""A notification: one event of a rollout, for people and programs elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from components.config.sections.notification_settings import EventName
from components.domain.moments import format_rfc3339


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The service that notifications are about."""

    stack: str
    service: str
    options: str
    """The options that name it on the scripts' command lines."""


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One event. It contains no prompts, answers or secrets."""

    event: EventName
    id: str
    """The same for the same event, even if it arrives twice."""
    at: datetime
    origin: Origin
    rollout: str
    """The rollout's id. Empty for a reap that is due."""
    text: str
    """The event in one line, for people."""
    details: Mapping[str, JsonValue]

    def as_json(self) -> dict[str, JsonValue]:
        """Return it as it is sent."""
        return {
            "event": self.event,
            "id": self.id,
            "at": format_rfc3339(self.at),
            "stack": self.origin.stack,
            "service": self.origin.service,
            "rollout": self.rollout,
            "text": self.text,
            "details": dict(self.details),
        }
