"""Who serves, as hooks and the journal get it."""

from dataclasses import dataclass

from components.config.release import Release
from components.domain.naming import Color


@dataclass(frozen=True, kw_only=True)
class HookResult:
    """How a hook ended."""

    seconds: float
    error: str
    """Why it did not do its work; empty: it did."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """Who serves now, and who did before: what a hook is told, and what the journal says."""

    service: str
    color: Color
    release: Release | None
    previous: Release | None

    @property
    def namespace(self) -> str:
        """The semantic-cache namespace of the answers that users get now; empty: nothing serves."""
        return self.release.semantic_cache_namespace if self.release else ""

    @property
    def previous_namespace(self) -> str:
        """That of the answers they got before."""
        return self.previous.semantic_cache_namespace if self.previous else ""

    @property
    def changed(self) -> bool:
        """Whether cached answers of before may differ from those of now."""
        return self.namespace != self.previous_namespace

    def variables(self) -> dict[str, str]:
        """Return the environment variables of a hook."""
        return {
            "ROLLOUT_SERVICE": self.service,
            "ROLLOUT_COLOR": self.color,
            "ROLLOUT_RELEASE_ID": self.release.release_id if self.release else "",
            "ROLLOUT_PREVIOUS_RELEASE_ID": self.previous.release_id if self.previous else "",
            "ROLLOUT_CACHE_NAMESPACE": self.namespace,
            "ROLLOUT_PREVIOUS_CACHE_NAMESPACE": self.previous_namespace,
            "ROLLOUT_CACHE_NAMESPACE_CHANGED": str(self.changed).lower(),
        }
