"""The changes of a preview or an update, and the check that they are exactly the intended ones."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from components.domain.naming import (
    ACTIVE_COLOR_KEY,
    ANNOUNCED_KEY,
    COHORT_KEY,
    COHORTS_KEY,
    COLOR_KEY,
    COLORS,
    EVIDENCE_KEY,
    KEEP_UNTIL_KEY,
    PROJECT,
    ROLE_KEY,
    ROLLING_OUT_KEY,
    ROLLOUT_SERIAL_KEY,
    SERVICE_KEY,
    Color,
    color_name,
    color_state_key,
    other_color,
)

RULE_TYPE = "aws:lb/listenerRule:ListenerRule"
OUR_TAGS = frozenset(
    {
        *(ACTIVE_COLOR_KEY, ANNOUNCED_KEY, COHORTS_KEY, EVIDENCE_KEY, KEEP_UNTIL_KEY),
        *(ROLLING_OUT_KEY, ROLLOUT_SERIAL_KEY),
        *(color_state_key(color) for color in COLORS),
    }
)

_WEIGHT = re.compile(r"actions\[\d+\]\.forward\.targetGroups\[\d+\]\.weight")
_TAG = re.compile(r"""tags(?:All)?(?:\.|\[['"])(?P<key>[^'"\]]+)(?:['"]\])?""")

Json = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One resource that a preview would change, or that an update has changed."""

    op: str
    urn: str
    type: str
    old: Json = field(default_factory=dict[str, object])
    new: Json = field(default_factory=dict[str, object])
    paths: tuple[str, ...] = ()
    """Property paths that the provider says would change."""

    @property
    def name(self) -> str:
        """The resource's name in the program."""
        return self.urn.rsplit("::", 1)[-1]

    @property
    def inputs(self) -> Json:
        """The inputs that identify the resource: the new ones, or the old ones for a deletion."""
        return self.new or self.old

    def changed_paths(self) -> tuple[str, ...]:
        """Return every property path that differs, by our comparison of the inputs or according to the provider."""
        return tuple(dict.fromkeys((*self.input_paths(), *self.paths)))

    def input_paths(self) -> tuple[str, ...]:
        """Return every property path that differs by our comparison of the inputs."""
        return tuple(_differences(self.old, self.new, ""))

    def __str__(self) -> str:
        paths = ", ".join(self.changed_paths()) if self.op == "update" else ""
        return f"{self.op} {self.type.split(':')[-1]} {self.name}" + (f" ({paths})" if paths else "")


def is_weighted_rule(change: Change, service: str) -> bool:
    """Return whether this is the rule that splits a service's traffic."""
    tags = _mapping(change.inputs.get("tags"))
    return change.type == RULE_TYPE and tags.get(ROLE_KEY) == "weighted-rule" and tags.get(SERVICE_KEY) == service


def cohort_of_rule(change: Change, service: str) -> str | None:
    """Return the cohort whose rule this is. None for any other resource."""
    tags = _mapping(change.inputs.get("tags"))
    is_ours = change.type == RULE_TYPE and tags.get(ROLE_KEY) == "cohort-rule" and tags.get(SERVICE_KEY) == service
    return str(tags.get(COHORT_KEY)) if is_ours else None


def weights_after(rule: Change) -> dict[str, int]:
    """Return the weight of each target group after the change, by ARN."""
    weights: dict[str, int] = {}
    for action in _items(rule.new.get("actions")):
        for group in _items(_mapping(action.get("forward")).get("targetGroups")):
            weights[str(group.get("arn"))] = int(float(str(group.get("weight"))))
    return weights


