"""Values that are unknown, missing or nonsense: no policy crashes, and none passes silently.

Only what a policy reads is taken from it: as it is a function of what it reads, nothing else can change its mind.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import cycle, groupby
from typing import Any, cast

import pytest
from pulumi_policy import Policy, PolicyResource, ResourceValidationArgs, StackValidationPolicy

from policies import policy as policy_module
from policies.catalogue import POLICIES
from policies.resources import Resource
from tests.policies import judge as judging
from tests.policies.case import Unsafe
from tests.policies.edits import GONE, UNKNOWN, Gone
from tests.policies.judge import Shown, Violation, judge, judge_shown
from tests.policies.stacks import CONFIGS, Stack, stack
from tests.policies.test_cases import UNSAFE

pytestmark = pytest.mark.slow

Field = tuple[str | int, ...]
"""The path to a value: keys and positions."""

NONSENSE: tuple[Any, ...] = (None, "", "word", -1, 1.5, True, [], {}, [None], {"key": None})


@dataclass
class Reads:
    """The values that a policy reads of a resource."""

    values: set[Field] = field(default_factory=set[Field])
    presence: set[Field] = field(default_factory=set[Field])
    """Values of which a policy reads only that they exist."""


class WatchedMapping(Mapping[str, Any]):
    """Behaves like a policy's values, and records what is read."""

    def __init__(self, values: Mapping[str, Any], reads: Reads, place: Field = ()) -> None:
        self._values, self._reads, self._place = values, reads, place

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        self._reads.values.add((*self._place, key))
        return watched(value, self._reads, (*self._place, key))

    def __iter__(self) -> Iterator[str]:
        self._reads.presence.update((*self._place, key) for key in self._values)
        return iter(self._values)

    def __len__(self) -> int:
        self._reads.presence.update((*self._place, key) for key in self._values)
        return len(self._values)


class WatchedSequence(Sequence[Any]):
    """Behaves like a policy's values, and records what is read."""

    def __init__(self, values: Sequence[Any], reads: Reads, place: Field) -> None:
        self._values, self._reads, self._place = values, reads, place

    def __getitem__(self, position: Any) -> Any:
        every = range(len(self._values))
        if isinstance(position, slice):
            return [self[each] for each in every[position]]
        value = self._values[position]
        place = (*self._place, every[position])
        self._reads.values.add(place)
        return watched(value, self._reads, place)

    def __len__(self) -> int:
        self._reads.presence.update((*self._place, position) for position in range(len(self._values)))
        return len(self._values)


def watched(value: Any, reads: Reads, place: Field = ()) -> Any:
    if isinstance(value, dict):
        return WatchedMapping(cast(dict[str, Any], value), reads, place)
    return WatchedSequence(cast(list[Any], value), reads, place) if isinstance(value, list) else value


def reads_of(policy: Policy, of: Stack) -> dict[str, Reads]:
    """The values that a policy reads of a stack, by resource."""
    keys = {id(resource.props): key for key, resource in of.items()}
    found: defaultdict[str, Reads] = defaultdict(Reads)
    with pytest.MonkeyPatch.context() as patch:

        def proxy(props: object) -> Any:
            return watched(props, found[keys[id(props)]])

        patch.setattr(judging, "unknown_checking_proxy", proxy)
        assert judge_shown([Shown.of(resource) for resource in of.values()], policies=(policy,)) == []
    return found


def put(value: Any, field: Field, new: Any) -> Any:
    """Values with one changed value; unchanged parts are shared."""
    if not field:
        return new
    copied: Any = value.copy()
    if len(field) == 1 and isinstance(new, Gone):
        del copied[field[0]]
    else:
        copied[field[0]] = put(value[field[0]], field[1:], new)
    return copied


Outcome = list[Violation] | Exception
Read = tuple[str, str, Field]
"""A policy, a resource and what the one reads of the other."""


@cache
def all_reads() -> Mapping[str, Mapping[Read, bool]]:
    """What policies read of each stack, and whether it is the value: else only that it is there."""
    return {
        name: {
            (policy.name, key, place): place in reads.values
            for policy in POLICIES
            for key, reads in reads_of(policy, stack(name)).items()
            for place in reads.values | reads.presence
        }
        for name in CONFIGS
    }


