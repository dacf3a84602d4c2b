"""What a person reads while a command runs: one line a resource as it goes, then diagnostics, outputs and counts."""

import json
import sys
import time
from collections import defaultdict
from typing import Any, TextIO

from rehearsal.engine.events import Event
from rehearsal.engine.paths import differences
from rehearsal.engine.urns import STACK_TYPE, name_of, type_of

_SIGNS = {
    "same": "  ",
    "create": "+ ",
    "update": "~ ",
    "delete": "- ",
    "replace": "+-",
    "create-replacement": "++",
    "delete-replaced": "--",
    "read": "> ",
    "discard": "< ",
    "refresh": "~ ",
    "remove-pending-replace": "~ ",
}
_DOING = {
    "create": ("creating", "created"),
    "update": ("updating", "updated"),
    "delete": ("deleting", "deleted"),
    "replace": ("replacing", "replaced"),
    "create-replacement": ("creating replacement", "created replacement"),
    "delete-replaced": ("deleting original", "deleted original"),
    "read": ("reading", "read"),
    "discard": ("discarding", "discarded"),
    "refresh": ("refreshing", "refreshed"),
}
_COUNTED = {
    "create": ("+ ", "to create", "created"),
    "update": ("~ ", "to update", "updated"),
    "delete": ("- ", "to delete", "deleted"),
    "replace": ("+-", "to replace", "replaced"),
    "read": ("> ", "to read", "read"),
    "discard": ("< ", "to discard", "discarded"),
}


