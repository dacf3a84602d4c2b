"""What another program gives to a service's component by itself: Pulumi's state has it, and the config does not."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from pydantic import JsonValue

from components.domain.naming import SERVICE_TYPE
from rollout.model.errors import RefusedError
from rollout.system.failures import pulumi_words

OUTPUT: Final = "declaredSettings"
"""The component's output."""
# Marks a secret in a state: https://www.pulumi.com/docs/iac/concepts/secrets/
_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"


def read_declared(work_dir: Path, stack: str, service: str) -> Mapping[str, JsonValue]:
    """Read the settings that the program gave at the last update. It takes a second: Pulumi starts.

    Raises:
        RefusedError: the state cannot be read, or has no such service.
    """
    # Slow imports: this repository's own program needs none of it.
    from pulumi.automation import errors

    from rollout.adapters.pulumi.process import InterruptiblePulumi

    where = f"stack {stack} in {work_dir}"
    try:
        output = InterruptiblePulumi(stack).run(["stack", "export", "--stack", stack], str(work_dir), {}).stdout
    except FileNotFoundError as error:
        raise RefusedError("there is no `pulumi` on PATH; install the Pulumi CLI") from error
    except errors.InvalidVersionError as error:
        raise RefusedError(f"the `pulumi` on PATH is too old: {pulumi_words(error)}. Update it") from error
    except errors.CommandError as error:
        raise RefusedError(f"{where}: its state cannot be read: {pulumi_words(error)}") from error
    try:
        resources = cast(dict[str, Any], json.loads(output))["deployment"].get("resources") or []
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RefusedError(f"{where}: its state cannot be read: Pulumi's answer is no deployment") from error
    found = declared_in(resources, service)
    if found is None:
        raise RefusedError(
            f"{where}: its state has no service {service} of the component package, in a version that works with the "
            f"scripts. Name the component {service}, pass it the config's object as `settings`, and run `pulumi up`"
        )
    if secret := sorted(key for key, value in found.items() if _is_secret(value)):
        raise RefusedError(
            f"{where}: {', '.join(secret)} of {service}: must not be a secret, since the scripts need it. Unwrap "
            "it in the program, or write it into the config's object"
        )
    return found


def declared_in(resources: Iterable[Mapping[str, Any]], service: str) -> Mapping[str, JsonValue] | None:
    """Return the declared settings of a service among the resources of a state. None when there is no such service."""
    for one in resources:
        named = one.get("type") == SERVICE_TYPE and str(one.get("urn")).endswith(f"::{service}")
        if named and not one.get("delete") and isinstance(declared := one.get("outputs", {}).get(OUTPUT), dict):
            return cast(Mapping[str, JsonValue], declared)
    return None


def _is_secret(value: JsonValue) -> bool:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (isinstance(value, dict) and _SIGNATURE in value) or any(_is_secret(one) for one in below)
