"""The instance table: plausible figures, and allocatable amounts that never exceed what a node has."""

import pytest

from components.domain.nodes.gpu_instances import INSTANCE_TYPES

# Karpenter's published allocatable amounts on AL2023: millicpus and MiB.
PUBLISHED = {
    "g5.xlarge": (3920, 14162),
    "g5.2xlarge": (7910, 29317),
    "g5.4xlarge": (15890, 57691),
    "g5.8xlarge": (31850, 118312),
    "g5.16xlarge": (63770, 239554),
    "g5.12xlarge": (47810, 173400),
    "g5.24xlarge": (95690, 355262),
    "g5.48xlarge": (191450, 723299),
    "g6.xlarge": (3920, 14162),
    "g6.2xlarge": (7910, 29317),
    "g6.4xlarge": (15890, 57691),
    "g6.8xlarge": (31850, 118312),
    "g6.16xlarge": (63770, 234021),
    "g6.12xlarge": (47810, 178933),
    "g6.24xlarge": (95690, 355262),
    "g6.48xlarge": (191450, 718987),
    "gr6.4xlarge": (15890, 118312),
    "gr6.8xlarge": (31850, 239554),
    "g6e.xlarge": (3920, 29317),
    "g6e.2xlarge": (7910, 59627),
    "g6e.4xlarge": (15890, 118312),
    "g6e.8xlarge": (31850, 239554),
    "g6e.16xlarge": (63770, 476504),
    "g6e.12xlarge": (47810, 360157),
    "g6e.24xlarge": (95690, 721682),
    "g6e.48xlarge": (191450, 1449132),
    "g7.2xlarge": (7910, 27161),
    "g7.4xlarge": (15890, 54699),
    "g7.8xlarge": (31850, 113934),
    "g7.12xlarge": (47810, 173169),
    "g7.24xlarge": (95690, 346715),
    "g7.48xlarge": (191450, 718756),
    "g7e.2xlarge": (7910, 57471),
    "g7e.4xlarge": (15890, 115320),
    "g7e.8xlarge": (31850, 236562),
    "g7e.12xlarge": (47810, 477659),
    "g7e.24xlarge": (95690, 962625),
    "g7e.48xlarge": (191450, 1932558),
    "p4d.24xlarge": (95690, 1082712),
    "p4de.24xlarge": (95690, 1082712),
    "p5.4xlarge": (15890, 240830),
    "p5.48xlarge": (191450, 1938410),
    "p5e.48xlarge": (191450, 1938410),
    "p5en.48xlarge": (191450, 1937332),
    "p6-b200.48xlarge": (191450, 1937332),
    "p6-b300.48xlarge": (191450, 3877198),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_pods_may_ask_for_is_what_is_published(name: str) -> None:
    millicpus, memory_mib = PUBLISHED[name]
    instance = INSTANCE_TYPES[name]
    assert instance.allocatable_millicpus == millicpus
    assert instance.allocatable_memory_mib == memory_mib


def test_every_type_is_held_against_what_is_published() -> None:
    assert set(PUBLISHED) == set(INSTANCE_TYPES)


def test_the_table_has_every_family_that_serves_models() -> None:
    families = {name.split(".")[0] for name in INSTANCE_TYPES}
    assert families == {
        *("g5", "g6", "gr6", "g6e", "g7", "g7e"),
        *("p4d", "p4de", "p5", "p5e", "p5en", "p6-b200", "p6-b300"),
    }


def test_only_one_price_is_unknown() -> None:
    assert [name for name, instance in INSTANCE_TYPES.items() if instance.usd_per_hour is None] == ["p5e.48xlarge"]


@pytest.mark.parametrize("name", INSTANCE_TYPES)
def test_every_type_has_whole_gpus_and_room_for_pods(name: str) -> None:
    instance = INSTANCE_TYPES[name]
    assert instance.name == name
    assert instance.gpus in (1, 2, 4, 8)
    assert 0 < instance.allocatable_millicpus < instance.vcpus * 1000
    assert 0 < instance.allocatable_memory_mib < instance.memory_gib * 1024
    assert instance.usd_per_hour is None or instance.usd_per_hour / instance.gpus > 0.5
