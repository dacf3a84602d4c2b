"""What is monitored: one service with its own limits, or every service with the defaults."""

import math
from dataclasses import dataclass
from typing import Self

from components.config.sections.rollout_settings import GateSettings, RolloutSettings
from components.config.settings import ServiceSettings

_LEAST_WINDOW_MINUTES = 5
_SCRAPES_IN_WINDOW = 4
"""A rate needs two samples; with four, one lost scrape does not matter."""


@dataclass(frozen=True, kw_only=True)
class Monitored:
    """What the rules and the dashboard are about."""

    service: str | None
    """None for every service whose pods Prometheus scrapes."""
    gates: GateSettings
    start_seconds: int
    """How long a replica may take to start before it counts as missing."""
    window_minutes: int
    """The window of rates and quantiles."""

    @classmethod
    def every_service(cls) -> Self:
        """Return all services, with the defaults of the settings."""
        rollout = RolloutSettings()
        cold_start_seconds: int = ServiceSettings.model_fields["cold_start_seconds"].default
        return cls(
            service=None,
            gates=rollout.gates,
            start_seconds=math.ceil(cold_start_seconds + rollout.ready_timeout_seconds),
            window_minutes=_LEAST_WINDOW_MINUTES,
        )

    @classmethod
    def of(cls, service: str, settings: ServiceSettings) -> Self:
        """Return one service with its settings."""
        scrapes_seconds = _SCRAPES_IN_WINDOW * settings.pods.scrape_interval_seconds
        return cls(
            service=service,
            gates=settings.rollout.gates,
            start_seconds=math.ceil(settings.cold_start_seconds + settings.rollout.ready_timeout_seconds),
            window_minutes=max(_LEAST_WINDOW_MINUTES, math.ceil(scrapes_seconds / 60)),
        )

    @property
    def matcher(self) -> str:
        """The label matcher that selects the series."""
        return 'service!=""' if self.service is None else f'service="{self.service}"'

    @property
    def name_pattern(self) -> str:
        """A regular expression that matches the service's name, which has letters, digits and hyphens only."""
        return self.service or ".+"
