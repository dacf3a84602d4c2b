"""The Pulumi program: every model service of the stack, with blue and green behind a weighted listener rule."""

import gc
import sys
from collections.abc import Iterator

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env, get_config_secret_keys_env, is_config_secret

if sys.version_info < (3, 11):  # noqa: UP036 - the user's Python may be older
    raise pulumi.RunError(
        f"Python {sys.version.split()[0]} at {sys.executable} is too old: this program needs 3.11 or newer. "
        "Run `make setup` and activate its environment: . .venv/bin/activate"
    )

from components.config.reading import route_secret
from components.config.reading.violations import Violation
from components.config.settings import PREFIX, Settings, SettingsError
from components.domain.naming import PROJECT
from components.resources.blue_green_service import BlueGreenService, BlueGreenServiceArgs


def main() -> None:
    """Declare the services of the stack config, and export their outputs."""
    # The SDKs' classes and all resources live until this short process ends. Frequent garbage collection would nearly
    # double the CPU time (with 20 services, 10 s instead of 6 s).
    gc.set_threshold(50_000, 20, 100)
    if (name := pulumi.get_project()) != PROJECT:
        # `pulumi config set` would write keys that neither this program nor the scripts read.
        raise pulumi.RunError(
            f"the project is named {name}, but its config keys begin with {PROJECT}: Set name: {PROJECT} in "
            "Pulumi.yaml; the stacks' names distinguish your deployments"
        )
    config = {**get_config_env(), **CONFIG.get()}
    try:
        settings = Settings.from_config(config, _secret_violations(config.get(PREFIX + route_secret.KEY, "")))
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    candidate_route_secret = pulumi.Config().require_secret(route_secret.KEY)
    for name, service in settings.services.items():
        component = BlueGreenService(
            name,
            BlueGreenServiceArgs(stack=settings, service=service, candidate_route_secret=candidate_route_secret),
        )
        pulumi.export(name, component.outputs)


def _secret_violations(secret: str) -> Iterator[Violation]:
    key = PREFIX + route_secret.KEY
    encrypted = is_config_secret(key) or key in get_config_secret_keys_env()
    if secret and not encrypted:
        yield route_secret.in_plain_text()
    elif (violation := route_secret.value_violation(secret)) is not None:
        yield violation


main()
