"""Read the evidence bundle that a service's config names, for the tag of its weighted rule."""

from pathlib import Path

import pulumi

from components.domain.balancer.traffic import Traffic
from components.domain.evidence import NoBundleError, needs_evidence, read_bundle


def evidence_tag(path: str | None, service: str, traffic: Traffic, resource: pulumi.Resource) -> str:
    """Return the text of the rule's tag for a bundle; empty when the config names none.

    A rollout and a rollback need no bundle, so a bundle that cannot be used must not stop them: it is a warning.

    Raises:
        pulumi.RunError: the weights need a bundle, and this one cannot be used.
    """
    if path is None:
        return ""
    try:
        return _tag(Path(pulumi.get_root_directory() or "", path))
    except NoBundleError as error:
        message = f"{service}: evidence is {path}, but {error}"
        if needs_evidence(traffic):
            raise pulumi.RunError(message) from None
        pulumi.log.warn(f"{message}; the rule gets no tag for it", resource)
        return ""


def _tag(path: Path) -> str:
    fix = "Name the JSON of a rollout's report (docs/reports.md), or remove the setting"
    try:
        bundle = read_bundle(path.read_bytes())
    except OSError as error:
        raise NoBundleError(f"it cannot be read ({error.strerror}). {fix}") from error
    except NoBundleError as error:
        raise NoBundleError(f"{error}. {fix}") from error
    if (different := next(bundle.differences(), None)) is not None:
        fix = f"Restore it; `python -m scripts.explain --verify {path}` says what differs"
        raise NoBundleError(f"it was changed after it was written ({different.what}). {fix}")
    if not bundle.release_id:
        raise NoBundleError(f"it is not of a rollout, so it has no release. {fix}")
    return str(bundle.tag)
