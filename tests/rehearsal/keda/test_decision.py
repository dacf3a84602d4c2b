"""The stand-in for KEDA decides as Kubernetes' HorizontalPodAutoscaler does."""

from dataclasses import replace

import pytest

from components.resources.scaled_object import PARKED, scaled_object_spec
from rehearsal.keda.decision import Autoscaler, ScaledObject

SCALED = ScaledObject(
    namespace="chat",
    deployment="chat-green",
    floor=2,
    ceiling=6,
    paused_at=None,
    prometheus_url="http://prometheus:9090",
    query="sum(x)",
    target=5,
)


def test_it_reads_what_the_program_declares() -> None:
    trigger = {"serverAddress": "http://prometheus:9090", "threshold": "5"}
    spec = scaled_object_spec("chat-green", floor=2, ceiling=6, trigger=trigger, query="sum(x)")
    obj = {"metadata": {"namespace": "chat"}, "spec": spec}
    assert ScaledObject.parse(obj) == SCALED
    paused = {**obj, "metadata": {"namespace": "chat", "annotations": PARKED}}
    assert ScaledObject.parse(paused) == replace(SCALED, paused_at=0)
    strict = scaled_object_spec(
        "chat-green", floor=2, ceiling=6, trigger={**trigger, "ignoreNullValues": "false"}, query="sum(x)"
    )
    assert ScaledObject.parse({**obj, "spec": strict}) == replace(SCALED, empty_is_zero=False)


@pytest.mark.parametrize(
    ("replicas", "total", "wanted"),
    [
        pytest.param(0, 0, 2, id="from zero to the floor at once"),
        pytest.param(0, None, 0, id="without a metric it starts nothing"),
        pytest.param(1, 0, 2, id="never below the floor"),
        pytest.param(1, None, 2, id="not even without a metric"),
        pytest.param(3, None, 3, id="without a metric it stays"),
        pytest.param(3, 16.4, 3, id="within the tolerance it stays"),
        pytest.param(3, 16.6, 4, id="beyond it, enough for all"),
        pytest.param(2, 100, 6, id="never above the ceiling"),
        pytest.param(4, 10, 2, id="fewer, when fewer are enough"),
    ],
)
def test_it_decides_by_the_metric_between_floor_and_ceiling(replicas: int, total: float | None, wanted: int) -> None:
    assert Autoscaler(0).decide(SCALED, replicas, total, now=0) == wanted


def test_it_adds_at_most_as_many_again_or_four_at_once() -> None:
    high = replace(SCALED, ceiling=100)
    assert Autoscaler(0).decide(high, 2, 500, now=0) == 6
    assert Autoscaler(0).decide(high, 10, 500, now=0) == 20


def test_it_ends_replicas_only_once_fewer_have_been_enough_for_a_while() -> None:
    autoscaler = Autoscaler(20)
    assert autoscaler.decide(SCALED, 2, 25, now=0) == 5
    assert [autoscaler.decide(SCALED, 5, 5, now=now) for now in (5, 20, 21)] == [5, 5, 2]


def test_a_paused_one_has_the_number_that_it_is_paused_at() -> None:
    assert Autoscaler(0).decide(replace(SCALED, paused_at=0), 5, 100, now=0) == 0
