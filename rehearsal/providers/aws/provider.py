"""The AWS provider: one generic life cycle for all resource types in a table."""

import difflib
import random
from collections.abc import Generator
from contextlib import contextmanager

from rehearsal.providers.aws import (
    checking,
    client,
    cloudwatch,
    comparison,
    ec2,
    eks,
    iam,
    launch_template,
    listener,
    load_balancer,
    target_group,
)
from rehearsal.providers.aws.resource import Call, Naming, ResourceType, outputs, preview_outputs
from rehearsal.providers.aws.schema import DEFAULTS_KEY
from rehearsal.providers.aws.tags import retag
from rehearsal.providers.difference import Change, Diff, Path, changed
from rehearsal.providers.provider import Checked, Failure, NotReadyError, Provider, ProviderError, Resource
from rehearsal.providers.values import UNKNOWN, Tree

RESOURCE_TYPES = {
    kind.token: kind
    for kind in (
        *load_balancer.TYPES,
        *target_group.TYPES,
        *listener.TYPES,
        *eks.TYPES,
        *launch_template.TYPES,
        *ec2.TYPES,
        *iam.TYPES,
        *cloudwatch.TYPES,
    )
}

_RANDOM_DIGITS = 7
_MOST_TAGS = 50


@contextmanager
def _aws_errors(resource: Resource) -> Generator[None]:
    """Raise AWS errors as ProviderError with one line: resource type and name, operation, code, message."""
    try:
        yield
    except ProviderError:
        raise
    except Exception as error:
        response = getattr(error, "response", None)
        if not isinstance(response, dict) and not type(error).__module__.startswith(("botocore", "boto3")):
            raise
        message = " ".join(str(error).split())
        raise ProviderError(f"{resource.type} {resource.name}: {message}") from error


class AwsProvider(Provider):
    """The AWS provider."""

    version = "7.51.1"

    def __init__(self) -> None:
        super().__init__()
        self._aws = client.Aws()

    def check_config(self, config: Tree) -> Checked:
        return Checked(config, client.check_config(config))

    def configure(self, config: Tree) -> None:
        self._aws = client.Aws(client.decoded(config))

    def check(self, resource: Resource, old: Tree, new: Tree, seed: bytes) -> Checked:
        kind = _kind(resource)
        inputs, failures = checking.check(kind.properties, new)
        if kind.naming is not None:
            failures += _name(kind.naming, resource, old, inputs, seed)
        if kind.tag_service is not None and self._aws.default_tags and inputs.get("tags") is not UNKNOWN:
            inputs["tags"] = {**self._aws.default_tags, **inputs.get("tags", {})}
        tags = inputs.get("tags")
        if isinstance(tags, dict) and len(tags) > _MOST_TAGS:
            failures.append(Failure("tags", f"has {len(tags)} tags; AWS allows {_MOST_TAGS}"))
        return Checked(inputs, failures)

    def diff(self, resource: Resource, old_inputs: Tree, old_state: Tree, new: Tree) -> Diff:
        kind = _kind(resource)
        return Diff(tuple(_changes(kind, old_inputs, old_state, new)))

    def create(
        self, resource: Resource, inputs: Tree, *, preview: bool, timeout_seconds: float | None
    ) -> tuple[str, Tree]:
        kind = _kind(resource)
        if preview:
            return "", preview_outputs(kind, inputs, "")
        with _aws_errors(resource):
            resource_id = kind.create(Call(self._aws, "", inputs, timeout_seconds=timeout_seconds))
        call = Call(self._aws, resource_id, inputs, timeout_seconds=timeout_seconds)
        return resource_id, self._settled(kind, resource, call)

    def read(self, resource: Resource, state: Tree, inputs: Tree) -> tuple[Tree, Tree] | None:
        kind = _kind(resource)
        with _aws_errors(resource):
            live = kind.read(Call(self._aws, resource.id, {**state, **inputs}))
        if live is None:
            return None
        found = outputs(inputs, live, resource.id, self._aws.default_tags)
        return found, comparison.refreshed(kind.properties, inputs, found)

    def update(
        self,
        resource: Resource,
        old_inputs: Tree,
        old_state: Tree,
        new: Tree,
        *,
        preview: bool,
        timeout_seconds: float | None,
    ) -> Tree:
        kind = _kind(resource)
        changes = _changes(kind, old_inputs, old_state, new)
        # An update without a difference repeats one that failed half-way, so set everything again.
        changed_names = frozenset(str(change.path[0]) for change in changes) or frozenset(new)
        if preview:
            unknown = dict.fromkeys(kind.changing(changed_names, new), UNKNOWN)
            tags = {"tagsAll": new.get("tags", {})} if kind.tag_service else {}
            return {**old_state, **outputs(new, {}, resource.id, {}), **tags, **unknown}
        call = Call(self._aws, resource.id, new, old_inputs, changed_names, timeout_seconds)
        with _aws_errors(resource):
            if kind.tag_service is not None and "tags" in changed_names:
                target = old_state[kind.tag_target]
                retag(self._aws, kind.tag_service, target, old_state.get("tagsAll", {}), new.get("tags", {}))
            if kind.update is not None and changed_names - {"tags", "tagsAll"}:
                kind.update(call)
            return self._state(kind, call)

    def delete(self, resource: Resource, state: Tree, *, timeout_seconds: float | None) -> None:
        kind = _kind(resource)
        with _aws_errors(resource):
            kind.delete(Call(self._aws, resource.id, state, timeout_seconds=timeout_seconds))

    def _settled(self, kind: ResourceType, resource: Resource, call: Call) -> Tree:
        try:
            with _aws_errors(resource):
                if kind.settle is not None:
                    kind.settle(call)
                return self._state(kind, call)
        except Exception as error:
            # Catch every error: the resource exists, and forgetting it would orphan it.
            state = preview_outputs(kind, call.inputs, call.id)
            partial = {name: value for name, value in state.items() if value is not UNKNOWN}
            raise NotReadyError(call.id, partial, [str(error)]) from error

    def _state(self, kind: ResourceType, call: Call) -> Tree:
        live = kind.read(call)
        if live is None:
            raise ProviderError(f"{kind.token} {call.id} is gone")
        return outputs(call.inputs, live, call.id, self._aws.default_tags)


