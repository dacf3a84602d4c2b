"""The provider process of the component package. Pulumi starts it with ``python <this folder> <engine address>``."""

import sys
from pathlib import Path

# Pulumi runs this folder, but this package and components/ are imported from the folder above.
sys.path[0] = str(Path(__file__).resolve().parent.parent)


def main() -> None:
    """Serve the components until Pulumi ends the process."""
    from pulumi.provider.experimental import component_provider_host

    from components.domain.naming import PROJECT
    from package.blue_green_service import BlueGreenService
    from package.version import VERSION

    component_provider_host(components=[BlueGreenService], name=PROJECT, version=VERSION)


if __name__ == "__main__":
    main()
