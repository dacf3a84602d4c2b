"""Convert what an engine sends once per request instead of once per policy.

pulumi_policy 1.21 converts a resource's properties and options again for every policy. With dozens of policies, that
is most of the pack's cost, and no supported option turns it off. The results are always equal, and the policies here
only read them. So this module makes the policies of one request share the results. Nothing outlives its request, and
concurrent requests share nothing. It also skips policies for other resource types before any conversion.
"""

import sys
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any, Final, TypeVar

from pulumi_policy import EnforcementLevel, deserialize, policy, proxy

from policies.resources import type_of

Result = TypeVar("Result")

_SERVICER: Final = "_PolicyAnalyzerServicer"
_REQUESTS: Final = ("Analyze", "AnalyzeStack")
"""Requests that only read. ``Remediate`` may change what it converted."""
_LEVEL: Final = "_get_enforcement_level"
_METHODS: Final = ("_get_resource_options", "_get_provider_resource")
_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "deserialize_properties": deserialize.deserialize_properties,
    "unknown_checking_proxy": proxy.unknown_checking_proxy,
}

_results: ContextVar[dict[Hashable, tuple[Any, Any]] | None] = ContextVar("results", default=None)
"""Inputs and results by key, for the request that this thread answers; None outside a request."""
_type: ContextVar[str | None] = ContextVar("type", default=None)
"""The resource type in the request that this thread answers; None when the request is about a stack."""


def share(what: Hashable, make: Callable[..., Result], *given: Any) -> Result:
    """Return ``make(*given)``, made only once per request; outside a request, made on every call.

    Inputs are the same only if they are the same objects.
    """
    results = _results.get()
    if results is None:
        return make(*given)
    key = (what, *map(id, given))
    found = results.get(key)
    if found is None:
        # Keep the inputs too: while they exist, no other object can have their ids.
        found = results[key] = (given, make(*given))
    return found[1]


def convert_once(library: ModuleType = policy) -> bool:
    """Make the policies of a request share its conversions.

    If the library is not as expected, print a warning, change nothing and return False.
    """
    if unexpected := _unexpected(library):
        print(
            f"pulumi_policy is not as expected ({', '.join(unexpected)}): policies give the same results, but slower",
            file=sys.stderr,
        )
        return False
    parts = vars(library)
    servicer = parts[_SERVICER]
    methods = {name: _in_one_request(getattr(servicer, name)) for name in _REQUESTS}
    methods |= {name: _shared_method(getattr(servicer, name)) for name in _METHODS}
    methods[_LEVEL] = _disabling_other_types(getattr(servicer, _LEVEL))
    # This replaces only the names that the servicer looks up; all other callers keep the library's conversions.
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
        asked = getattr(request, "type", None)
        results, type_ = _results.set({}), _type.set(asked and type_of(asked))
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
