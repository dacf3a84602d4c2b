"""Evidence bundles: a report's JSON with digests of what it was made from, and of itself.

A bundle is one JSON object with the keys ``explanation``, ``report`` and ``evidence``. The report is made from the
journal alone, and everything in ``evidence`` is made from the report. So whoever has a bundle can make its digests
again, and whoever has the journal can make the bundle again.

The digests reveal accidental and incomplete changes. They are no signature: somebody who may write bundles can make a
new one. So keep bundles where only rollouts may write, and name the digest in a place that is reviewed.
"""

import hashlib
import json
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, cast

from components.domain.balancer.traffic import Traffic

MOST_PERCENT_WITHOUT: Final = 1
"""A drill sends this share to the idle colour, so it needs no bundle."""
OWN_DIGEST: Final = "sha256"
DRY_RUN: Final = "dry run"
PASSED: Final = frozenset({"pass", DRY_RUN})
"""The verdicts of checks that do not fail a release."""
SECTIONS: Final[Mapping[str, str]] = {
    "release": "the checks may have tried another release than the one in the report",
    "config": "other limits and settings may have applied",
    "journal": "the report may be of other records than those of the rollout",
    "program": "another commit of the program may have done it",
    "pack": "other policies may have applied",
    "checks": "checks or gates may have given other verdicts",
}
"""The parts of ``evidence``, and why a difference matters."""
WHOLE: Final = "document"
_WHY_WHOLE: Final = "a value was changed after the bundle was written"
_WHY_WITHOUT: Final = "without its digest, a changed value may go unnoticed; write the report again (docs/reports.md)"
_WHY_PART: Final = "a value was changed after the bundle was written, or another version of the program wrote it"
_WITH_PARTS: Final[Mapping[str, frozenset[str]]] = {
    "explanation": frozenset(),
    "report": frozenset({"journal"}),
    "evidence": frozenset({*SECTIONS, OWN_DIGEST}),
}
"""The keys of a bundle whose parts are compared one by one, each with the parts that the digests already cover."""

Json = Mapping[str, Any]


class NoBundleError(ValueError):
    """A text is no evidence bundle; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A digest that is not what it should be."""

    what: str
    """The part of the bundle: a key of ``SECTIONS``, ``document``, or the path of a value, as ``report.outcome``."""
    stated: str
    found: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: the bundle states {self.stated}, but it is {self.found}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class EvidenceTag:
    """What the weighted rule's tag says of the bundle behind its weight."""

    release_id: str
    digest: str

    def __str__(self) -> str:
        """Return the tag's text. AWS allows 256 characters of these kinds.

        https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_Tag.html
        """
        return f"{self.release_id} sha256:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> "EvidenceTag | None":
        """Return what a tag's text says; None when the text has another format."""
        found = _TAG.fullmatch(text)
        return None if found is None else cls(release_id=found["release"], digest=found["digest"])


