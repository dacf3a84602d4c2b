"""Whether an evidence bundle is as it was written, and as the journal has it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pydantic import ValidationError

from components.config.release.release import Release
from components.domain.evidence import SECTIONS, Bundle, Difference, Json, NoBundleError, read_bundle
from rollout.model.errors import RefusedError
from rollout.model.records import Record
from rollout.report.explanation import explain
from rollout.report.files import bundle_of
from rollout.report.read import report_of

NOT_COMPARED: Final = "the stack and the service in explanation.commands, which no record has"
_NAMED: Final = re.compile(r"--stack [\w./-]+(?: --service [\w.-]+)?")


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was found about a bundle."""

    bundle: Bundle
    differences: tuple[Difference, ...]
    """What is not as it should be; empty when the bundle is intact."""
    with_journal: bool
    """Whether it was compared with the journal, too."""

    @property
    def not_compared(self) -> str:
        """What of the bundle was not compared with anything but its own digest."""
        return NOT_COMPARED if self.with_journal else "the report with the journal, which --stack names"

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        return {
            "intact": not self.differences,
            "compared_with_journal": self.with_journal,
            "not_compared": self.not_compared,
            "release_id": self.bundle.release_id,
            "sha256": self.bundle.digest,
            "objections": list(self.bundle.objections),
            "differences": [
                {"what": one.what, "stated": one.stated, "found": one.found, "why": one.why} for one in self.differences
            ],
        }


def read_bundle_file(path: Path, option: str) -> Bundle:
    """Read a bundle from a file that an option names.

    Raises:
        RefusedError: it cannot be read, or is no bundle.
    """
    fix = "Name the JSON file of a report (docs/reports.md)"
    try:
        return read_bundle(path.read_bytes())
    except OSError as error:
        raise RefusedError(f"{option} {path}: cannot be read ({error.strerror}). {fix}") from error
    except NoBundleError as error:
        raise RefusedError(f"{option} {path}: is no evidence bundle: {error}. {fix}") from error


def verify(bundle: Bundle, history: Sequence[Record] | None = None) -> Verification:
    """Make a bundle's digests again and, if the service's journal is given, the whole bundle from its records."""
    found = [*bundle.differences(), *_release_differences(bundle)]
    if history is not None:
        found += _journal_differences(bundle, history)
    return Verification(bundle=bundle, differences=tuple(dict.fromkeys(found)), with_journal=history is not None)


def _release_differences(bundle: Bundle) -> Iterator[Difference]:
    """Yield that the release does not have the id that the bundle states. An id is a digest of the release."""
    release = bundle.report.get("release")
    if release is None or not bundle.release_id:  # a reap or a rollback
        return
    try:
        found = Release.model_validate(release).release_id
    except ValidationError as error:
        found = f"none that this version can read ({error.errors()[0]['msg']})"
    if found != bundle.release_id:
        yield Difference(what="release", stated=f"id {bundle.release_id}", found=f"id {found}", why=SECTIONS["release"])


def _journal_differences(bundle: Bundle, history: Sequence[Record]) -> Iterator[Difference]:
    segment = bundle.evidence.get("journal")
    last = segment.get("last_seq") if isinstance(segment, dict) else None
    rollout = bundle.report.get("rollout")
    own = [one for one in history if one.rollout == rollout]
    # A rollout that went on after the report was written has more records by now.
    report = report_of([one for one in own if not isinstance(last, int) or one.seq <= last])
    if report is None:
        yield Difference(
            what="journal",
            stated=f"rollout {rollout}",
            found="none of this service's rollouts",
            why="the bundle is of another stack or service, or its records were removed",
        )
        return
    expected = bundle_of(report, explain(report, "unknown"))
    yield from bundle.compared_with(cast(Json, expected["evidence"]))
    yield from Bundle(document=_unnamed(bundle.document)).unlike(_unnamed(expected))


def _unnamed(document: Json) -> Json:
    """Return a bundle without the names of stack and service in its commands."""
    explanation = cast(Json, document["explanation"])
    commands = explanation.get("commands")
    if not isinstance(commands, list):
        return document
    unnamed = [_NAMED.sub("--stack", one) if isinstance(one, str) else one for one in cast(list[Any], commands)]
    return {**document, "explanation": {**explanation, "commands": unnamed}}