def _kind(resource: Resource) -> ResourceType:
    kind = RESOURCE_TYPES.get(resource.type)
    if kind is None:
        nearest = difflib.get_close_matches(resource.type, RESOURCE_TYPES, n=1)
        hint = f"; the nearest is {nearest[0]}" if nearest else ""
        raise ProviderError(f"the rehearsal's AWS provider has no type {resource.type}{hint}")
    return kind


def _name(naming: Naming, resource: Resource, old: Tree, inputs: Tree, seed: bytes) -> list[Failure]:
    """Choose a physical name when the program gives none. Keep an earlier choice."""
    prefix = inputs.get(naming.prefix_property) if naming.prefix_property else None
    if naming.property in inputs:
        return [Failure(naming.property, f"conflicts with {naming.prefix_property}")] if prefix else []
    if prefix is UNKNOWN:
        return []
    kept = old.get(naming.property)
    if kept is not None and old.get(naming.prefix_property or "") == prefix:
        inputs[naming.property] = kept
    else:
        digits = "".join(random.Random(seed or None).choices("0123456789abcdef", k=_RANDOM_DIGITS))
        name = f"{resource.name}-{digits}" if prefix is None else f"{prefix}{digits}"
        if len(name) > naming.longest:
            reason = f"{resource.name!r} is too long for a name: with {_RANDOM_DIGITS} random digits it has "
            return [Failure(naming.property, f"{reason}{len(name)} characters; at most {naming.longest} are allowed")]
        inputs[naming.property] = name
    inputs[DEFAULTS_KEY] = sorted({*inputs[DEFAULTS_KEY], naming.property})
    return []


def _changes(kind: ResourceType, old_inputs: Tree, old_state: Tree, new: Tree) -> list[Change]:
    def replaces(path: Path) -> bool:
        return path[0] != "tagsAll" and comparison.replaces(kind.properties, path)

    old = comparison.keep_computed(kind.properties, old_inputs, new)
    if kind.tag_service is not None:
        old = {**old, "tagsAll": old_state.get("tagsAll", {})}
        new = {**new, "tagsAll": new.get("tags", {})}
    return list(changed(old, new, replaces, lambda path, a, b: comparison.same(kind.properties, path, a, b)))
