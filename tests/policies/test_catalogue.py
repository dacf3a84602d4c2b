"""The catalogue: names and words of the policies, and the page that is generated from them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from policies import guide
from policies.catalogue import LEVEL, POLICIES, TOPICS, policies_of
from policies.policy import Options

PAGE = Path(__file__).parents[2] / guide.PLACE
TOPIC_NAMES = {topic.__name__.rpartition(".")[2]: ((topic.__doc__ or ""), policies_of(topic)) for topic in TOPICS}
BY_NAME = {policy.name: policy for policy in POLICIES}

each_policy = pytest.mark.parametrize("name", BY_NAME)


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(POLICIES)


@each_policy
def test_a_name_is_its_topic_and_its_rule(name: str) -> None:
    (topic,) = (topic for topic, (_, policies) in TOPIC_NAMES.items() if BY_NAME[name] in policies)
    assert re.fullmatch(rf"{topic}(-[a-z0-9]+)+", name)
    assert len(name) <= 100


@each_policy
def test_a_policy_says_its_rule_why_and_what_to_do(name: str) -> None:
    about = BY_NAME[name].about
    assert re.search(r"\bmust\b", about.description)
    for words in (about.description, about.why, about.fix):
        assert re.fullmatch(r"(vLLM|[A-Z`<]).*\.", " ".join(words.split())), words
    assert "\n" not in about.description + about.fix
    assert BY_NAME[name].remediation_steps == f"{about.fix} See docs/policies.md#{name}."


@each_policy
def test_options_are_described_and_need_no_other_schema(name: str) -> None:
    schema: Any = BY_NAME[name].config_schema
    assert "exempt" in schema.properties
    for option in schema.properties.values():
        assert option["description"].endswith(".")
        assert "default" in option
        assert guide.type_name(option)
        # A reference would point outside the schema that the engine gets.
        assert "$ref" not in json.dumps(option)


@each_policy
def test_the_page_has_a_heading_for_every_link(name: str) -> None:
    page = guide.page(TOPIC_NAMES, LEVEL)
    assert page.count(f"\n### {name}\n") == 1
    assert f"](#{name})" in page


def test_every_link_of_the_page_leads_somewhere() -> None:
    page = guide.page(TOPIC_NAMES, LEVEL)
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    assert set(re.findall(r"\]\(#([^)]*)\)", page)) <= set(headings)
    for link in re.findall(r"\]\(([^#)][^)]*)\)", page):
        assert (PAGE.parent / link.partition("#")[0]).exists()


def test_the_example_of_a_config_is_one() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", guide.page(TOPIC_NAMES, LEVEL), re.DOTALL)
    for name, settings in json.loads(example).items():
        if isinstance(settings, dict):
            options = {key: value for key, value in settings.items() if key != "enforcementLevel"}
            BY_NAME[name].about.options.model_validate(options)
        else:
            assert name == "all" or name in BY_NAME


def test_the_page_is_as_the_policies_are() -> None:
    assert PAGE.read_text(encoding="utf-8") == guide.page(TOPIC_NAMES, LEVEL), "run `make policies`"


def test_the_text_tells_of_every_policy() -> None:
    text = guide.text(TOPIC_NAMES, LEVEL)
    for name, policy in BY_NAME.items():
        assert f"\n{name}\n    (mandatory, severity {policy.about.severity.value}, checks " in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ({"type": "string"}, "text"),
        ({"type": "integer", "minimum": 0, "maximum": 100.0}, "integer from 0 to 100"),
        ({"type": "number", "exclusiveMinimum": 0.5, "exclusiveMaximum": 2}, "number above 0.5 below 2"),
        ({"type": "array", "items": {"type": "string"}}, "list of texts"),
        ({"enum": ["a", "b"], "type": "string"}, "a or b"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer"),
        (Options.model_json_schema()["properties"]["exempt"], "list of texts"),
    ],
)
def test_types_are_named_in_words(schema: dict[str, Any], name: str) -> None:
    assert guide.type_name(schema) == name