@cache
def chosen_reads() -> Mapping[str, Sequence[Read]]:
    """The reads to try in each stack: those that happen in many stacks are tried in three of them.

    What is read of two services of a stack alike is tried with the second: no policy knows them by their names.
    """
    where: defaultdict[Read, dict[str, Read]] = defaultdict(dict)
    for name, reads in all_reads().items():
        for read in sorted(reads, key=repr):
            where[of_any_service(read)][name] = read
    chosen: defaultdict[str, list[Read]] = defaultdict(list)
    for alike in where.values():
        names = list(alike)
        for name in {names[0], names[len(names) // 2], names[-1]}:
            chosen[name].append(alike[name])
    return chosen


def of_any_service(read: Read) -> Read:
    """The same for every service."""
    policy, key, place = read
    return policy, re.sub(r"\b(chat|code|search)\b", "service", key), place


def outcomes(
    monkeypatch: pytest.MonkeyPatch, name: str, reads: Iterable[Read], values_for: Callable[[bool], Sequence[Any]]
) -> Iterator[tuple[str, Outcome]]:
    """What policies make of a safe stack with other values in the place of those that they read."""
    whole = stack(name)
    # Policies only read, so unchanged resources are made ready for them once.
    ready = {key: Shown.of(resource) for key, resource in whole.items()}
    known = {id(shown.whole): shown.resource for shown in ready.values()}
    fresh = policy_module.resource_of

    def resource_of(view: ResourceValidationArgs | PolicyResource) -> Resource:
        return known.get(id(view)) or fresh(view)

    monkeypatch.setattr(policy_module, "resource_of", resource_of)
    policies = {policy.name: policy for policy in POLICIES}
    # Many policies read the same value, so each change of it is made ready once as well.
    in_order = sorted(reads, key=lambda read: (read[1], repr(read[2]), read[0]))
    for (key, place), readers in groupby(in_order, key=lambda read: read[1:]):
        made: dict[str, Shown] = {}
        for policy_name, *_ in readers:
            policy = policies[policy_name]
            is_of_services = isinstance(policy, StackValidationPolicy)
            for value in values_for(is_of_services):
                if repr(value) not in made:
                    changed = replace(whole[key], props=put(whole[key].props, place, value))
                    made[repr(value)] = Shown.of(changed)
                others = ready if is_of_services else {}
                found = checked(policy, list({**others, key: made[repr(value)]}.values()))
                yield f"{policy_name} with {value!r} at {key}: {'.'.join(map(str, place))}", found


def checked(policy: Policy, shown: Sequence[Shown]) -> Outcome:
    try:
        return judge_shown(shown, policies=(policy,))
    except Exception as error:
        return error


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_read_and_not_known_is_neither_a_violation_nor_fine(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    values = [read for read in chosen_reads()[name] if all_reads()[name][read]]
    found = outcomes(monkeypatch, name, values, lambda _: [UNKNOWN])
    assert {where: result for where, result in found if not is_not_evaluated(result)} == {}


@pytest.mark.parametrize("name", CONFIGS)
def test_no_policy_fails_whatever_is_missing_or_nonsense(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    turns = cycle(NONSENSE)

    def values(is_of_services: bool) -> Sequence[Any]:
        # A whole stack is slow to check, so each value gets only one kind of nonsense there.
        return [GONE, next(turns)] if is_of_services else [GONE, *NONSENSE]

    found = outcomes(monkeypatch, name, chosen_reads()[name], values)
    assert {where: repr(result) for where, result in found if isinstance(result, Exception)} == {}


def test_every_policy_reads_something_that_is_tried() -> None:
    assert {read[0] for reads in chosen_reads().values() for read in reads} == {policy.name for policy in POLICIES}


def is_not_evaluated(result: Outcome) -> bool:
    return isinstance(result, list) and len(result) > 0 and all(one.message is None for one in result)


def leaves(value: Any, place: Field = ()) -> Iterator[Field]:
    """Every place in a value that an engine may not know, and the value as a whole."""
    yield place
    if isinstance(value, Mapping):
        for key, item in cast(Mapping[str, Any], value).items():
            yield from leaves(item, (*place, key))
    elif isinstance(value, list):
        for position, item in enumerate(cast(list[Any], value)):
            yield from leaves(item, (*place, position))


def made_unknown(case: Unsafe) -> Iterator[tuple[str, Stack]]:
    """The case with each of its edited values unknown, and with all of them."""
    every: dict[str, Any] = dict(case.edits)
    any_known = False
    for key, changes in case.edits.items():
        if isinstance(changes, Gone):
            continue
        known = {path: new for path, new in changes.items() if not path.startswith("#") and new is not GONE}
        every[key] = {**changes, **dict.fromkeys(known, UNKNOWN)}
        any_known = any_known or bool(known)
        for path, new in known.items():
            for place in leaves(new):
                edits = {**case.edits, key: {**changes, path: put(new, place, UNKNOWN)}}
                yield f"{key} {path} {place or ''}", replace(case, edits=edits).stack()
    if any_known:
        yield "all edits", replace(case, edits=every).stack()


@pytest.mark.parametrize("case", UNSAFE, ids=lambda case: f"{case.policy}: {case.why}"[:90])
def test_an_unsafe_state_of_which_a_part_is_not_known_is_not_passed_in_silence(case: Unsafe) -> None:
    policy = next(one for one in POLICIES if one.name == case.policy)
    said = {where: judge(of, case.config, (policy,)) for where, of in made_unknown(case)}
    assert [where for where, result in said.items() if not result] == []
    # If nothing else is wrong, an unknown value is no violation.
    if is_one_value(case):
        assert all(map(is_not_evaluated, said.values())), said


def is_one_value(case: Unsafe) -> bool:
    """Whether nothing but one value is other than it is in a safe stack."""
    edits = [one for changes in case.edits.values() for one in ([] if isinstance(changes, Gone) else changes.items())]
    (path, new), *others = edits or [("#", None)]
    is_value = not path.startswith("#") and not isinstance(new, Gone | dict | list)
    return is_value and not others and not case.added and not any(isinstance(one, Gone) for one in case.edits.values())
