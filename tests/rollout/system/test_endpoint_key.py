"""The operator's API key, from the environment."""

import pytest

from rollout.model.errors import RefusedError
from rollout.system.endpoint_key import endpoint_key


def test_the_key_is_taken_as_it_is() -> None:
    assert endpoint_key({"ENDPOINT_API_KEY": "sesame"}, required=True) == "sesame"


def test_an_endpoint_of_ones_own_may_ask_for_a_key_that_the_pods_do_not() -> None:
    assert endpoint_key({"ENDPOINT_API_KEY": "sesame"}, required=False) == "sesame"


@pytest.mark.parametrize("environment", [{}, {"ENDPOINT_API_KEY": ""}])
def test_without_a_key_a_service_that_has_one_is_refused_with_what_to_do(environment: dict[str, str]) -> None:
    assert endpoint_key(environment, required=False) is None
    with pytest.raises(RefusedError) as raised:
        endpoint_key(environment, required=True)
    assert str(raised.value) == (
        "ENDPOINT_API_KEY: is not set, but the service has pods.api_key_secret; "
        "put the service's API key into the environment variable ENDPOINT_API_KEY"
    )


@pytest.mark.parametrize("key", ["sesame\n", "open sesame", "sésame"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(RefusedError, match="ENDPOINT_API_KEY: is not one word") as raised:
        endpoint_key({"ENDPOINT_API_KEY": key}, required=True)
    assert key.strip() not in str(raised.value)
