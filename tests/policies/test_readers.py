"""What every policy reads with: values as they come, rules by their tags and names, and how a value is shown."""

from typing import Any

import pytest

from components.config.reading import route_secret
from components.config.reading.forms import TIME
from policies import clock
from policies.catalogue import POLICIES, TOPICS, policies_of
from policies.policy import shown
from policies.resources import LISTENER_RULE, TARGET_GROUP, Resource, items, text, whole
from policies.rule import color_in, is_weighted_rule, traffic, traffic_of
from tests.policies.stacks import stack


def rule(**changes: Any) -> Resource:
    declared = stack("ramp")["ListenerRule chat"]
    props = {**declared.props, **changes}
    return Resource(type=declared.type, name=declared.name, urn=declared.urn, props=props)


@pytest.mark.parametrize(
    ("value", "number"),
    [(3, 3), (3.0, 3), ("3", 3), (2.5, None), (True, None), ("٣", None), ("x", None), ([3], None), (None, None)],
)
def test_a_whole_number_is_one_however_it_is_written(value: object, number: int | None) -> None:
    assert whole(value) == number


def test_a_text_is_no_list_and_a_number_no_text() -> None:
    assert items("ab") == ()
    assert list(items(["ab"])) == ["ab"]
    assert (text(5), text("5")) == (None, "5")


@pytest.mark.parametrize(
    ("value", "words"),
    [(4.0, "4"), (0.5, "0.5"), (True, "true"), ("", "not set"), ([], "empty"), ("x" * 80, "x" * 80)],
)
def test_a_value_is_shown_as_a_person_would_write_it(value: object, words: str) -> None:
    assert shown(value) == words


def test_a_long_text_is_cut() -> None:
    assert shown("x" * 81) == "x" * 80 + "…"


def test_only_rules_are_weighted_rules() -> None:
    group = Resource(type=TARGET_GROUP, name="x", urn="x", props={"tags": {"vllm-blue-green/role": "weighted-rule"}})
    assert not is_weighted_rule(group)
    assert traffic_of(group) is None
    assert is_weighted_rule(rule())
    candidate = stack("ramp")["ListenerRule chat-blue-candidate"]
    other = Resource(type=LISTENER_RULE, name="c", urn="c", props=candidate.props)
    assert traffic_of(other) is None


def test_what_a_rule_does_not_say_is_nothing() -> None:
    tags = rule().props["tags"]
    silent = {"keep-until", "rollout-serial", "announced"}
    read = traffic(rule(tags={key: one for key, one in tags.items() if key.partition("/")[2] not in silent}))
    assert read is not None
    assert (read.keep_until, read.rollout_serial, read.announced_serial) == (None, 0, "")


@pytest.mark.parametrize(
    ("name", "service", "color"),
    [
        ("chat-blue-0a1b2c3", "chat", "blue"),
        ("green-chat-blue-0a1b2c3", "green-chat", "blue"),
        ("green-chat-blue-0a1b2c3", None, None),
        ("tg-green", "chat", "green"),
        ("tg-green", None, "green"),
        ("-green-blue", "", None),
        ("tg", "chat", None),
    ],
)
def test_a_colour_is_read_from_a_name(name: str, service: str | None, color: str | None) -> None:
    assert color_in(name, service) == color


@pytest.mark.parametrize("length", [16, 100])
def test_a_secret_of_a_good_length_is_taken(length: int) -> None:
    assert route_secret.value_violation("s" * length) is None


@pytest.mark.parametrize("secret", ["", "s" * 15, "s" * 101, "s" * 15 + "!"])
def test_any_other_secret_is_refused(secret: str) -> None:
    assert route_secret.value_violation(secret) is not None


def test_a_violation_names_the_length_only_if_it_is_wrong() -> None:
    lines = [str(route_secret.value_violation(secret)) for secret in ("", "s" * 15, "s" * 101, "s" * 15 + "!")]
    assert len(set(lines)) == 4


@pytest.mark.parametrize(
    ("time", "good"),
    [("", False), ("2026-11-22T08:00:00Z", True), ("2026-11-22 08:00", False), ("soon", False)],
)
def test_a_time_has_a_zone(time: str, good: bool) -> None:
    assert (TIME.check(time) is None) is good
    assert (clock.moment(time) is not None) is good


def test_a_topic_has_policies_and_nothing_else() -> None:
    for topic in TOPICS:
        assert policies_of(topic)
        assert set(policies_of(topic)) <= set(POLICIES)


def test_every_schema_has_words_for_its_options_and_no_titles() -> None:
    for policy in POLICIES:
        assert policy.config_schema is not None
        for about in policy.config_schema.properties.values():
            assert "title" not in about
            assert {"description", "default"} <= about.keys()
