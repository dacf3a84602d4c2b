"""Names of stacks, with and without their organization and project."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.domain.naming import PROJECT
from rollout.model.errors import RefusedError
from rollout.model.stack_name import StackName, parse_stack_name

PARTS = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(PARTS, PARTS)
def test_the_bare_name_is_the_last_part_and_the_cli_gets_what_was_given(organization: str, bare: str) -> None:
    for qualified in (bare, f"{organization}/{bare}", f"{organization}/vllm-blue-green/{bare}"):
        assert parse_stack_name(qualified) == StackName(bare=bare, qualified=qualified)


@given(PARTS.filter(lambda one: one != "vllm-blue-green"))
def test_a_stack_of_another_project_is_refused_by_the_project_s_name(project: str) -> None:
    with pytest.raises(RefusedError, match=r"is a stack of project .*, but this is project vllm-blue-green"):
        parse_stack_name(f"acme/{project}/prod", PROJECT)


@given(st.text(max_size=30))
def test_a_bare_name_never_leaves_its_folder(text: str) -> None:
    try:
        bare = parse_stack_name(text).bare
    except RefusedError:
        return
    assert "/" not in bare
    assert bare not in ("", ".", "..")
