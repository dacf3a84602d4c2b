"""A release's environment variables: no secrets, nothing that the program derives, nothing that breaks a rollout."""

import pytest
from pydantic import ValidationError

from components.config.reading.explain import explain
from components.config.reading.violations import Violation
from components.config.release.environment import (
    DERIVED_VARIABLES,
    HARMFUL_VARIABLES,
    environment_violations,
    unknown_variables_warning,
)
from components.config.release.release import Release
from components.domain.vllm.vllm_options import NEWEST
from components.domain.vllm.vllm_variables import VARIABLES
from components.domain.vllm.vllm_version import MIN_VLLM
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


@pytest.mark.parametrize(
    ("name", "what", "fix"),
    [
        ("VLLM_USE_V1", "has no effect since vLLM 0.11 at the latest", "Remove it."),
        (
            "VLLM_ATTENTION_BACKEND",
            "has no effect since vLLM 0.16 at the latest",
            "Write --attention-backend into engine_args.",
        ),
        ("VLLM_LOGGING_LEVL", "has no effect: vLLM has no such variable", "Did you mean VLLM_LOGGING_LEVEL?"),
        ("vllm_logging_level", "has no effect: vLLM has no such variable", "Did you mean VLLM_LOGGING_LEVEL?"),
    ],
)
def test_a_variable_that_vllm_does_not_read_is_refused(name: str, what: str, fix: str) -> None:
    one = violation(name)
    assert (one.what, one.fix) == (what, fix)
    assert unknown_variables_warning({name: ""}) is None or "LEVL" in name


def test_a_variable_like_none_is_a_warning() -> None:
    env = {"VLLM_ACME_PLUGIN": "1", "VLLM_LOGGING_LEVEL": "DEBUG", "OMP_NUM_THREADS": "1"}
    assert list(environment_violations(env)) == []
    warning = unknown_variables_warning(env)
    assert warning is not None
    assert warning.startswith("vLLM 0.21 to 0.33 do not read VLLM_ACME_PLUGIN: unless the image is newer")
    assert unknown_variables_warning({"VLLM_LOGGING_LEVEL": ""}) is None


def test_the_images_version_decides_what_has_an_effect() -> None:
    gone = {"VLLM_RPC_TIMEOUT": "1"}
    assert list(environment_violations(gone)) == list(environment_violations(gone, (0, 22))) == []
    (one,) = environment_violations(gone, (0, 23))
    assert one.what == "has no effect since vLLM 0.23"
    later = next(name for name, variable in VARIABLES.items() if variable.since == (0, 32))
    assert list(environment_violations({later: "1"}, (0, 32))) == []
    (one,) = environment_violations({later: "1"}, (0, 31))
    assert one.what == "has an effect from vLLM 0.32 on, but the image has 0.31"
    assert list(environment_violations({"VLLM_LOGGING_LEVL": ""}, (0, 34))) == []


def test_the_table_of_variables_is_sound() -> None:
    assert list(VARIABLES) == sorted(VARIABLES)
    assert len(VARIABLES) > 400
    assert all(
        one.until is None or one.until < MIN_VLLM or one.since <= one.until <= NEWEST for one in VARIABLES.values()
    )
    # HF_TOKEN and others are not vLLM's own.
    assert {name for name in DERIVED_VARIABLES if name.startswith("VLLM_")} <= VARIABLES.keys()
