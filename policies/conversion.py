"""Converts what an engine sends once a request, and not once a policy.

pulumi_policy 1.21 turns a resource's properties and options into what a policy reads anew for every policy. With dozens
of policies that is most of the pack's cost, and nothing supported turns it off. The results are equal every time, and
our policies only read them, so here the policies of one request share them. Nothing outlives its request, and requests
that run side by side share nothing. Policies on other types of resources are passed over before that.
"""

import sys
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any, Final, TypeVar

from pulumi_policy import EnforcementLevel, deserialize, policy, proxy

Result = TypeVar("Result")

_SERVICER: Final = "_PolicyAnalyzerServicer"
_REQUESTS: Final = ("Analyze", "AnalyzeStack")
"""What only reads. ``Remediate`` may change what it converted."""
_LEVEL: Final = "_get_enforcement_level"
_METHODS: Final = ("_get_resource_options", "_get_provider_resource")
_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "deserialize_properties": deserialize.deserialize_properties,
    "unknown_checking_proxy": proxy.unknown_checking_proxy,
}

_results: ContextVar[dict[Hashable, tuple[Any, Any]] | None] = ContextVar("results", default=None)
"""By key, what was given and what was made of it in the request that this thread answers; none outside of one."""
_type: ContextVar[str | None] = ContextVar("type", default=None)
"""The type of the resource that this thread is asked about; none where it is asked about a stack."""


def share(what: Hashable, make: Callable[..., Result], *given: Any) -> Result:
    """Make something once a request of what is given, and each time anew outside of one.

    What is given counts as the same only if it is the same object.
    """
    results = _results.get()
    if results is None:
        return make(*given)
    key = (what, *map(id, given))
    found = results.get(key)
    if found is None:
        # What was given is kept too: as long as it is there, nothing else has its id.
        found = results[key] = (given, make(*given))
    return found[1]


def convert_once(library: ModuleType = policy) -> bool:
    """Let the policies of a request share its conversions; False, and a warning, where the library is another one."""
    if unexpected := _unexpected(library):
        print(
            f"pulumi_policy is not as expected ({', '.join(unexpected)}): its policies judge as they do, but slower",
            file=sys.stderr,
        )
        return False
    parts = vars(library)
    servicer = parts[_SERVICER]
    methods = {name: _in_one_request(getattr(servicer, name)) for name in _REQUESTS}
    methods |= {name: _shared_method(getattr(servicer, name)) for name in _METHODS}
    methods[_LEVEL] = _disabling_other_types(getattr(servicer, _LEVEL))
    # Only the names that the servicer looks up are replaced; nobody else's conversions change.
    parts[_SERVICER] = type(_SERVICER, (servicer,), methods)
    parts["json_format"] = SimpleNamespace(MessageToDict=_shared(parts["json_format"].MessageToDict))
    parts.update({name: _shared(function) for name, function in _FUNCTIONS.items()})
    return True


def _unexpected(library: ModuleType) -> list[str]:
    parts = vars(library)
    servicer = parts.get(_SERVICER)
    found = [name for name, function in _FUNCTIONS.items() if parts.get(name) is not function]
    found += [] if callable(getattr(parts.get("json_format"), "MessageToDict", None)) else ["json_format"]
    return found + [name for name in (*_REQUESTS, *_METHODS, _LEVEL) if not callable(getattr(servicer, name, None))]


def _in_one_request(answer: Callable[..., Any]) -> Callable[..., Any]:
    def answer_converting_once(servicer: Any, request: Any, context: Any) -> Any:
        results, type_ = _results.set({}), _type.set(getattr(request, "type", None))
        try:
            return answer(servicer, request, context)
        finally:
            _results.reset(results)
            _type.reset(type_)

    return answer_converting_once


def _disabling_other_types(level_of: Callable[..., EnforcementLevel]) -> Callable[..., EnforcementLevel]:
    def level(servicer: Any, judge: Any) -> EnforcementLevel:
        types = getattr(judge, "types", None)
        if types and (asked := _type.get()) is not None and asked not in types:
            return EnforcementLevel.DISABLED
        return level_of(servicer, judge)

    return level


def _shared(convert: Callable[..., Any]) -> Callable[..., Any]:
    return partial(share, convert, convert)


def _shared_method(convert: Callable[..., Any]) -> Callable[..., Any]:
    def converted(servicer: Any, request: Any) -> Any:
        return share(convert, convert, servicer, request)

    return converted