class Display:
    """Prints events as they come and a summary at the end."""

    def __init__(
        self,
        *,
        title: str,
        dry_run: bool,
        show_diff: bool = False,
        suppress_outputs: bool = False,
        suppress_progress: bool = False,
        out: TextIO | None = None,
    ) -> None:
        self._title = title
        self._dry_run = dry_run
        self._show_diff = show_diff
        self._suppress_outputs = suppress_outputs
        self._suppress_progress = suppress_progress
        self._out = out or sys.stdout
        self._begun: dict[str, float] = {}
        self._shown: set[tuple[str, str]] = set()
        self._diagnostics: dict[str, list[str]] = defaultdict(list)
        self._policies: list[Event] = []
        self._root: dict[str, Any] | None = None
        self._print(f"{title}:\n")

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if "resourcePreEvent" in event:
            self._started(event["resourcePreEvent"]["metadata"])
        elif "resOutputsEvent" in event:
            self._ended(event["resOutputsEvent"]["metadata"])
        elif "resOpFailedEvent" in event:
            self._failed(event["resOpFailedEvent"]["metadata"])
        elif "diagnosticEvent" in event:
            self._diagnose(event["diagnosticEvent"])
        elif "policyEvent" in event:
            self._policies.append(event["policyEvent"])
        elif "summaryEvent" in event:
            self._summarize(event["summaryEvent"])

    def _print(self, text: str = "") -> None:
        print(text, file=self._out, flush=True)

    def _line(self, step: dict[str, Any], status: str) -> None:
        if self._suppress_progress and status.endswith("ing"):
            return
        sign = _SIGNS.get(step["op"], "  ")
        self._print(f" {sign} {step['type']} {name_of(step['urn'])} {status}".rstrip())

    def _started(self, step: dict[str, Any]) -> None:
        self._begun[step["urn"]] = time.monotonic()
        if step["op"] in ("same", "replace") or self._dry_run:
            return
        self._line(step, _DOING.get(step["op"], (step["op"], ""))[0])

    def _ended(self, step: dict[str, Any]) -> None:
        if step["type"] == STACK_TYPE:
            self._root = step
        key = (step["op"], step["urn"])
        if step["op"] == "same" or key in self._shown:
            return
        self._shown.add(key)
        changed = _changed_inputs(step)
        note = f" [diff: {changed}]" if changed else ""
        if self._dry_run:
            self._line(step, step["op"].replace("create-replacement", "create replacement") + note)
        else:
            seconds = time.monotonic() - self._begun.get(step["urn"], time.monotonic())
            self._line(step, f"{_DOING.get(step['op'], ('', step['op']))[1]} ({seconds:.1f}s){note}")
        if self._show_diff:
            self._print_diff(step)

    def _failed(self, step: dict[str, Any]) -> None:
        doing = _DOING.get(step["op"], (step["op"], ""))[0]
        self._line(step, f"**{doing} failed**")

    def _print_diff(self, step: dict[str, Any]) -> None:
        old = (step["old"] or {}).get("inputs", {})
        new = (step["new"] or {}).get("inputs", {})
        for path, kind in differences(old, new).items():
            sign = {"add": "+", "delete": "-", "update": "~"}[kind]
            before, after = _at(old, path), _at(new, path)
            text = {"add": after, "delete": before}.get(kind, f"{before} => {after}")
            self._print(f"      {sign} {path}: {text}")

    def _diagnose(self, diagnostic: dict[str, Any]) -> None:
        if diagnostic["severity"] == "debug" or diagnostic.get("ephemeral"):
            return
        text = diagnostic.get("prefix", "") + diagnostic["message"].rstrip("\n")
        self._diagnostics[diagnostic.get("urn", "")].append(text)

    # -- the end

    def _summarize(self, summary: dict[str, Any]) -> None:
        self._print()
        if self._diagnostics:
            self._print("Diagnostics:")
            for urn, texts in self._diagnostics.items():
                root = self._root["urn"] if self._root else ""
                subject = urn or root
                self._print(f"  {type_of(subject)} ({name_of(subject)}):" if subject else "  global:")
                for text in texts:
                    self._print("\n".join(f"    {line}" for line in text.splitlines()))
                self._print()
        self._print_policies(summary["PolicyPacks"])
        if not self._suppress_outputs:
            self._print_outputs()
        changes = {op: count for op, count in summary["resourceChanges"].items() if op != "same"}
        self._print("Resources:")
        for op, count in changes.items():
            sign, planned, done = _COUNTED.get(op, ("  ", op, op))
            self._print(f"    {sign} {count} {planned if self._dry_run else done}")
        same = summary["resourceChanges"].get("same", 0)
        if same:
            self._print(f"    {same} unchanged")
        if not self._dry_run:
            self._print(f"\nDuration: {summary['durationSeconds']}s")

    def _print_policies(self, packs: dict[str, str]) -> None:
        if not packs:
            return
        self._print("Policies:")
        for place, version in packs.items():
            pack = place.split("|")[0]
            own = [policy for policy in self._policies if policy["policyPackName"] == pack]
            failed = any(policy["enforcementLevel"] == "mandatory" for policy in own)
            self._print(f"    {'❌' if failed else '✅'} {pack}@v{version} (local)")
            for policy in own:
                urn = policy["resourceUrn"]
                subject = f"  ({type_of(urn)}: {name_of(urn)})" if urn else ""
                self._print(f"        - [{policy['enforcementLevel']}]  {policy['policyName']}{subject}")
                for line in policy["message"].rstrip("\n").splitlines():
                    self._print(f"          {line}")
        self._print()

    def _print_outputs(self) -> None:
        if self._root is None:
            return
        old = (self._root["old"] or {}).get("outputs", {})
        new = (self._root["new"] or {}).get("outputs", {})
        lines: list[str] = []
        for key in sorted({*old, *new}):
            if key not in new:
                lines += _tree("-", key, old[key])
            elif key not in old:
                lines += _tree("+" if self._root["op"] != "create" or self._dry_run else " ", key, new[key])
            elif old[key] != new[key]:
                lines += _changed_tree(key, old[key], new[key])
            elif not self._dry_run:
                lines += _tree(" ", key, new[key])
        if lines:
            self._print("\n".join(["Outputs:", *lines, ""]))


def _tree(sign: str, key: str, value: Any, depth: int = 1) -> list[str]:
    """Write an output, an object with a line for each of its keys."""
    indent = "    " * depth
    if not _is_object(value):
        return [f"{indent[:-2]}{sign} {key}: {_shown(value)}"]
    within = [line for name in sorted(value) for line in _tree(sign, name, value[name], depth + 1)]
    return [f"{indent[:-2]}{sign} {key}: {{", *within, f"{indent}}}"]


