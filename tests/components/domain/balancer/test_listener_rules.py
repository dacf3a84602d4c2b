"""Two values of a header condition: whether a request can match both."""

import re

from hypothesis import given
from hypothesis import strategies as st

from components.domain.balancer.listener_rules import OWN_PRIORITIES, overlap, wildcards_in

PATTERNS = st.text("aB*?", max_size=6)
SHORT_PATTERNS = st.text("aB*?", max_size=4)
TEXTS = st.text("ab", max_size=6)


def matches(pattern: str, text: str) -> bool:
    parts = {"*": ".*", "?": "."}
    return re.fullmatch("".join(parts.get(one, re.escape(one)) for one in pattern), text, re.IGNORECASE) is not None


@given(PATTERNS, PATTERNS, TEXTS)
def test_values_that_match_one_text_overlap(one: str, other: str, text: str) -> None:
    if matches(one, text) and matches(other, text):
        assert overlap(one, other)
        assert overlap(other, one)


@given(TEXTS, PATTERNS)
def test_a_value_without_wildcards_overlaps_what_matches_it(text: str, pattern: str) -> None:
    assert overlap(text, pattern) is matches(pattern, text)


@given(SHORT_PATTERNS, SHORT_PATTERNS)
def test_values_that_overlap_have_a_text_in_common(one: str, other: str) -> None:
    # The shortest such text has no more characters than both have together.
    if overlap(one, other):
        found = [""]
        for _ in range(len(one) + len(other) + 1):
            if any(matches(one, text) and matches(other, text) for text in found):
                return
            found = [text + letter for text in found for letter in "ab"]
        raise AssertionError("no text matches both")


def test_wildcards_are_counted_as_often_as_they_occur() -> None:
    assert wildcards_in("a*b?*") == 3
    assert wildcards_in("acme") == 0


def test_candidate_routes_come_before_the_weighted_rule() -> None:
    assert max(OWN_PRIORITIES.candidates) < OWN_PRIORITIES.weighted
