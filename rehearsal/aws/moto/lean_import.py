"""Lets moto be imported with what one region needs, in half the CPU time. Most tests of the rehearsal start it."""

import functools
import gc
from typing import Any


def prepare(region: str) -> None:
    """Call once in a process, before anything imports one of moto's services."""
    # Almost all that is imported stays, so there is nothing to collect until the server runs.
    gc.disable()
    _read_descriptions_once()
    _leave_out_offerings(region)


def _read_descriptions_once() -> None:
    """Keep AWS's descriptions of its APIs: every session of botocore, and moto has many, would read them again."""
    from botocore.loaders import JSONFileLoader

    read = functools.cache(JSONFileLoader().load_file)

    def load_file(self: JSONFileLoader, file_path: str) -> Any:  # noqa: ARG001
        return read(file_path)

    JSONFileLoader.load_file = load_file


def _leave_out_offerings(region: str) -> None:
    """Leave out which instance types the other regions offer, 90 files."""
    from moto.utilities import utils

    load = utils.load_resource

    def load_resource(resource: str) -> Any:
        other = "/instance_type_offerings/" in resource and not resource.rpartition("/")[2].startswith(f"{region}.")
        return [] if other else load(resource)

    utils.load_resource = load_resource