def _changed_tree(key: str, old: Any, new: Any, depth: int = 1) -> list[str]:
    """Write an output that changes, an object with those of its keys that do."""
    indent = "    " * depth
    if not (_is_object(old) and _is_object(new)):
        return [f"{indent[:-2]}~ {key}: {_shown(old)} => {_shown(new)}"]
    within: list[str] = []
    for name in sorted({*old, *new}):
        if name not in new:
            within += _tree("-", name, old[name], depth + 1)
        elif name not in old:
            within += _tree("+", name, new[name], depth + 1)
        elif old[name] != new[name]:
            within += _changed_tree(name, old[name], new[name], depth + 1)
    return [f"{indent[:-2]}~ {key}: {{", *within, f"{indent}}}"]


def _is_object(value: Any) -> bool:
    """Whether it is one that can be looked into: not empty, and neither a secret nor unknown."""
    from rehearsal.engine.values import masked

    return isinstance(value, dict) and bool(value) and isinstance(masked(value), dict)


def _changed_inputs(step: dict[str, Any]) -> str:
    if step["op"] not in ("update", "replace"):
        return ""
    old, new = step["old"]["inputs"], step["new"]["inputs"]
    signs = {
        key: "+" if key not in old else "-" if key not in new else "~"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key) and not key.startswith("__")
    }
    return ",".join(sign + key for key, sign in signs.items())


def _at(properties: dict[str, Any], path: str) -> str:
    from rehearsal.engine.paths import parse

    value: Any = properties
    for step in parse(path):
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return ""
    return _shown(value)


def _shown(value: Any) -> str:
    from rehearsal.engine.values import UNKNOWN, masked

    shown = masked(value)
    if shown in ("[secret]", UNKNOWN):
        return "[unknown]" if shown == UNKNOWN else "[secret]"
    return json.dumps(shown, ensure_ascii=False)


def _json_step(step: dict[str, Any]) -> dict[str, Any]:
    """One step as a preview's document has it."""
    document: dict[str, Any] = {"op": step["op"], "urn": step["urn"], "provider": step["provider"]}
    document.update({"oldState": _json_state(step["old"]), "newState": _json_state(step["new"])})
    document.update({"diffReasons": step.get("diffs"), "replaceReasons": step.get("keys")})
    document = {key: value for key, value in document.items() if value}
    details = step["detailedDiff"] or {}
    document["detailedDiff"] = {
        path: {"kind": each["diffKind"], "inputDiff": each["inputDiff"]} for path, each in details.items()
    } or None
    return document


def _json_state(state: dict[str, Any] | None) -> dict[str, Any] | None:
    if state is None:
        return None
    known = {key: value for key, value in state.items() if value}
    return {**known, "custom": state.get("custom", False)}


class JsonPreview:
    """Collects a preview's events and prints them as one JSON document."""

    def __init__(self) -> None:
        self._steps: list[dict[str, Any]] = []
        self._diagnostics: list[dict[str, Any]] = []

    def __call__(self, event: Event) -> None:
        """Take one event; the summary prints the document."""
        if "resourcePreEvent" in event:
            step = event["resourcePreEvent"]["metadata"]
            untouched = step["op"] == "same" and step["type"] != STACK_TYPE
            if not untouched and step["op"] not in ("create-replacement", "delete-replaced", "discard-replaced"):
                self._steps.append(_json_step(step))
        elif "diagnosticEvent" in event and event["diagnosticEvent"]["severity"] != "debug":
            told = event["diagnosticEvent"]
            document = {"urn": told.get("urn"), "message": told.get("prefix", "") + told["message"]}
            document["severity"] = told["severity"]
            self._diagnostics.append({key: value for key, value in document.items() if value})
        elif "summaryEvent" in event:
            summary = event["summaryEvent"]
            document: dict[str, Any] = {
                "steps": self._steps,
                "diagnostics": self._diagnostics,
                "duration": summary["durationSeconds"] * 1_000_000_000,
                "changeSummary": summary["resourceChanges"],
            }
            print(json.dumps({key: value for key, value in document.items() if value != []}, indent=4))
