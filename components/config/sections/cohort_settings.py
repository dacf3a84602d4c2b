"""Settings of a cohort: clients that are sent to a candidate by name, by a header of their requests."""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Annotated, Final

from pydantic import BaseModel, Field, field_validator

from components.config.reading.forms import Form, all_different, matching
from components.config.reading.model import STRICT, Items
from components.config.reading.violations import Violation
from components.domain.balancer.listener_rules import (
    MAX_CONDITION_VALUES,
    MAX_CONDITION_WILDCARDS,
    MAX_HEADER_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_VALUE_CHARACTERS,
    RulePriorities,
    overlap,
    wildcards_in,
)
from components.domain.naming import CANDIDATE_ROUTE_HEADER

_TAKEN: Final = {
    "host": "A rule finds the host otherwise: give the service a listener with that host.",
    "authorization": "Config is plain text: use a header that names the client and is no secret.",
    CANDIDATE_ROUTE_HEADER: "That header is the candidate route's.",
}


def _header(text: str) -> str | None:
    if (taken := _TAKEN.get(text.lower())) is not None:
        return taken
    if "*" in text:
        return "Write the whole name: a load balancer takes wildcards in values alone."
    # https://www.rfc-editor.org/rfc/rfc7230#section-3.2.6
    token = rf"[A-Za-z0-9!#$%&'+.^_`|~-]{{1,{MAX_HEADER_CHARACTERS}}}"
    return None if re.fullmatch(token, text) else ""


COHORT: Final = Form(
    f"a cohort's name: at most {MAX_NAME_CHARACTERS} lower-case letters, digits and dashes, starting with a letter",
    "friends",
    matching(rf"[a-z][a-z0-9-]{{0,{MAX_NAME_CHARACTERS - 1}}}"),
)
COHORT_HEADER: Final = Form(
    f"a header's name: at most {MAX_HEADER_CHARACTERS} characters, without spaces, colons and wildcards",
    "x-tenant",
    _header,
)
COHORT_VALUE: Final = Form(
    f"a header's value: at most {MAX_VALUE_CHARACTERS} ASCII characters, without a backslash",
    "acme",
    # A backslash might be read as an escape.
    matching(rf"(?!\s)(?!.*\s\Z)[ -\[\]-~]{{1,{MAX_VALUE_CHARACTERS}}}"),
)


class CohortSettings(BaseModel):
    """A cohort: clients whose requests have one rule of their own, known by a header."""

    model_config = STRICT

    name: Annotated[str, COHORT, Field(description="Name of the cohort, as its step says it.")]
    priority: Annotated[
        int,
        Field(
            ge=1,
            le=50_000,
            description="Priority of its rule: lower than the weighted rule's, which is 100 on the service's own load "
            "balancer, and not a candidate route's, which are 10 and 11 there.",
            examples=[20],
        ),
    ]
    header: Annotated[
        str, COHORT_HEADER, Field(description="Header that the cohort's requests have; case does not matter.")
    ]
    values: Annotated[
        Items[Annotated[str, COHORT_VALUE]],
        Field(
            min_length=1,
            description="Values of the header, of which one must match; case does not matter, `*` matches any "
            "characters and `?` one.",
            examples=[["acme", "umbrella-*"]],
        ),
    ]

    @field_validator("values")
    @classmethod
    def _be_different(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return all_different(values)


def cohort_rule_violations(
    cohorts: Sequence[CohortSettings], priorities: RulePriorities, *, has_host: bool
) -> Iterator[Violation]:
    """Yield what a load balancer does not take, and priorities that are not before the weighted rule's.

    Args:
        cohorts: the cohorts.
        priorities: the priorities of the service's other rules.
        has_host: whether every rule of the service has a condition on the host, too.
    """
    taken = ", ".join(map(str, priorities.candidates))
    # Each rule has a condition on the path, which has a wildcard.
    most_values, most_wildcards = MAX_CONDITION_VALUES - 1 - has_host, MAX_CONDITION_WILDCARDS - 1
    for place, cohort in enumerate(cohorts):
        if cohort.priority >= priorities.weighted or cohort.priority in priorities.candidates:
            what = f"must be below {priorities.weighted}, the weighted rule's, and not {taken}, the candidate routes'"
            yield Violation((place, "priority"), what, "", cohort.priority)
        if len(cohort.values) > most_values:
            what = f"must be at most {most_values}: with path{' and host' if has_host else ''}, a rule has at most "
            what += f"{MAX_CONDITION_VALUES} values in its conditions"
            yield Violation((place, "values"), what, "Use a wildcard, or make two cohorts of it.", len(cohort.values))
        wildcards = sum(map(wildcards_in, cohort.values))
        if wildcards > most_wildcards:
            what = (
                f"must have at most {most_wildcards} wildcards (* and ?) together: with its path, a rule has at most "
            )
            what += f"{MAX_CONDITION_WILDCARDS}"
            yield Violation((place, "values"), what, "Make two cohorts of it.", wildcards)


def cohort_violations(cohorts: Sequence[CohortSettings]) -> Iterator[Violation]:
    """Yield what two cohorts may not have in common: name, priority, and a request that is of both."""
    for (_, one), (place, other) in combinations(enumerate(cohorts), 2):
        for field in ("name", "priority"):
            if (value := getattr(other, field)) == getattr(one, field):
                yield Violation((place, field), f"must not be that of another cohort, {one.name}", "", value)
        if one.header.lower() != other.header.lower():
            continue
        for position, value in enumerate(other.values):
            if theirs := next((text for text in one.values if overlap(text, value)), None):
                what = f"must not match what {theirs} of the cohort {one.name} matches: a client is in one cohort"
                yield Violation((place, "values", position), what, "", value)
