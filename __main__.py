"""The program: every model service of the stack, blue and green, behind its weighted listener rule."""

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env

from components.blue_green_service import BlueGreenService, BlueGreenServiceArgs
from components.settings import Settings, SettingsError


def main() -> None:
    """Declare the services that the stack config describes and export how to reach them."""
    try:
        settings = Settings.from_config({**get_config_env(), **CONFIG.get()})
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    candidate_route_secret = pulumi.Config().require_secret("candidate_route_secret")
    for name, service in settings.services.items():
        component = BlueGreenService(
            name,
            BlueGreenServiceArgs(stack=settings, service=service, candidate_route_secret=candidate_route_secret),
        )
        pulumi.export(name, component.outputs)


main()
