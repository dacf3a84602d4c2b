"""Evidence bundles for the cases: reports with only what a bundle is made from."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final

from components.domain.evidence import Bundle, EvidenceTag, sealed
from tests.policies.releases import GREEN_ID

PASSED: Final = "passed"
FAILED: Final = "failed"
GATE_FAILED: Final = "gate_failed"
OTHER: Final = "other"
CHANGED: Final = "changed"


def bundle(
    *, release_id: str = GREEN_ID, checks: dict[str, str], skipped: tuple[str, ...] = (), gate: str = "pass"
) -> dict[str, Any]:
    """Return the bundle of a rollout with these verdicts."""
    hold = {"gates": [{"name": "error_rate", "dry_run": False, "readings": [{"verdict": gate}]}]}
    report = {
        "rollout": "4f1c09ab77de",
        "release_id": release_id,
        "release": {"model": "org/model"},
        "plan": {"checks": list(checks)},
        "checks": [{"name": name, "dry_run": False, "readings": [{"verdict": one}]} for name, one in checks.items()],
        "skipped": dict.fromkeys(skipped, "no time"),
        "holds": [hold],
        "journal": {"records": 2, "first_seq": 1, "last_seq": 2, "sha256": "0" * 64},
        "processes": [{"commit": "c0ffee0", "config_sha256": "1" * 64, "pack_version": "1.0.0"}],
    }
    return sealed({"explanation": {"headline": "A rollout"}, "report": report})


@cache
def _documents() -> dict[str, dict[str, Any]]:
    changed = bundle(checks={"smoke": "pass", "eval": "fail"})
    changed["report"]["checks"][1]["readings"][0]["verdict"] = "pass"
    return {
        PASSED: bundle(checks={"smoke": "pass", "eval": "pass"}),
        FAILED: bundle(checks={"smoke": "pass", "eval": "fail"}, skipped=("shadow",)),
        GATE_FAILED: bundle(checks={"smoke": "pass"}, gate="fail"),
        OTHER: bundle(checks={"smoke": "pass"}, release_id="0a1b2c3d4e5f"),
        CHANGED: changed,
    }


def tag(name: str) -> str:
    """Return the text of the rule's tag for a bundle, with the digest that the bundle states."""
    found = Bundle(document=_documents()[name])
    return str(EvidenceTag(release_id=found.release_id, digest=found.stated_digest))


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="bundles-")
    for name, document in _documents().items():
        (Path(folder.name) / f"{name}.json").write_text(json.dumps(document, indent=2), encoding="utf-8")
    # Other files may lie there, too: one that is no JSON, and one that only mentions a digest.
    (Path(folder.name) / "notes.json").write_text(f"see {tag(PASSED)}", encoding="utf-8")
    (Path(folder.name) / "list.json").write_text(json.dumps([tag(PASSED)]), encoding="utf-8")
    return folder


def bundles() -> Path:
    """Return the folder with all of them."""
    return Path(_folder().name)