_TAG: Final = re.compile(r"(?P<release>[0-9a-f]+) sha256:(?P<digest>[0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle as it was read. Nothing in it is trusted until ``differences`` finds nothing."""

    document: Json

    @property
    def report(self) -> Json:
        """The report."""
        return _table(self.document.get("report"))

    @property
    def evidence(self) -> Json:
        """The digests."""
        return _table(self.document.get("evidence"))

    @property
    def digest(self) -> str:
        """The digest of the whole document as it is."""
        return document_digest(self.document)

    @property
    def stated_digest(self) -> str:
        """The digest that the document states of itself; empty when it states none."""
        return str(self.evidence.get(OWN_DIGEST) or "")

    @property
    def release_id(self) -> str:
        """The id of the release that was rolled out; empty for a run without one, such as a reap."""
        return str(_table(self.evidence.get("release")).get("id") or "")

    @property
    def objections(self) -> tuple[str, ...]:
        """Why the rollout is no evidence for its release, such as ``eval: fail``; empty when all passed."""
        checks = _table(self.evidence.get("checks"))
        verdicts = {str(name): str(verdict) for name, verdict in _table(checks.get("verdicts")).items()}
        found = [f"{name}: {verdict}" for name, verdict in verdicts.items() if verdict not in PASSED]
        failed = [str(name) for name, verdict in _table(checks.get("gates")).items() if verdict == "fail"]
        outcome = self.report.get("outcome")
        ended = [] if outcome in (None, "promoted") else [f"the rollout ended as {outcome}"]
        return (*([] if verdicts else ["no check ran"]), *found, *(f"gate {name}: fail" for name in failed), *ended)

    @property
    def tag(self) -> EvidenceTag:
        """The rule's tag for a weight that this bundle stands behind."""
        return EvidenceTag(release_id=self.release_id, digest=self.digest)

    def differences(self) -> Iterator[Difference]:
        """Yield what the bundle contradicts in itself; nothing when it is as it was written."""
        yield from self.compared_with(sections(self.report))
        if not self.stated_digest:
            yield Difference(what=WHOLE, stated="no digest of itself", found=self.digest, why=_WHY_WITHOUT)
        elif (found := self.digest) != self.stated_digest:
            yield Difference(what=WHOLE, stated=self.stated_digest, found=found, why=_WHY_WHOLE)

    def compared_with(self, expected: Json) -> Iterator[Difference]:
        """Yield the sections that differ from these, which were made from a report."""
        for name, why in SECTIONS.items():
            stated, found = self.evidence.get(name), expected[name]
            if canonical(stated) != canonical(found):
                yield Difference(what=name, stated=_shown(stated, found), found=_shown(found, stated), why=why)

    def unlike(self, expected: Json) -> Iterator[Difference]:
        """Yield each part that differs from a bundle that was made again, but for what ``compared_with`` compares."""
        yield from _unlike_parts("", _without(self.document, _WITH_PARTS), _without(expected, _WITH_PARTS))
        for name, compared in _WITH_PARTS.items():
            mine, theirs = _table(self.document.get(name)), _table(expected.get(name))
            yield from _unlike_parts(f"{name}.", _without(mine, compared), _without(theirs, compared))


def needs_evidence(traffic: Traffic) -> bool:
    """Return whether the idle colour has a cohort, or more weight than a drill's, and no rollout watches it."""
    idle = traffic.idle_color
    much = traffic.weights[idle] > MOST_PERCENT_WITHOUT or bool(traffic.cohorts_on(idle))
    return not traffic.rolling_out and much


def sealed(parts: Json) -> dict[str, Any]:
    """Return ``explanation`` and ``report`` as a bundle.

    A whole number is written as one, 6 and not 6.0: programs that copy a bundle, such as jq, would write it so.
    """
    plain = {name: _with_plain_numbers(part) for name, part in parts.items()}
    document = {**plain, "evidence": sections(_table(plain["report"]))}
    return {**document, "evidence": {**document["evidence"], OWN_DIGEST: document_digest(document)}}


def read_bundle(content: bytes) -> Bundle:
    """Read a bundle.

    Raises:
        NoBundleError: it is no bundle.
    """
    try:
        document = json.loads(content, object_pairs_hook=_without_repetition)
    except NoBundleError:
        raise
    except (ValueError, RecursionError) as error:
        raise NoBundleError(f"it is not JSON ({error})") from error
    parts = ("explanation", "report", "evidence")
    if not isinstance(document, dict) or not all(isinstance(document.get(part), dict) for part in parts):
        raise NoBundleError(f"it is not a report with {', '.join(parts)}")
    return Bundle(document=cast(Json, document))


def sections(report: Json) -> dict[str, Any]:
    """Return the digests of what a report was made from, and its verdicts. The report is a dumped ``Report``."""
    processes = _tables(report.get("processes"))
    return {
        "release": {"id": report.get("release_id"), "sha256": digest_of(report.get("release"))},
        "config": {"sha256": _distinct(processes, "config_sha256")},
        "journal": dict(_table(report.get("journal"))),
        "program": {"commits": _distinct(processes, "commit")},
        "pack": {"versions": _distinct(processes, "pack_version")},
        "checks": {
            "verdicts": _check_verdicts(report),
            "gates": _gate_verdicts(report),
            "sha256": digest_of([report.get(part) for part in ("checks", "skipped", "holds")]),
        },
    }


def canonical(value: Any) -> bytes:
    """Return a JSON value in one spelling: keys in order, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def digest_of(value: Any) -> str:
    """Return the SHA-256 digest of a JSON value, in hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def document_digest(document: Json) -> str:
    """Return the digest of a whole document but for the digest that it states."""
    evidence = _table(document.get("evidence"))
    return digest_of({**document, "evidence": {key: one for key, one in evidence.items() if key != OWN_DIGEST}})


def _with_plain_numbers(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _with_plain_numbers(one) for key, one in _table(value).items()}
        case list():
            return [_with_plain_numbers(one) for one in _items(value)]
        case float() if value.is_integer() and abs(value) <= _MOST_EXACT:
            return int(value)
        case _:
            return value


_MOST_EXACT: Final = 2**53
"""Beyond it, a float is no exact whole number."""


def _check_verdicts(report: Json) -> dict[str, str]:
    given = {str(one.get("name")): _verdict(one) for one in _tables(report.get("checks"))}
    planned = [str(name) for name in _items(_table(report.get("plan")).get("checks"))]
    skipped = [str(name) for name in _table(report.get("skipped"))]
    return {**dict.fromkeys(planned, "not run"), **given, **dict.fromkeys(skipped, "skipped")}


def _gate_verdicts(report: Json) -> dict[str, str]:
    """Return for each gate the verdict of its last hold, or that it failed in one."""
    found: dict[str, str] = {}
    for hold in _tables(report.get("holds")):
        for gate in _tables(hold.get("gates")):
            name = str(gate.get("name"))
            if found.get(name) != "fail":
                found[name] = _verdict(gate)
    return found


def _verdict(readings: Json) -> str:
    given = _tables(readings.get("readings"))
    return DRY_RUN if readings.get("dry_run") else str(given[-1].get("verdict") if given else "not run")


def _distinct(processes: Sequence[Json], key: str) -> list[str]:
    return list(dict.fromkeys(str(one[key]) for one in processes if one.get(key)))


def _without(table: Json, keys: Container[str]) -> Json:
    return {key: value for key, value in table.items() if key not in keys}


def _unlike_parts(prefix: str, stated: Json, found: Json) -> Iterator[Difference]:
    """Yield the first difference of each key's values."""
    for key in dict.fromkeys([*found, *stated]):
        path = f"{prefix}{key}"
        if key in stated and key in found:
            yield from islice(_unlike(path, stated[key], found[key]), 1)
        else:
            texts = [_text(table[key]) if key in table else "nothing" for table in (stated, found)]
            yield Difference(what=path, stated=texts[0], found=texts[1], why=_WHY_PART)


def _unlike(path: str, stated: Any, found: Any) -> Iterator[Difference]:
    """Yield the differences of two values, each with the path that leads to it."""
    if canonical(stated) == canonical(found):
        return
    if isinstance(stated, Mapping) and isinstance(found, Mapping):
        yield from _unlike_parts(f"{path}.", _table(stated), _table(found))
        return
    if isinstance(stated, list) and isinstance(found, list):
        ours, others = _items(stated), _items(found)
        if len(ours) != len(others):
            yield Difference(what=path, stated=f"{len(ours)} items", found=f"{len(others)} items", why=_WHY_PART)
            return
        for place, (one, other) in enumerate(zip(ours, others, strict=True)):
            yield from _unlike(f"{path}[{place}]", one, other)
        return
    yield Difference(what=path, stated=_text(stated), found=_text(found), why=_WHY_PART)


def _shown(value: Any, other: Any) -> str:
    """Return what of a section is not the same in the other one."""
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        mine, theirs = _table(value), _table(other)
        keys = sorted({*mine, *theirs})
        unlike = {key: mine.get(key) for key in keys if canonical(mine.get(key)) != canonical(theirs.get(key))}
        return ", ".join(f"{key} {_text(one)}" for key, one in unlike.items())
    return _text(value)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else canonical(value).decode()
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


_MOST_SHOWN: Final = 80


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NoBundleError("it has a key twice, so readers may take one or the other")
    return found


def _table(value: Any) -> Json:
    return cast(Json, value) if isinstance(value, Mapping) else {}


def _items(value: Any) -> Sequence[Any]:
    return cast(Sequence[Any], value) if isinstance(value, list) else ()


def _tables(value: Any) -> list[Json]:
    return [_table(one) for one in _items(value)]
