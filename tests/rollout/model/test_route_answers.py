"""What stands between us and the pods, by an answer on the candidate route."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.model.route_answers import answer_violation

MODELS = '{"object": "list", "data": [{"id": "chat"}]}'
# What an Application Load Balancer answers by itself.
PAGE = "<html><head><title>403 Forbidden</title></head><body><center><h1>403 Forbidden</h1></center></body></html>"
LOGIN = "https://login.example.com/oauth2/authorize?client_id=1&state=precious"


def violation(status: int, text: str = PAGE, url: str = "https://chat.example.com", **headers: str) -> str:
    found = answer_violation(status, {name.replace("_", "-"): value for name, value in headers.items()}, text, url=url)
    assert found is not None
    assert found.startswith(f"the candidate route at {url} answers {status}")
    return found


def test_vllms_own_answer_is_in_order() -> None:
    assert answer_violation(200, {"content-type": "application/json"}, MODELS, url="https://chat") is None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (violation(302, location=LOGIN), "a redirect to https://login.example.com: a listener rule or a proxy asks"),
        (violation(302, location="http://["), "a redirect to another path"),
        (violation(302, location="/login"), "a redirect to another path: a listener rule or a proxy asks for a login"),
        (violation(401), "let the candidate rules come first"),
        (violation(403), "web ACL (AWS WAF)"),
        (violation(403), "Allow requests with the header x-candidate-route"),
        (violation(404), "no listener rule forwards it"),
        (violation(503), "the colour that serves has no targets"),
        (
            violation(200, content_type="text/html; charset=utf-8"),
            "with text/html instead of vLLM's JSON: a login",
        ),
        (violation(200, text="[1]"), "with no type instead of vLLM's JSON"),
        (violation(401, text='{"error": "Unauthorized"}'), '401: {"error": "Unauthorized"}'),
        (violation(500, text="Internal\nServer Error"), "500: Internal Server Error"),
        (
            violation(301, url="http://chat.example.com", location="https://chat.example.com:443/v1/models"),
            "it wants https. Set endpoint_url to https://chat.example.com",
        ),
    ],
)
def test_each_answer_of_something_else_has_its_cause_and_fix(found: str, words: str) -> None:
    assert words in found
    assert "precious" not in found


HEADERS = st.dictionaries(st.sampled_from(["location", "content-type"]), st.text())


@given(st.integers(100, 599), st.text(max_size=50), HEADERS)
def test_whatever_is_answered_only_a_json_object_with_200_is_in_order(
    status: int, text: str, headers: dict[str, str]
) -> None:
    found = answer_violation(status, headers, text, url="https://chat")
    assert (found is None) <= (status == 200 and text.lstrip().startswith("{"))