def unlike_weight_change(
    changes: Iterable[Change],
    *,
    service: str,
    weights: Mapping[str, int],
    cohorts: Mapping[str, Mapping[str, int]] | None = None,
    moving: Collection[str] = (),
) -> tuple[str, ...]:
    """Return every change that is not the intended change of the weighted rule, and of the rules of cohorts.

    Args:
        changes: the changes of a preview or an update.
        service: the service whose rules may change.
        weights: the weight that each target group must have afterwards, by ARN.
        cohorts: the same for each cohort's rule that may change, by cohort. None when none may.
        moving: the cohorts whose rule must change.
    """
    found: list[str] = []
    rules = 0
    missing = set(moving)
    for change in _concrete(changes):
        cohort = cohort_of_rule(change, service)
        intended = weights if is_weighted_rule(change, service) else (cohorts or {}).get(cohort or "")
        if intended is None or change.op != "update":
            found.append(str(change))
            continue
        rules += cohort is None
        missing.discard(cohort or "")
        found += [f"{change.name}: {path}" for path in _foreign_paths(change, weights=True)]
        planned = weights_after(change)
        if planned != dict(intended):
            found.append(f"{change.name}: weights {planned}, intended {dict(intended)}")
    if not rules and not found:
        found.append("no change of the weighted rule")
    elif missing:
        found.append(f"no change of the rule of {', '.join(sorted(missing))}")
    return tuple(found)


def unlike_candidate_change(changes: Iterable[Change], *, service: str, color: Color) -> tuple[str, ...]:
    """Return every change that concerns neither the idle colour nor a tag of the weighted rule."""
    found: list[str] = []
    for change in _concrete(changes):
        if is_weighted_rule(change, service) and change.op == "update":
            found += [f"{change.name}: {path}" for path in _foreign_paths(change, weights=False)]
        elif _color_of(change, service) != color:
            found.append(str(change))
    return tuple(found)


def _concrete(changes: Iterable[Change]) -> Iterator[Change]:
    """Leave out components: their resources are listed separately."""
    return (change for change in changes if not change.type.startswith((f"{PROJECT}:", "pulumi:pulumi:Stack")))


def _foreign_paths(rule: Change, *, weights: bool) -> Iterator[str]:
    """Yield the changed paths of the rule that an update by a script must not change."""
    # A provider may name only the list or map that differs; our own comparison then finds the exact path.
    coarse = {"tags", "tagsAll"} | ({"actions"} if weights else set())
    ours = rule.input_paths()
    yield from (path for path in ours if not _is_ours(path, weights=weights))
    yield from (
        path for path in rule.paths if path not in ours and path not in coarse and not _is_ours(path, weights=weights)
    )


def _is_ours(path: str, *, weights: bool) -> bool:
    if weights and _WEIGHT.fullmatch(path):
        return True
    tag = _TAG.fullmatch(path)
    return tag is not None and tag["key"] in OUR_TAGS


def _color_of(change: Change, service: str) -> Color | None:
    """Return the colour that a resource belongs to, by our tags or labels, or else by its name."""
    metadata = _mapping(change.inputs.get("metadata"))
    for keys in (_mapping(change.inputs.get("tags")), _mapping(metadata.get("labels"))):
        if keys.get(SERVICE_KEY) == service and keys.get(COLOR_KEY) in ("blue", "green"):
            return cast(Color, keys[COLOR_KEY])
    for color in ("blue", "green"):
        named, other = color_name(service, color), color_name(service, other_color(color))
        if re.search(rf"\b{re.escape(named)}\b", change.name) and other not in change.name:
            return color
    return None


def _differences(old: object, new: object, path: str) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        old_map, new_map = _mapping(old), _mapping(new)
        for key in dict.fromkeys((*old_map, *new_map)):
            if key != "__defaults":
                step = f".{key}" if key.isidentifier() else f'["{key}"]'
                yield from _differences(old_map.get(key), new_map.get(key), (path + step).removeprefix("."))
    elif isinstance(old, list) and isinstance(new, list) and len(_list(old)) == len(_list(new)):
        for index, (one, other) in enumerate(zip(_list(old), _list(new), strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif old != new:
        yield path


def _mapping(value: object) -> Mapping[str, object]:
    return cast(Mapping[str, object], value) if isinstance(value, Mapping) else {}


def _list(value: object) -> list[object]:
    return cast(list[object], value) if isinstance(value, list) else []


def _items(value: object) -> Iterator[Mapping[str, object]]:
    return (_mapping(item) for item in _list(value))


@dataclass(frozen=True, kw_only=True)
class EngineRun:
    """The engine's report: what a preview would change, or what an update has changed."""

    changes: tuple[Change, ...]
    not_evaluated: tuple[str, ...] = ()
    """Policies that could not be evaluated because some values are unknown before the update."""
