"""What is probably wrong with a colour's release, but may be meant: the program and the doctor say it."""

from collections.abc import Iterator

from components.config.release.engine_args import unknown_options_warning
from components.config.release.environment import unknown_variables_warning
from components.config.sections.pod_settings import access_warning, volumes_warning
from components.config.service_settings import ServiceSettings
from components.domain.capacity.model_memory import memory_warning
from components.domain.naming import Color


def release_warnings(service: ServiceSettings, color: Color) -> Iterator[str]:
    """Yield what may keep a colour's pods from starting, with the fix. Nothing without a release."""
    release = service.color(color).release
    if release is None:
        return
    found = (
        memory_warning(release, service.instance, service.gpus_per_replica),
        access_warning(release.model, service.pods.service_account_name),
        volumes_warning(release.paths, service.pods),
        unknown_options_warning(release.engine_args),
        unknown_variables_warning(release.env),
    )
    yield from filter(None, found)
    yield from service.load_warnings(color)
