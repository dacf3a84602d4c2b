"""Generate the guide to the policies from the policies themselves: as a page, and as plain text."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pulumi_policy import EnforcementLevel

from policies.policy import Options, ResourcePolicy, ServicePolicy

PLACE: Final = "docs/policies.md"
_INTRODUCTION: Final = Path(__file__).with_name("introduction.md")
_WIDTH: Final = 100

AnyPolicy = ResourcePolicy | ServicePolicy
Topics = Mapping[str, tuple[str, Sequence[AnyPolicy]]]
"""Each topic's description and policies, by the topic's name."""


def page(topics: Topics, level: EnforcementLevel) -> str:
    """Return the whole guide as Markdown; the headings are the policies' names, so that links find them."""
    return "\n".join([_INTRODUCTION.read_text(encoding="utf-8"), *_overview(topics), *_sections(topics, level)])


def text(topics: Topics, level: EnforcementLevel) -> str:
    """Return the catalogue as plain text."""
    lines: list[str] = []
    for topic, (about, policies) in topics.items():
        lines += [*textwrap.wrap(f"{topic.upper()} – {_flat(about).partition(': ')[2]}", _WIDTH), ""]
        for policy in policies:
            lines += [policy.name, *_paragraph(f"({', '.join(_facts(policy, level))})")]
            lines += _paragraph(policy.about.description)
            lines += _paragraph(policy.about.why)
            for name, type_, default, meaning in _options(policy):
                lines += _paragraph(f"option {name} ({type_}, default {default}): {meaning}")
            lines += [*_paragraph(f"fix: {policy.about.fix}"), ""]
    return "\n".join(lines)


def type_name(schema: Mapping[str, Any]) -> str:
    """Return a JSON schema's type in words: ``integer from 0 to 100``, ``list of texts``, ``a or b``."""
    if "anyOf" in schema:
        return " or ".join(type_name(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return " or ".join(str(value) for value in schema["enum"])
    name = {"string": "text", "array": "list", "object": "table"}.get(schema["type"], str(schema["type"]))
    if name == "list" and "items" in schema:
        return f"list of {type_name(schema['items'])}s"
    least = schema.get("minimum")
    most = schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    below = schema.get("exclusiveMaximum")
    limits = [("from", least), ("to", most), ("above", above), ("below", below)]
    return " ".join([name, *(f"{word} {limit:g}" for word, limit in limits if limit is not None)])


def _overview(topics: Topics) -> Iterator[str]:
    yield "## All policies"
    for topic, (about, policies) in topics.items():
        yield f"\n**{topic.capitalize()}** – {_flat(about).partition(': ')[2]}\n"
        yield "| policy | rule |"
        yield "| --- | --- |"
        for policy in policies:
            yield f"| [`{policy.name}`](#{policy.name}) | {_cell(policy.about.description)} |"
    yield ""


def _sections(topics: Topics, level: EnforcementLevel) -> Iterator[str]:
    for _, policies in topics.values():
        for policy in policies:
            yield f"### {policy.name}\n"
            yield f"{policy.about.description}\n"
            yield f"- **What**: {', '.join(_facts(policy, level))}"
            yield f"- **Why**: {_flat(policy.about.why)}"
            yield f"- **Fix**: {_flat(policy.about.fix)}"
            own = [option for option in _options(policy) if option[0] not in Options.model_fields]
            yield "- **Options**: [`exempt`](#exempt)" + (", and" if own else "") + "\n"
            if own:
                yield "| option | type | default | meaning |"
                yield "| --- | --- | --- | --- |"
                for name, type_, default, meaning in own:
                    yield f"| `{name}` | {type_} | `{default}` | {_cell(meaning)} |"
                yield ""


def _facts(policy: AnyPolicy, level: EnforcementLevel) -> Iterator[str]:
    own = policy.enforcement_level or level
    yield own.value
    yield f"severity {policy.about.severity.value}"
    if isinstance(policy, ServicePolicy):
        yield "checks a service as a whole"
    else:
        yield "checks one resource: " + " or ".join(type_.rpartition(":")[2] for type_ in policy.about.types)


def _options(policy: AnyPolicy) -> Iterator[tuple[str, str, str, str]]:
    schema: Any = policy.config_schema
    for name, about in schema.properties.items():
        yield name, type_name(about), json.dumps(about.get("default"), ensure_ascii=False), about["description"]


def _paragraph(words: str) -> list[str]:
    return textwrap.wrap(_flat(words), _WIDTH, initial_indent="    ", subsequent_indent="    ")


def _cell(words: str) -> str:
    return _flat(words).replace("|", "\\|")


def _flat(words: str) -> str:
    return " ".join(words.split())
