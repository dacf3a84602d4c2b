"""An oracle for stack configs: the fields that an error must name, for any config at all.

docs/config.md has the ranges of the settings, test_forms.py the formats of texts, and tables in the other tests what
holds within one object. So the oracle asks the models about each object alone, and describes by hand what the whole
adds: how texts are read, secrets, unknown and missing keys, and the relations between settings of a service or a stack.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from components.config.reading.forms import SERVICE_NAME
from components.config.reading.violations import Path, dotted
from components.config.release.sampling import Sampling
from components.config.sections.node_settings import NodeSettings
from components.config.service_settings import ServiceSettings
from components.config.settings import Settings
from components.domain.naming import COLORS

Json = Any

SECRET_TEXTS = ("hf_abcdefghijklmnopqrstuvwx", "AKIAABCDEFGHIJKLMNOP", "https://user:hunter2@prometheus.internal")
KEYS = ["service_name", *(name for name in Settings.model_fields if name != "services"), *ServiceSettings.model_fields]
FREE_NAME = "a name"
TEXT_KEYS = frozenset(
    {"cluster_name", "cluster_security_group_id", "vpc_id", "certificate_arn", "service_name", "keep_until"}
    | {"node_permissions_boundary_arn", "announced", "namespace", "served_model_name", "instance_type", "endpoint_url"}
    | {"evidence"}
)
# GPUs, CPU in thousandths and memory in MiB for a replica, without EKS's reserves and 300 / 512 for daemonsets; disks.
NODES = {"g6e.2xlarge": (1, 7610, 59_115, 419), "g6e.12xlarge": (4, 47_510, 359_645, 3539)}


def pulumi_text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def as_read(values: dict[str, Json]) -> dict[str, Json]:
    """The values as every reader of Pulumi's texts must read them."""
    read: dict[str, Json] = {}
    for key, value in values.items():
        written = pulumi_text(value)
        if written == "" and key in KEYS:
            continue
        read[key] = written
        if key not in TEXT_KEYS and written == written.strip():
            with suppress(ValueError, RecursionError):
                read[key] = json.loads(written)
    texts = {key: value for key, value in read.items() if isinstance(value, str)}
    return {**_from_texts(Settings, _from_texts(ServiceSettings, read)), **texts}


def _from_texts(model: type[BaseModel], values: Json) -> Json:
    """Read a number, true or false that is a text, where the model takes it only without the quotes."""
    if not isinstance(values, dict):
        return values
    read = dict(values)
    for name in values.keys() & model.model_fields.keys() - {"services"}:
        field, given = model.model_fields[name].annotation, values[name]
        if inner := _model(name, field):
            read[name] = _from_texts(inner, given)
        # To ask the model is slow, so only about a value that could be read in two ways.
        elif (scalar := _scalar(_model(name, _item(field)), given)) != given and not _accepts(model, name, given):
            read[name] = scalar if _accepts(model, name, scalar) else given
    return read


def _scalar(item: type[BaseModel] | None, value: Json) -> Json:
    if isinstance(value, list):
        return [_from_texts(item, one) if item else _scalar(None, one) for one in value]
    number = r"true|false|-?(0|[1-9][0-9]{0,99})(\.[0-9]+)?([eE][-+]?[0-9]+)?"
    return json.loads(value) if isinstance(value, str) and re.fullmatch(number, value) else value


