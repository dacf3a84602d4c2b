"""A release's environment variables: no secrets, nothing that the program derives, nothing that breaks a rollout."""

import pytest
from pydantic import ValidationError

from components.config.environment import DERIVED_VARIABLES, HARMFUL_VARIABLES
from components.config.explain import explain
from components.config.release import Release
from components.config.violations import Violation
from tests.components.example import release


def violation(name: str, value: str = "precious") -> Violation:
    with pytest.raises(ValidationError) as raised:
        Release(**release(env={name: value}))
    (one,) = explain(raised.value, Release)
    assert one.path[:2] == ("env", name)
    return one


@pytest.mark.parametrize("name", sorted(DERIVED_VARIABLES))
def test_a_derived_variable_is_refused_with_its_setting(name: str) -> None:
    one = violation(name)
    assert one.what == "is derived by the program"
    assert DERIVED_VARIABLES[name] in one.fix
    assert "precious" not in one.line()


@pytest.mark.parametrize(
    "name", ["ACME_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "HUGGING_FACE_HUB_TOKEN"]
)
def test_a_secret_is_refused_with_the_way_to_refer_to_it(name: str) -> None:
    one = violation(name)
    assert "secret" in one.what
    assert "pods.hub_token_secret" in one.fix
    assert "precious" not in one.line()


@pytest.mark.parametrize("name", sorted(HARMFUL_VARIABLES))
def test_a_harmful_variable_is_refused(name: str) -> None:
    one = violation(name)
    assert (one.what, one.fix) == (HARMFUL_VARIABLES[name], "Remove it.")


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "Ä"])
def test_a_name_is_one_of_a_variable(name: str) -> None:
    assert "must be the name of an environment variable" in violation(name, "x").what


def test_a_value_is_on_one_line() -> None:
    assert "one line" in violation("A", "a\nb").what


@pytest.mark.parametrize("name", ["VLLM_LOGGING_LEVEL", "HF_HUB_OFFLINE", "OTEL_SERVICE_NAME", "http_proxy"])
def test_any_other_variable_is_accepted(name: str) -> None:
    assert Release(**release(env={name: ""})).env == {name: ""}


def test_a_variable_may_change_answers() -> None:
    before, after = Release(**release()), Release(**release(env={"VLLM_BATCH_INVARIANT": "1"}))
    assert after.release_id != before.release_id
    assert after.semantic_cache_namespace != before.semantic_cache_namespace
