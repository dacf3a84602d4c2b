"""What must be equal on two engines: a transcript with only those parts smoothed that differ from run to run.

Smoothed: moments (the number of the command in which they lie), generated ids of providers (their order), ciphertext
(decrypted), durations, colour tags in messages, the frames of a program's traceback, and what a preview printed as JSON
knows of outputs by then. Beyond that only ACCEPTED and UNCOMPARED_MESSAGES differ.
"""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from rehearsal.engine.passphrase import PassphraseSecrets
from rehearsal.engine.values import SECRET, SIGNATURE
from tests.engine.parity.driver import Outcome

ACCEPTED = {
    "stackTrace": "frames of the language host and of the SDK, which each engine starts in its own way",
    "sourcePosition": "compared below the project only: beyond it lie those same frames",
}
"""State fields that may differ, and why."""

UNCOMPARED_MESSAGES = (
    # The CLI names the place that it takes a plugin from; the embedded engine takes them all from PATH.
    r"^using pulumi-resource-\w+ from \$PATH",
    # Each engine advises in its own words what to do about them.
    r"^Attempting to deploy or update resources with \d+ pending operations",
)

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_TAGS = re.compile(r"<\{%.*?%\}>")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)")


def comparable(transcript: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The transcript as both engines must produce it."""
    smooth = _Smoothing([outcome.begun for outcome in transcript])
    return [_command(outcome, smooth) for outcome in transcript]


def _command(outcome: Outcome, smooth: "_Smoothing") -> dict[str, Any]:
    checkpoint = dict(outcome.checkpoint)
    latest = dict(checkpoint.pop("latest", {}))
    salt = latest.pop("secrets_providers", {}).get("state", {}).get("salt", "")
    latest["encrypted"] = bool(salt)
    smooth.secrets = _secrets(salt) if salt else None
    resources = latest.pop("resources", [])
    return {
        "command": " ".join(outcome.command),
        "status": outcome.status,
        "state": {
            "resources": [smooth.value(resource) for resource in sorted(resources, key=_order)],
            "checkpoint": smooth.value({**checkpoint, **latest}),
        },
        "history": smooth.value(_history(outcome.history)),
        "steps": smooth.value(_steps(outcome)),
        "policies": sorted(json.dumps(smooth.value(each), sort_keys=True) for each in outcome.of("policyEvent")),
        "messages": sorted(_messages(outcome)),
        "document": smooth.value(_document(outcome)),
        "summary": [smooth.value({**each, "durationSeconds": 0}) for each in outcome.of("summaryEvent")],
    }


def _document(outcome: Outcome) -> Any:
    """What a command with --json printed."""
    if "--json" not in outcome.command:
        return None
    document = json.loads(outcome.stdout)
    steps = sorted((_json_step(step) for step in document["steps"]), key=lambda step: (step["urn"], step["op"]))
    return {"steps": steps, "changeSummary": document["changeSummary"]}


def _json_step(step: dict[str, Any]) -> dict[str, Any]:
    # Beyond these a state holds what the preview has come to know when it is printed, which is a matter of moments.
    kept = ("urn", "type", "custom", "parent", "inputs")
    states = {key: {name: step[key].get(name) for name in kept} for key in ("oldState", "newState") if key in step}
    return {**step, **states}


@cache
def _secrets(salt: str) -> PassphraseSecrets:
    return PassphraseSecrets(salt)


def _order(resource: dict[str, Any]) -> tuple[str, bool, str]:
    return resource["urn"], resource.get("delete", False), resource.get("id", "")


def _history(entry: dict[str, Any]) -> dict[str, Any]:
    kept = ("kind", "message", "result", "version", "resourceChanges")
    return {**{key: entry.get(key) for key in kept}, "config": sorted(entry.get("config") or {})}


def _steps(outcome: Outcome) -> dict[str, list[Any]]:
    """All step events of each resource, in their order; resources run side by side, so there is no order among them."""
    steps: dict[str, list[Any]] = defaultdict(list)
    for event in outcome.events:
        for kind in ("resourcePreEvent", "resOutputsEvent", "resOpFailedEvent"):
            if kind in event:
                metadata = event[kind]["metadata"]
                steps[metadata["urn"]].append({"event": kind, **event[kind]})
    return dict(sorted(steps.items()))


def _messages(outcome: Outcome) -> list[str]:
    found: list[str] = []
    for content in outcome.of("diagnosticEvent"):
        message = _TAGS.sub("", content["message"]).strip()
        # A traceback's frames are the language host's and the SDK's; what was raised is the last line.
        if "\nTraceback (most recent call last):\n" in message:
            message = f"{message.splitlines()[0]} {message.splitlines()[-1]}"
        if content["severity"] == "debug" or any(re.search(each, message) for each in UNCOMPARED_MESSAGES):
            continue
        found.append(f"{content['severity']} {content.get('urn', '')}: {message}")
    return found


class _Smoothing:
    """Replaces what differs from run to run by what it means."""

    def __init__(self, begun: Sequence[float]) -> None:
        self._begun = begun
        self._ids: dict[str, str] = {}
        self.secrets: PassphraseSecrets | None = None

    def value(self, value: Any) -> Any:
        if isinstance(value, dict):
            hidden = value.get(SIGNATURE) == SECRET and value.get("ciphertext") not in (None, "[secret]")
            if hidden and self.secrets is not None:
                return {SIGNATURE: SECRET, "plaintext": json.loads(self.secrets.decrypt(value["ciphertext"]))}
            # Dependencies are sets, whose order in the state means nothing.
            ordered = {**value, "dependencies": sorted(value["dependencies"])} if "dependencies" in value else value
            return {key: self.value(item) for key, item in sorted(ordered.items()) if not _accepted(key, item)}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, str):
            return self._moment(value) if _MOMENT.fullmatch(value) else _UUID.sub(self._generated, value)
        return value

    def _moment(self, text: str) -> str:
        moment = datetime.fromisoformat(text).timestamp()
        return f"during command {sum(begun <= moment for begun in self._begun)}"

    def _generated(self, found: re.Match[str]) -> str:
        return self._ids.setdefault(found[0], f"<generated {len(self._ids) + 1}>")


def _accepted(key: str, value: Any) -> bool:
    inside_project = key == "sourcePosition" and not str(value).startswith("project:///../")
    return key in ACCEPTED and not inside_project