@cache
def _model(name: str, annotation: Any) -> type[BaseModel] | None:
    """The model of an object, if its names are fixed."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    found = next((one for one in options if isinstance(one, type) and issubclass(one, BaseModel)), None)
    return Sampling if name == "sampling" else found


def _item(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is tuple else None


def _paths(model: type[BaseModel], above: Path = ()) -> Iterator[Path]:
    """The paths of all settings, and of the first item of each list and of each object with free names."""
    for name, field in model.model_fields.items():
        inner, path = (ServiceSettings, above) if name == "services" else (field.annotation, (*above, name))
        yield path
        if get_origin(inner) in (tuple, dict) and name != "sampling":
            inner, path = _item(inner), (*path, 0 if get_origin(inner) is tuple else FREE_NAME)
            yield path
        if below := _model(name, inner):
            yield from _paths(below, path)


PATHS = [("service_name",), *filter(None, _paths(Settings))]
_CONTAINERS = [dotted(path[:-1]) for path in PATHS if path[-1] in (0, FREE_NAME)]


def setting(path: str) -> str:
    """The setting that a path is in; a list is one setting, and so is an object with free names."""
    return next((one for one in _CONTAINERS if path.startswith((f"{one}.", f"{one}["))), path)


def violating_settings(values: dict[str, Json]) -> set[str]:
    """Exactly the settings of a flat config that an error must name."""
    read = as_read(values)
    unknown = {(key,) for key in read if key not in KEYS}
    known = {key: value for key, value in read.items() if key in KEYS}
    texts, name = set(_bad_texts(known, ())), known.pop("service_name", "llm")
    of_service = {key: known.pop(key) for key in ServiceSettings.model_fields if key in known}
    stack, service = set(_violations(Settings, known)), set(_violations(ServiceSettings, of_service))
    if not isinstance(name, str) or SERVICE_NAME.check(name) is not None:
        stack.add(("service_name",))
    service |= set() if service else set(_service_relations(of_service))
    stack |= set() if stack | service else set(_stack_relations(read))
    return {setting(dotted(path)) for path in unknown | texts | stack | service}


def _violations(model: type[BaseModel], values: Json, path: Path = ()) -> Iterator[Path]:
    """What is wrong with each object alone."""
    if not isinstance(values, dict):
        yield path
        return
    objects = set[str]()
    for name, field in model.model_fields.items():
        inner, value = _model(name, field.annotation), values.get(name)
        if name not in values:
            yield from [(*path, name)] if field.is_required() and name != "services" else []
        elif inner is not None and (value is not None or field.default is not None):
            objects.add(name)
            yield from _violations(inner, value, (*path, name))
    yield from ((*path, name) for name in values.keys() - model.model_fields.keys())
    for error in _errors(model, values):
        if error["loc"][:1] and error["loc"][0] in values.keys() - objects:
            yield (*path, str(error["loc"][0]))
        elif error["type"] == "violations" and error["loc"] == () and model is not ServiceSettings:
            yield from ((*path, *one.path) for one in error["ctx"]["violations"])


_ERRORS: dict[tuple[type[BaseModel], str], list[Any]] = {}
_MOST_ERRORS = 2000


def _errors(model: type[BaseModel], values: Json) -> list[Any]:
    """What a model has against values. Most objects of a changed config are those of the unchanged one."""
    asked = model, repr(values)
    if (known := _ERRORS.get(asked)) is not None:
        return known
    if len(_ERRORS) == _MOST_ERRORS:
        _ERRORS.clear()
    found: list[Any] = []
    try:
        model.model_validate(values)
    except ValidationError as error:
        found = list(error.errors())
    _ERRORS[asked] = found
    return found


def _accepts(model: type[BaseModel], name: str, value: Json) -> bool:
    """Whether the model has nothing against a value of one field."""
    return all(one["loc"][:1] != (name,) for one in _errors(model, {name: value}))


def _serves(colored: dict[str, Json]) -> bool:
    return colored.get("release") is not None and not colored.get("parked", False)


def _service_relations(read: dict[str, Json]) -> Iterator[Path]:
    mode = read.get("headroom_mode", "on_rollout")
    reserved = {color: one for color in COLORS if (one := read.get(color, {}).get("reservation")) is not None}
    shared = read.get("node_groups") == "shared"
    if read.get("existing_nodes") is not None:
        yield from _existing_node_relations(read, mode)
        yield from _other_relations(read, mode)
        return
    if (shared and mode not in ("always", "surge")) or (mode == "surge" and not shared):
        yield ("node_groups",)
    if shared:
        if read.get("blue", {}).get("node_release_version") != read.get("green", {}).get("node_release_version"):
            yield ("green", "node_release_version")
        if read.get("blue", {}).get("node_subnet_ids") != read.get("green", {}).get("node_subnet_ids"):
            yield ("green", "node_subnet_ids")
    if mode == "reserved" and not reserved:
        yield ("headroom_mode",)
    for color, reservation in reserved.items():
        if mode != "reserved":
            yield (color, "reservation")
        elif reservation["kind"] == "capacity_block":
            yield (color, "reservation", "kind")  # No P type is among NODES.
    yield from _other_relations(read, mode)


def _existing_node_relations(read: dict[str, Json], mode: Json) -> Iterator[Path]:
    """What node groups of the program's own would follow, set to something else than its default."""
    if mode in ("always", "reserved"):
        yield ("headroom_mode",)
    if read.get("node_groups", "per_color") != "per_color":
        yield ("node_groups",)
    if read.get("spare_nodes", 0):
        yield ("spare_nodes",)
    if NodeSettings.model_validate(read.get("nodes", {})) != NodeSettings():
        yield ("nodes",)
    for color in COLORS:
        colored = read.get(color, {})
        yield from (
            (color, key)
            for key in ("provisioned", "reservation", "node_release_version", "node_subnet_ids")
            if colored.get(key) not in (None, [])
        )


