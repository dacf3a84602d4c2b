"""Which release serves, in the form that hooks and the journal get."""

from dataclasses import dataclass

from components.config.release.release import Release
from components.domain.naming import Color


@dataclass(frozen=True, kw_only=True)
class HookResult:
    """The result of a hook."""

    seconds: float
    error: str
    """Why the hook failed. Empty when it succeeded."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """The release that serves now and the one that served before, for hooks and the journal."""

    service: str
    color: Color
    release: Release | None
    previous: Release | None

    @property
    def namespace(self) -> str:
        """The semantic-cache namespace of the answers that users get now. Empty when nothing serves."""
        return self.release.semantic_cache_namespace if self.release else ""

    @property
    def previous_namespace(self) -> str:
        """The semantic-cache namespace of the answers that users got before. Empty when nothing served."""
        return self.previous.semantic_cache_namespace if self.previous else ""

    @property
    def changed(self) -> bool:
        """Whether answers that were cached before may differ from the ones given now."""
        return self.namespace != self.previous_namespace

    def variables(self) -> dict[str, str]:
        """Return the environment variables for a hook."""
        return {
            "ROLLOUT_SERVICE": self.service,
            "ROLLOUT_COLOR": self.color,
            "ROLLOUT_RELEASE_ID": self.release.release_id if self.release else "",
            "ROLLOUT_PREVIOUS_RELEASE_ID": self.previous.release_id if self.previous else "",
            "ROLLOUT_CACHE_NAMESPACE": self.namespace,
            "ROLLOUT_PREVIOUS_CACHE_NAMESPACE": self.previous_namespace,
            "ROLLOUT_CACHE_NAMESPACE_CHANGED": str(self.changed).lower(),
        }
