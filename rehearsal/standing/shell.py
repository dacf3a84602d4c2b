"""The environment of a shell that works in a world."""

import os
import shlex

from rehearsal.standing.worlds import Record
from rehearsal.warm.launch import SOCKET_VARIABLE
from rehearsal.world.executables import path_with, real_path
from rehearsal.world.settings import CHECKOUT_VARIABLE, ENDPOINT_VARIABLE, OUT_VARIABLE, WORLD_VARIABLE, out_folder

_FOREIGN = ("AWS_", "PULUMI_", "KUBECONFIG", "PROMETHEUS_URL", WORLD_VARIABLE, CHECKOUT_VARIABLE, ENDPOINT_VARIABLE)
_EXPORTED = ("AWS_", "PULUMI_", "KUBECONFIG", "PROMETHEUS_URL", SOCKET_VARIABLE)


def exports(record: Record) -> str:
    """Return shell lines that let a shell work in the world. They may be evaluated repeatedly."""
    variables = {name: value for name, value in record.environment.items() if name.startswith(_EXPORTED)}
    variables |= {
        "PATH": path_with(record.folder / "bin"),
        # Some clients read one of the two, some the other.
        "NO_PROXY": "*",
        "no_proxy": "*",
        WORLD_VARIABLE: record.name,
        CHECKOUT_VARIABLE: str(record.folder / "checkout"),
        ENDPOINT_VARIABLE: record.endpoint_url,
    }
    if OUT_VARIABLE in os.environ:
        variables[OUT_VARIABLE] = str(out_folder())
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))


def outer_environment() -> dict[str, str]:
    """Return our environment without variables of a world or of a real account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return kept | {"PATH": os.pathsep.join(real_path())}