def _other_relations(read: dict[str, Json], mode: Json) -> Iterator[Path]:
    yield from _surge_relations(read, mode)
    yield from _cohort_relations(read)
    if read.get("fallback_instance_types"):
        yield ("fallback_instance_types",)  # no two of NODES have the same GPUs
    yield from _autoscaling_relations(read, mode)
    gpus = read.get("gpus_per_replica", 1)
    # An API server, with several GPUs the engine, and a worker for each GPU; with /dev/shm at most.
    least = 1024 + (1024 if gpus > 1 else 0) + 3072 * gpus
    most = least + 1024 * read.get("shared_memory_gib", 8)
    memory = read.get("replica_memory_mib") or most
    wishes = {"gpus_per_replica": gpus, "replica_millicpus": read.get("replica_millicpus", 3000)}
    *limits, disks_gib = NODES[read["instance_type"]]
    large = [field for (field, wish), limit in zip(wishes.items(), limits, strict=False) if wish > limit]
    yield from ((field,) for field in large)
    if memory > limits[-1]:
        derived = ("blue", "release") if read.get("blue", {}).get("release") else ("shared_memory_gib",)
        large.append("replica_memory_mib")
        if read.get("replica_memory_mib") is not None:
            yield ("replica_memory_mib",)
        elif gpus <= limits[0]:
            yield derived
    nodes = read.get("nodes", {})
    if nodes.get("instance_store") and not large and (read.get("node_volume_gib") or 0) > disks_gib:
        yield ("nodes", "instance_store")
    for color in COLORS if nodes.get("ami_type", "").startswith("BOTTLEROCKET") else ():
        if read.get(color, {}).get("node_release_version") is not None:
            yield (color, "node_release_version")
    # What memory too many GPUs would need does not matter.
    if gpus <= limits[0] and any(read.get(color, {}).get("release") for color in COLORS):
        if memory < least:
            yield ("replica_memory_mib",)
        limit = read.get("pods", {}).get("memory_limit_mib")
        if limit is not None and limit < max(most, memory):
            yield ("pods", "memory_limit_mib")
    stream, propagation = read.get("max_stream_seconds", 120), read.get("deregistration_propagation_seconds", 30)
    if stream + propagation + 10 >= 900:
        yield ("max_stream_seconds",) if propagation + 11 < 900 else ("deregistration_propagation_seconds",)
    if listener := read.get("listener"):
        if "endpoint_url" not in read:
            yield ("endpoint_url",)
        elif listener.get("host") not in (None, re.split("[:/]+", read["endpoint_url"])[1].lower()):
            yield ("listener", "host")
        if listener["idle_timeout_seconds"] < stream + 10:
            yield ("listener", "idle_timeout_seconds")
    green = read.get("green_weight", 0)
    for color, share, other in (("blue", 100 - green, "green"), ("green", green, "blue")):
        mine, theirs = read.get(color, {}), read.get(other, {})
        if share and mine.get("parked", False):
            yield (color, "parked")
        elif share and mine.get("release") is None and _serves(theirs):
            yield ("green_weight",)


def _cohort_relations(read: dict[str, Json]) -> Iterator[Path]:
    """What the cohorts on the candidate need. The cohorts themselves have tests of their own."""
    known = [one["name"] for one in read.get("rollout", {}).get("cohorts", [])]
    idle = "green" if read.get("active_color", "blue") == "blue" else "blue"
    named = read.get("cohorts_on_candidate", [])
    if any(name not in known for name in named) or (named and not _serves(read.get(idle, {}))):
        yield ("cohorts_on_candidate",)


def _surge_relations(read: dict[str, Json], mode: Json) -> Iterator[Path]:
    """What the keys of mode surge need. Ladders are for another test: here the colours have two replicas or one."""
    replicas = {color: read.get(color, {}).get("replicas", 1) for color in COLORS}
    surge, kept = read.get("surge_replicas"), read.get("keep_warm_replicas")
    if mode != "surge":
        yield from ((key,) for key in ("surge_replicas", "keep_warm_replicas") if read.get(key) is not None)
        yield from ((color, "running_replicas") for color in COLORS if read.get(color, {}).get("running_replicas"))
    elif surge is None:
        yield ("surge_replicas",)
    elif replicas["green"] != replicas["blue"]:
        yield ("green", "replicas")
    elif surge > replicas["blue"]:
        yield ("surge_replicas",)
    elif kept is not None and kept > surge:
        yield ("keep_warm_replicas",)


def _autoscaling_relations(read: dict[str, Json], mode: Json) -> Iterator[Path]:
    scaling = read.get("autoscaling")
    floors = {color: read.get(color, {}).get("floor_replicas", 0) for color in COLORS}
    if scaling is None:
        yield from ((color, "floor_replicas") for color, floor in floors.items() if floor)
    elif mode == "surge":
        yield ("autoscaling",)
    else:
        most = scaling["max_replicas"]
        yield from ((color, "floor_replicas") for color, floor in floors.items() if floor > most)
        yield from ((color, "replicas") for color in COLORS if read.get(color, {}).get("replicas", most) != most)


def _stack_relations(read: dict[str, Json]) -> Iterator[Path]:
    if read.get("listener"):
        return
    if len(read.get("load_balancer_subnet_ids", [])) < 2:
        yield ("load_balancer_subnet_ids",)
    if read.get("internet_facing", False) and "certificate_arn" not in read:
        yield ("certificate_arn",)


def _bad_texts(value: Json, path: Path) -> Iterator[Path]:
    """The places of secrets and of broken characters."""
    if isinstance(value, str) and _bad(value):
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in items:
        if isinstance(key, str) and _bad(key):
            yield (*path, "…" if key in SECRET_TEXTS else key)
        yield from _bad_texts(one, (*path, key))


def _bad(one: str) -> bool:
    return one in SECRET_TEXTS or any(0xD800 <= ord(character) < 0xE000 for character in one)
